"""Names for things that users choose by a string: generators, messages, models, data sets."""

from __future__ import annotations

import ast
import importlib
import operator
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

from relmp.checks import did_you_mean

T = TypeVar("T")
Item = TypeVar("Item")


class Registry(Generic[T]):
    """Maps a name to an object, and says what the choices are when a name is unknown.

    Registering the same definition again (a notebook cell that is run twice) replaces it;
    registering a different one under a taken name is an error.

    Args:
        kind: What the names stand for, used in messages ("graph generator").
        plugins: Group of entry points under which installed packages offer more of them.
    """

    def __init__(self, kind: str, plugins: str | None = None) -> None:
        self.kind, self.plugins = kind, plugins
        self._items: dict[str, T] = {}
        self._aliases: dict[str, str] = {}

    def register(self, name: str) -> Callable[[Item], Item]:
        """Decorator that stores the object below it under ``name``.

        Raises:
            ValueError: If another definition already has this name.
        """

        def store(item: Item) -> Item:
            known = self._items.get(name)
            if known is not None and _origin(known) != _origin(item):
                raise ValueError(
                    f"{self.kind} '{name}' is already defined by {_origin(known)}; "
                    f"choose another name for {_origin(item)}."
                )
            self._items[name] = cast(T, item)
            return item

        return store

    def alias(self, name: str, *items: T) -> None:
        """Let :meth:`text` write these by a name that something else is registered under."""
        self._aliases |= {import_path(item): name for item in items}

    def names(self) -> list[str]:
        """All names, those of installed packages included, sorted."""
        return sorted({*self._items, *self._plugged()})

    def in_order(self) -> tuple[str, ...]:
        """All registered names, in the order in which they came."""
        return tuple(self._items)

    def __getitem__(self, name: str) -> T:
        if not isinstance(name, str):
            raise ValueError(
                f"A {self.kind} is given by its name, one of {', '.join(self.names())}, but "
                f"{name!r} was given."
            )
        if name in self._items:
            return self._items[name]
        if (point := self._plugged().get(name)) is not None:
            item: T = point.load()
            return item
        own = "" if self.plugins is None else ", or write package.module:Name"
        raise ValueError(
            f"Unknown {self.kind} '{name}'; choose one of {', '.join(self.names())}{own}."
            f"{did_you_mean(name, self.names())}"
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self._items or name in self._plugged()

    # Text, for registries of what takes arguments and may be a user's own ----------------

    def find(self, text: str) -> tuple[Any, dict[str, Any]]:
        """What a text names, by ``name(argument=value)`` or ``package.module:Name(...)``, and
        the arguments in it.

        Raises:
            ValueError: If there is no such thing, or the text cannot be read.
        """
        name, arguments = parse_call(text)
        return (import_object(name) if ":" in name else self[name]), arguments

    def text(self, item: Any, arguments: Mapping[str, Any] | None = None) -> str:
        """The text by which :meth:`find` finds an item, or a ``functools.partial`` of one.

        Raises:
            ValueError: If it cannot be imported, or an argument cannot be written down.
        """
        arguments, found = dict(arguments or {}), item
        while isinstance(found, partial) and not found.args:
            arguments, found = found.keywords | arguments, found.func
        path = import_path(found)
        text = format_call(self.known_paths().get(path, path), arguments)
        try:
            readable = "<" not in path and parse_call(text)[1] == arguments
        except ValueError:
            readable = False
        if not readable:  # a local class, or a value that does not write itself
            raise ValueError(
                f"The {self.kind} {item!r} cannot be written to a configuration; give a name, or "
                f"a class or function that can be imported, with numbers and words for arguments."
            )
        return text

    def is_known(self, name: str) -> bool:
        """Whether a name is registered or installed, be it written as ``package.module:Name``, so
        that finding it imports nothing that the user has not chosen."""
        return ":" not in name or self.known_paths().get(name, name) in self

    def known_paths(self) -> dict[str, str]:
        """The names of what is registered or installed by ``package.module:Name``."""
        plugged = {point.value: name for name, point in self._plugged().items()}
        own = {import_path(item): name for name, item in self._items.items()}
        return self._aliases | plugged | own

    def _plugged(self) -> dict[str, EntryPoint]:
        if self.plugins is None:
            return {}
        return {point.name: point for point in entry_points(group=self.plugins)}


def _origin(item: object) -> str:
    module = getattr(item, "__module__", type(item).__module__)
    return f"{module}.{getattr(item, '__qualname__', repr(item))}"


def parse_call(text: str) -> tuple[str, dict[str, Any]]:
    """Name and arguments of a call written as text: ``"low_rank(rank=2)"``, or a name alone.

    Nothing in the text is executed. The name may be dotted, or ``package.module:Name``.

    Raises:
        ValueError: If the text is no such call.
    """
    name, bracket, _ = text.strip().partition("(")
    try:
        if not bracket:
            return name, {}
        call = ast.parse("f" + text.strip()[len(name) :], mode="eval").body
        if not isinstance(call, ast.Call) or call.args or not isinstance(call.func, ast.Name):
            raise ValueError("not a call with named arguments")
        return name.strip(), {str(w.arg): ast.literal_eval(w.value) for w in call.keywords}
    except (SyntaxError, TypeError, ValueError, MemoryError, RecursionError) as error:
        raise ValueError(
            f"'{text}' cannot be read ({error}); write a name, or a name and its arguments, "
            f'such as "name(size=2)".'
        ) from error


def format_call(name: str, arguments: Mapping[str, Any]) -> str:
    """The text that :func:`parse_call` reads."""
    if not arguments:
        return name
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"


def import_path(item: object) -> str:
    """The ``package.module:Name`` of a class or function."""
    return f"{getattr(item, '__module__', '<')}:{getattr(item, '__qualname__', '<')}"


def import_object(path: str) -> Any:
    """The object at ``package.module:name``.

    Raises:
        ValueError: If there is no such module or name.
    """
    module, _, name = path.partition(":")
    try:
        return operator.attrgetter(name)(importlib.import_module(module))
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"Cannot import '{path}' ({error}); write it as package.module:Name, and see that "
            f"the package is installed or lies in the working folder."
        ) from error


class OpenRegistry(Registry[T]):
    """A registry whose names may also be written ``package.module:Name``, which is imported.

    A prefix may stand for a library's own list of names (``torchvision:resnet18``).
    """

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self._catalogues: dict[str, Callable[[str], T]] = {}

    def catalogue(self, prefix: str, find: Callable[[str], T]) -> None:
        """Let ``find`` give what ``prefix:name`` stands for."""
        self._catalogues[prefix] = find

    def __getitem__(self, name: str) -> T:
        if not isinstance(name, str) or ":" not in name:
            return super().__getitem__(name)
        prefix, _, rest = name.partition(":")
        if prefix in self._catalogues:
            return self._catalogues[prefix](rest)
        found: T = import_object(name)
        if not callable(found):
            raise ValueError(f"'{name}' is no {self.kind} but {found!r}.")
        return found

    def is_registered(self, name: str) -> bool:
        """Whether a name is registered itself, or not known at all."""
        return ":" not in name

    def is_foreign(self, name: str) -> bool:
        """Whether finding this name imports what is neither registered nor in a catalogue."""
        return ":" in name and name.partition(":")[0] not in self._catalogues

    def name_of(self, item: object) -> str:
        """The name by which an item is found: as registered, else ``package.module:Name``.

        It holds a ``<`` where the item cannot be imported.
        """
        for name, known in self._items.items():
            if known is item:
                return name
        module = getattr(item, "__module__", "<")
        return f"{module}:{getattr(item, '__qualname__', '<')}"
