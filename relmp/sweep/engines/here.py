"""Tasks in this process, one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from relmp.sweep.engines.event import Event, Work, reason_of


def run_here(work: Work, tasks: Sequence[tuple[Any, ...]]) -> Iterator[Event]:
    """Do tasks, with one thread as a worker has, so that the same sweep gives the same numbers."""
    with one_thread():
        for number, task in enumerate(tasks):
            steps: list[Event] = []
            yield Event(number, "started")
            try:
                work(lambda: steps.append(Event(number, "progress")), *task)  # noqa: B023
                yield from steps
                yield Event(number, "done")
            except BlockingIOError:
                yield Event(number, "busy")
            except (Exception, SystemExit) as error:
                yield Event(number, "failed", reason_of(error), repr(error))


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch computes with one thread meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
