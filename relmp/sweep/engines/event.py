"""What every engine says of the tasks that it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

Report: TypeAlias = Callable[[], None]
"""Called by a task as it gets on; raises where the engine is to stop."""

Work: TypeAlias = Callable[..., None]
"""``work(report, *arguments)``, a function that can be imported; does one task."""


FORESEEN = (ValueError, FloatingPointError, NotImplementedError)
"""Errors whose sentence says it all."""


class Event(NamedTuple):
    """What became of a task: it was started, got on, is done, is in the hands of others, or failed.

    Args:
        task: Its place among the tasks.
        kind: What happened.
        reason: Why it failed, in a sentence.
        details: The traceback.
    """

    task: int
    kind: Literal["started", "progress", "done", "busy", "failed"]
    reason: str = ""
    details: str = ""


def reason_of(error: BaseException) -> str:
    """Why something failed, in a sentence; its kind is named where that was not foreseen."""
    if isinstance(error, FORESEEN):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
