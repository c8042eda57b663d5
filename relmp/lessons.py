"""What the lessons share: their size, exercises that check themselves, and what to run first."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

SIZE = "RELMP_LESSON"
"""The environment variable: ``quick`` runs a lesson with small numbers; anything else, and
nothing, as it is meant for a class."""


def begin(**made_in: str) -> bool:
    """Begin a lesson; may be called again.

    Figures are shown in the notebook, and torch takes one thread, with which networks as small as
    these are quickest. A cell that uses a name before it is made says in which
    section that is done.

    Args:
        **made_in: The title of the section in which a name is made, by that name.

    Returns:
        Whether the lesson is to run with small numbers.
    """
    import torch

    torch.set_num_threads(1)
    shell = _shell()
    if shell is not None:
        shell.run_line_magic("matplotlib", "inline")
        shell.set_custom_exc((NameError,), _NameTold(made_in))
    quick = os.environ.get(SIZE) == "quick"
    if quick:
        print("Run with small numbers: what the text says of results need not be seen here.")
    return quick


def check(claims: Mapping[str, Callable[[], object]]) -> None:
    """Check an exercise, and say what is not right yet.

    Args:
        claims: What must hold, by what is said where it does not. A claim that raises does not
            hold, but for a name that is not made yet.

    Raises:
        NameError: If a claim uses a name that is not made yet.
        AssertionError: If something does not hold and ``RELMP_LESSON`` is set: lessons are then
            run by a machine, with their solutions.
    """
    for number, (hint, holds) in enumerate(claims.items(), start=1):
        try:
            right, why = bool(holds()), ""
        except NameError:  # a cell that comes too early
            raise
        except Exception as error:
            right, why = False, f" ({type(error).__name__}: {error})"
        if not right:
            text = f"Not yet: {hint}{why}"
            print(text)
            if os.environ.get(SIZE):
                raise AssertionError(text)
            return
        print(f"{number} of {len(claims)} right.")


class _NameTold:
    """Shows a ``NameError`` with the section in which the name is made."""

    def __init__(self, made_in: Mapping[str, str]) -> None:
        self.made_in = made_in

    def __call__(self, shell: Any, kind: type, error: NameError, trace: Any, **more: Any) -> None:
        section = self.made_in.get(error.name or "")
        if section is not None:
            told = f"'{error.name}' is made in the section \"{section}\"; run its cells first."
            error.args = (told, *error.args[1:])
        shell.showtraceback((kind, error, trace), **more)


def _shell() -> Any:
    """The notebook or IPython that this runs in; None elsewhere."""
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    return get_ipython()
