"""Checks that everything shares: one sentence that says what was given and what is accepted."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import Any


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A hint at the nearest of these names, with a space before it, or nothing."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def check_number(name: str, value: Any, low: float, below: float = math.inf) -> None:
    """Raise ``ValueError`` unless ``low <= value < below``; NaN never is."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value < below:
        limit = "" if below == math.inf else f" and below {below}"
        raise ValueError(f"{name} must be a number of at least {low}{limit}, but is {value!r}.")


def check_share(name: str, value: Any) -> None:
    """Raise ``ValueError`` unless ``0 <= value <= 1``; NaN never is."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= 1:
        raise ValueError(f"{name} must be a number from 0 to 1, but is {value!r}.")


def check_whole(
    name: str, value: Any, low: int, high: int | None = None, meaning: str = ""
) -> None:
    """Raise ``ValueError`` unless value is a whole number with ``low <= value <= high``.

    ``meaning`` says what it counts.
    """
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or value < low or (high is not None and value > high):
        bound = f"of at least {low}" if high is None else f"between {low} and {high}"
        counted = f" ({meaning})" if meaning else ""
        raise ValueError(f"{name} must be a whole number {bound}{counted}, but is {value!r}.")
