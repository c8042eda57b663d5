"""Messages by name: relmp's own, those of installed plug-ins, and any that can be imported."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

from torch import nn

from relmp.registry import Registry, format_call, parse_call
from relmp.rounds.geometry import KernelOptions

MessageFactory: TypeAlias = Callable[..., nn.Module]
"""``(num_edges, in_dim, out_dim) -> nn.Module``: a class, or a ``functools.partial`` of one."""

MESSAGES: Registry[MessageFactory] = Registry("message", plugins="relmp.messages")


_NO_MESSAGE = (
    "message= takes a class, or a callable (num_edges, in_dim, out_dim) that makes a module, but "
    "was given {}; give the class itself."
)


def message_names() -> list[str]:
    """The names that ``message=`` accepts, those of plug-ins included."""
    return MESSAGES.names()


def resolve_message(message: str | MessageFactory) -> MessageFactory:
    """What makes the messages of a round, from its name where it is given by one.

    Args:
        message: A callable ``(num_edges, in_dim, out_dim) -> nn.Module``; or text: a name
            ("gated"), with arguments ("low_rank(rank=2)"), or ``"package.module:Name"``.

    Raises:
        ValueError: If there is no such message.
    """
    if not isinstance(message, str):
        if not callable(message):
            raise ValueError(_NO_MESSAGE.format(repr(message)))
        return message
    factory, arguments = MESSAGES.find(message)
    if not callable(factory):
        raise ValueError(f"'{message}' is no message but {factory!r}.")
    _check_arguments(message, factory, arguments)
    return partial(factory, **arguments) if arguments else factory


def _check_arguments(text: str, factory: MessageFactory, arguments: Mapping[str, Any]) -> None:
    parameters = inspect.signature(factory).parameters
    named = [p.name for p in parameters.values() if p.kind is not p.VAR_KEYWORD][3:]
    if len(named) + 3 < len(parameters):  # the rest is the geometry of a convolution
        named += KernelOptions.__annotations__
    unknown = [key for key in arguments if key not in named]
    if unknown:
        raise ValueError(
            f"Message '{text}' has no argument '{unknown[0]}'; "
            f"it takes {', '.join(dict.fromkeys(named)) or 'none'}."
        )


def message_text(message: str | MessageFactory) -> str:
    """The text that :func:`resolve_message` reads: a name that is known, with its arguments, or
    ``"package.module:Name(argument=value)"``.

    Raises:
        ValueError: If the message cannot be imported, or an argument cannot be written down.
    """
    if not isinstance(message, str):
        return MESSAGES.text(message)
    name, arguments = parse_call(message)
    if ":" not in name:
        resolve_message(message)  # complains of what is unknown
    return format_call(MESSAGES.known_paths().get(name, name), arguments)


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
        raise ValueError(_NO_MESSAGE.format(_named(factory)))
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
