"""What the models share: their layers' costs, and errors that name the layer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from relmp.graphs import RelationalGraph
from relmp.rounds import message_flops
from relmp.rounds.round import MessageFactory


@contextmanager
def layer_errors(name: str) -> Iterator[None]:
    """Put the name of the layer in front of a ``ValueError`` raised while building it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"Layer '{name}': {error}") from error


def round_flops(
    graph: RelationalGraph | None, in_channels: int, out_channels: int, message: MessageFactory
) -> int:
    """Multiply-adds of a round for one position; None counts the dense layer."""
    if graph is None:
        return in_channels * out_channels
    return message_flops(message, graph, in_channels, out_channels)
