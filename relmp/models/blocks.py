"""What the models share: their layers' costs, and errors that name the layer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from relmp.graphs import RelationalGraph
from relmp.rounds import ChannelPartition


@contextmanager
def layer_errors(name: str) -> Iterator[None]:
    """Put the name of the layer in front of a ``ValueError`` raised while building it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"Layer '{name}': {error}") from error


def linear_round_flops(graph: RelationalGraph | None, in_channels: int, out_channels: int) -> int:
    """Multiply-adds of a linear round for one position; None counts the dense layer."""
    if graph is None:
        return in_channels * out_channels
    heard = ChannelPartition(graph.num_nodes, in_channels).sizes[graph.edges[0]]
    told = ChannelPartition(graph.num_nodes, out_channels).sizes[graph.edges[1]]
    return int(heard @ told)
