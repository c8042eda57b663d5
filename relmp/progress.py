"""Progress on the standard error stream: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

Advance: TypeAlias = Callable[..., None]
"""``advance(steps=1, note="")``"""

SECONDS_BETWEEN_LINES = 15.0


@contextmanager
def progress(what: str, total: int, *, show: bool = True) -> Iterator[Advance]:
    """Show how far something is; yields a function ``advance(steps=1, note="")``.

    Args:
        what: What is being done, a few words.
        total: How many steps there are.
        show: False shows nothing.
    """
    if not show:
        yield lambda steps=1, note="": None
    elif sys.stderr.isatty():
        with _bar(what, total) as advance:
            yield advance
    else:
        yield _lines(what, total)


@contextmanager
def _bar(what: str, total: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            bar.update(task, advance=steps, note=note)

        yield advance


def _lines(what: str, total: int) -> Advance:
    began = last = time.monotonic()
    done = 0

    def advance(steps: int = 1, note: str = "") -> None:
        nonlocal done, last
        done += steps
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES or (done >= total and done - steps < total):
            last = now
            left = (now - began) / done * (total - done) if done else 0.0
            times = f"{now - began:.0f} s, {left:.0f} s left"
            print(
                f"{what}: {done} of {total}, {times}  {note}".rstrip(), file=sys.stderr, flush=True
            )

    return advance
