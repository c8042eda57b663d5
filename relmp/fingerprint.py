"""By what the code of a message, an aggregation or a model is known again."""

from __future__ import annotations

import hashlib
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from functools import partial
from types import CodeType, FunctionType
from typing import Any

_KNOWN = (
    "relmp", "torch", "torchvision", "timm", "torch_geometric", "builtins", "abc", "typing",
    "functools",
)  # fmt: skip
"""Packages whose versions are not a user's: their code is not looked at."""


def code_fingerprint(item: object) -> str | None:
    """A hash of the code of a class or function that is not a library's, None for others.

    The source is hashed, of classes that of their methods and values and of the classes that
    they derive from; compiled code where there is no source, as in a notebook. Functions that
    it calls are not followed.
    """
    while isinstance(item, partial):
        item = item.func
    digest = hashlib.sha256()
    found = False
    for piece in _pieces(item):
        found = True
        digest.update(piece.encode() + b"\0")
    return digest.hexdigest()[:16] if found else None


def changed_code(there: Mapping[str, str], here: Mapping[str, str]) -> str:
    """The end of a sentence that says what code is not what it was; empty if none is."""
    changed = sorted(name for name in there.keys() & here.keys() if there[name] != here[name])
    if not changed:
        return ""
    return (
        f"other code of its {' and '.join(changed)}; use another folder, or if it does the same, "
        f"say so (same_code=True, --same-code)."
    )


def _pieces(item: object) -> Iterator[str]:
    if isinstance(item, type):
        for cls in item.__mro__:
            if not _is_known(cls):
                yield f"class {cls.__qualname__}"
                yield from _members(cls)
    elif isinstance(item, FunctionType) and not _is_known(item):
        yield _text(item)


def _members(cls: type) -> Iterator[str]:
    for name, value in vars(cls).items():
        inner = getattr(value, "__func__", getattr(value, "fget", value))
        if isinstance(inner, FunctionType):
            yield f"{name}: {_text(inner)}"
        elif not name.startswith("__") and isinstance(value, bool | int | float | str | tuple):
            yield f"{name} = {value!r}"


def _text(function: FunctionType) -> str:
    try:
        source = textwrap.dedent(inspect.getsource(function))
        compile(source, "<source>", "exec", dont_inherit=True)
        return source
    except (OSError, TypeError, SyntaxError, IndexError):
        return "\n".join(_compiled(function.__code__))


def _compiled(code: CodeType) -> Iterator[str]:
    yield f"{code.co_name} {code.co_code.hex()} {code.co_names} {code.co_varnames}"
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _compiled(constant)
        elif isinstance(constant, frozenset):  # its order changes from process to process
            yield repr(sorted(map(repr, constant)))
        else:
            yield repr(constant)


def _is_known(item: Any) -> bool:
    return str(getattr(item, "__module__", "")).split(".")[0] in _KNOWN
