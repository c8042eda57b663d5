"""Ctrl-C that lets the step in hand end."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred_interrupts() -> Iterator[Callable[[], bool]]:
    """Inside, a first Ctrl-C (or SIGTERM) only asks to stop; a second Ctrl-C stops at once.

    Yields a function that says whether a stop was asked for. Handlers that somebody else has
    installed, and threads other than the main one, are left alone.
    """
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked = True
        print(
            "Stopping after the step in hand; Ctrl-C again stops at once.",
            file=sys.stderr,
            flush=True,
        )

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number, usual in (
            (signal.SIGINT, signal.default_int_handler),
            (signal.SIGTERM, signal.SIG_DFL),
        ):
            if signal.getsignal(number) is usual:
                before[number] = signal.signal(number, handle)
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
