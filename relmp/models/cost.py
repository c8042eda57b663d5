"""What a round costs, by arithmetic, also where it could not be built."""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np

from relmp.graphs import RelationalGraph, create_graph
from relmp.rounds import ChannelPartition, message_flops
from relmp.rounds.round import MessageFactory


@lru_cache(maxsize=1024)
def round_flops(graph: RelationalGraph | None, in_channels: int, out_channels: int) -> int:
    """Multiply-adds of a round of linear messages for one position; None counts the dense layer.

    A round with fewer channels m than nodes cannot be built, but a search for widths may pass
    through one. It is counted over a WS-flex graph of m nodes with the same ``k / n``, ``p``
    and seed, as in the paper; a graph that is no WS-flex graph, by its density.
    """
    if graph is None or graph.is_complete:
        return in_channels * out_channels
    nodes = min(in_channels, out_channels)
    if nodes < graph.num_nodes:
        smaller = _with_fewer_nodes(graph, nodes)
        if smaller is None:
            return round(in_channels * out_channels * graph.density)
        graph = smaller
    heard = ChannelPartition(graph.num_nodes, in_channels).sizes[graph.edges[0]]
    told = ChannelPartition(graph.num_nodes, out_channels).sizes[graph.edges[1]]
    return int(np.dot(heard, told))


@lru_cache(maxsize=1024)
def other_round_flops(
    graph: RelationalGraph,
    in_channels: int,
    out_channels: int,
    message: MessageFactory,
    kernel_size: int | None,
    pixels: int,
) -> int:
    """Multiply-adds of a round whose messages are not ``"linear"``: they say what they cost.

    A search for widths may pass through a round with fewer channels than nodes, which cannot
    be built; it is counted as one of linear messages.
    """
    if min(in_channels, out_channels) < graph.num_nodes:
        return round_flops(graph, in_channels, out_channels) * (kernel_size or 1) ** 2 * pixels
    if kernel_size is not None:
        geometry = {"kernel_size": kernel_size, "stride": 1, "padding": (kernel_size - 1) // 2}
        message = partial(message, **geometry)
    return message_flops(message, graph, in_channels, out_channels, pixels)


def _with_fewer_nodes(graph: RelationalGraph, nodes: int) -> RelationalGraph | None:
    if graph.generator is None or graph.generator.name != "ws_flex":
        return None
    arguments = dict(graph.generator.arguments)
    arguments |= {"n": nodes, "k": nodes * arguments["k"] / arguments["n"]}
    try:
        return create_graph("ws_flex", **arguments)
    except ValueError:  # k below 2, or no connected graph
        return None
