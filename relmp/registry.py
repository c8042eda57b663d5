"""Names for things that users choose by a string: generators, models, data sets."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Registry(Generic[T]):
    """Maps a name to an object, and says what the choices are when a name is unknown.

    Registering the same definition again (a notebook cell that is run twice) replaces it;
    registering a different one under a taken name is an error.

    Args:
        kind: What the names stand for, used in messages ("graph generator").
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that stores the object below it under ``name``.

        Raises:
            ValueError: If another definition already has this name.
        """

        def store(item: T) -> T:
            known = self._items.get(name)
            if known is not None and _origin(known) != _origin(item):
                raise ValueError(
                    f"{self.kind} '{name}' is already defined by {_origin(known)}; "
                    f"choose another name for {_origin(item)}."
                )
            self._items[name] = item
            return item

        return store

    def names(self) -> list[str]:
        """All registered names, sorted."""
        return sorted(self._items)

    def __getitem__(self, name: str) -> T:
        if name in self._items:
            return self._items[name]
        near = difflib.get_close_matches(name, self._items, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise ValueError(
            f"Unknown {self.kind} '{name}'; choose one of {', '.join(self.names())}.{hint}"
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self._items


def _origin(item: object) -> str:
    module = getattr(item, "__module__", type(item).__module__)
    return f"{module}.{getattr(item, '__qualname__', repr(item))}"
