"""Progress: a bar in a terminal or a notebook, plain lines on the standard error stream
elsewhere."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

Advance: TypeAlias = Callable[..., None]
"""``advance(steps=1, note="")``"""

SECONDS_BETWEEN_LINES = 15.0
SECONDS_BETWEEN_STEPS = 0.2


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
    elif (display := _notebook_display()) is not None:
        yield _widget(what, total, display)
    elif sys.stderr.isatty():
        with _bar(what, total) as advance:
            yield advance
    else:
        yield _lines(what, total)


@contextmanager
def training_progress(
    epochs: int, *, show: bool = True
) -> Iterator[tuple[Callable[[dict[str, Any]], None], Callable[[int, int], None]]]:
    """Show how far a training is, in epochs, and the time left; yields its two listeners.

    The first takes the record of an epoch, the second the number of steps done and of all.
    """
    shown, last, note = 0.0, 0.0, ""
    with progress("epochs", epochs, show=show) as advance:

        def show_up_to(done: float) -> None:
            nonlocal shown, last
            last = time.monotonic()
            done = round(done * 2**20) / 2**20  # such fractions add up without rounding
            advance(done - shown, note)
            shown = done

        def on_epoch(record: dict[str, Any]) -> None:
            nonlocal note
            if "test_error" in record:
                note = f"test error {record['test_error']:.2f} %"
            show_up_to(record["epoch"])

        def on_step(done: int, total: int) -> None:
            if time.monotonic() - last > SECONDS_BETWEEN_STEPS:
                show_up_to(done * epochs / total)

        yield on_epoch, on_step


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

        def advance(steps: float = 1, note: str = "") -> None:
            bar.update(task, advance=steps, note=note)

        yield advance


def _notebook_display() -> Any:
    """What shows things in a notebook, None elsewhere."""
    found: Any = sys.modules.get("IPython")
    shell = None if found is None else found.get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    return display


def _widget(what: str, total: int, display: Callable[..., Any]) -> Advance:
    began, last, done = time.monotonic(), 0.0, 0.0
    handle = display(_Bar(what, total, 0, ""), display_id=True)

    def advance(steps: float = 1, note: str = "") -> None:
        nonlocal done, last
        before, done = done, done + steps
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_STEPS or before < total <= done:
            last = now
            left = (now - began) / done * (total - done) if done else 0.0
            handle.update(
                _Bar(what, total, done, f"{now - began:.0f} s, {left:.0f} s left  {note}")
            )

    return advance


class _Bar:
    """A bar and what stands beside it, as a notebook and as plain text show it."""

    def __init__(self, what: str, total: int, done: float, note: str) -> None:
        self.what, self.total, self.done, self.note = what, total, done, note

    def __repr__(self) -> str:
        return f"{self.what}: {int(self.done)} of {self.total}  {self.note}".rstrip()

    def _repr_html_(self) -> str:
        return (
            f"<div>{html.escape(self.what)} <progress max='{self.total}' value='{self.done:.2f}'>"
            f"</progress> {int(self.done)}/{self.total} {html.escape(self.note)}</div>"
        )


def _lines(what: str, total: int) -> Advance:
    began = last = time.monotonic()
    done = 0.0

    def advance(steps: float = 1, note: str = "") -> None:
        nonlocal done, last
        before, done = done, done + steps
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES or before < total <= done:
            last = now
            left = (now - began) / done * (total - done) if done else 0.0
            times = f"{now - began:.0f} s, {left:.0f} s left"
            print(
                f"{what}: {int(done)} of {total}, {times}  {note}".rstrip(),
                file=sys.stderr,
                flush=True,
            )

    return advance
