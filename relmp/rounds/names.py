"""Messages by name: relmp's own, those of installed plug-ins, and any that can be imported."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import entry_points
from typing import Any, TypeAlias

from torch import nn

from relmp.checks import did_you_mean
from relmp.registry import Registry, format_call, import_object, parse_call
from relmp.rounds.conv2d import Conv2dMessage
from relmp.rounds.geometry import KernelOptions
from relmp.rounds.message import LinearMessage
from relmp.rounds.messages.attention import AttentionMessage
from relmp.rounds.messages.class_shared import ClassSharedMessage
from relmp.rounds.messages.edge_attr import EdgeAttrMessage
from relmp.rounds.messages.frozen import FrozenMessage
from relmp.rounds.messages.gated import GatedMessage
from relmp.rounds.messages.linear_map import linear_map
from relmp.rounds.messages.low_rank import LowRankMessage
from relmp.rounds.messages.mlp import MLPMessage
from relmp.rounds.messages.scalar import ScalarMessage
from relmp.rounds.messages.shared import SharedMessage

MessageFactory: TypeAlias = Callable[..., nn.Module]
"""``(num_edges, in_dim, out_dim) -> nn.Module``: a class, or a ``functools.partial`` of one."""

ENTRY_POINTS = "relmp.messages"
"""Group of entry points under which an installed package offers messages of its own."""

MESSAGES: Registry[MessageFactory] = Registry("message")
_OWN: dict[str, MessageFactory] = {
    "linear": linear_map,
    "gated": GatedMessage,
    "attention": AttentionMessage,
    "low_rank": LowRankMessage,
    "shared": SharedMessage,
    "class_shared": ClassSharedMessage,
    "scalar": ScalarMessage,
    "frozen": FrozenMessage,
    "mlp": MLPMessage,
    "edge_attr": EdgeAttrMessage,
}
for _name, _factory in _OWN.items():
    MESSAGES.register(_name)(_factory)


def message_names() -> list[str]:
    """The names that ``message=`` accepts, those of plug-ins included."""
    return sorted({*MESSAGES, *(point.name for point in entry_points(group=ENTRY_POINTS))})


def resolve_message(message: str | MessageFactory) -> MessageFactory:
    """What makes the messages of a round, from its name where it is given by one.

    Args:
        message: A callable ``(num_edges, in_dim, out_dim) -> nn.Module``; or text: a name
            ("gated"), with arguments ("low_rank(rank=2)"), or ``"package.module:Name"``.

    Raises:
        ValueError: If there is no such message.
    """
    if not isinstance(message, str):
        return message
    name, arguments = parse_call(message)
    factory = _imported(name) if ":" in name else _registered(name)
    _check_arguments(name, factory, arguments)
    return partial(factory, **arguments) if arguments else factory


def _check_arguments(name: str, factory: MessageFactory, arguments: Mapping[str, Any]) -> None:
    parameters = inspect.signature(factory).parameters
    named = [p.name for p in parameters.values() if p.kind is not p.VAR_KEYWORD][3:]
    if len(named) + 3 < len(parameters):  # the rest is the geometry of a convolution
        named += KernelOptions.__annotations__
    unknown = [key for key in arguments if key not in named]
    if unknown:
        raise ValueError(
            f"Message '{name}' has no argument '{unknown[0]}'; "
            f"it takes {', '.join(dict.fromkeys(named)) or 'none'}."
        )


def message_text(message: str | MessageFactory) -> str:
    """The text that :func:`resolve_message` reads: a name that is known, with its arguments, or
    ``"package.module:Name(argument=value)"``.

    Raises:
        ValueError: If the message cannot be imported, or an argument cannot be written down.
    """
    arguments: dict[str, Any] = {}
    if isinstance(message, str):
        name, arguments = parse_call(message)
        if ":" not in name:
            resolve_message(message)  # complains of what is unknown
        return format_call(_known_texts().get(name, name), arguments)
    factory = message
    while isinstance(factory, partial) and not factory.args:
        arguments = factory.keywords | arguments
        factory = factory.func
    path = _path(factory)
    text = format_call(_known_texts().get(path, path), arguments)
    if "<" in text:  # a local class, or a value that does not write itself
        raise ValueError(
            f"Option message={message!r} cannot be written to a configuration; give a name, or "
            f"a class or function that can be imported, with numbers and words for arguments."
        )
    return text


def is_known(text: str) -> bool:
    """Whether a text names a message that is registered or installed, so that reading it
    imports nothing that the user has not chosen."""
    name, _ = parse_call(text)
    return ":" not in name or _known_texts().get(name, name) in message_names()


def _known_texts() -> dict[str, str]:
    """The names of the known messages by ``package.module:Name``."""
    linear = {_path(factory): "linear" for factory in (LinearMessage, Conv2dMessage)}
    plugged = {point.value: point.name for point in entry_points(group=ENTRY_POINTS)}
    return linear | plugged | {_path(MESSAGES[name]): name for name in MESSAGES}


def _path(factory: MessageFactory) -> str:
    return f"{factory.__module__}:{getattr(factory, '__qualname__', '<')}"


def _imported(path: str) -> MessageFactory:
    found: Any = import_object(path)
    if not callable(found):
        raise ValueError(f"'{path}' is no message but {found!r}.")
    return found


def _registered(name: str) -> MessageFactory:
    if name not in MESSAGES:
        for point in entry_points(group=ENTRY_POINTS):
            if point.name == name:
                plugged: MessageFactory = point.load()
                return plugged
        raise ValueError(
            f"Unknown message '{name}'; choose one of {', '.join(message_names())}, or write "
            f"package.module:Name.{did_you_mean(name, message_names())}"
        )
    return MESSAGES[name]


def make_message(message: str | MessageFactory, sizes: tuple[int, int, int]) -> nn.Module:
    """The module that makes the messages of a round.

    Args:
        message: As of :func:`resolve_message`.
        sizes: Its ``(num_edges, in_dim, out_dim)``.

    Raises:
        ValueError: If there is no such message, or it cannot be made so.
    """
    factory = resolve_message(message)
    if isinstance(factory, nn.Module) or not callable(factory):
        raise ValueError(
            f"message= takes a class, or a callable (num_edges, in_dim, out_dim) that makes a "
            f"module, but was given {_named(factory)}; give the class itself."
        )
    try:
        made = factory(*sizes)
    except TypeError as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise  # from within
        raise ValueError(
            f"A message cannot be made: {error}; it is called with (num_edges, in_dim, out_dim), "
            f"in a convolution also with kernel_size, stride, padding and dilation."
        ) from error
    if not isinstance(made, nn.Module):
        raise ValueError(f"A message must be an nn.Module, but {_named(made)} was made.")
    return made


def _named(value: object) -> str:
    return f"a {type(value).__name__}" if isinstance(value, nn.Module) else repr(value)
