"""What a round costs, before it is built."""

from __future__ import annotations

import torch

from relmp.graphs import RelationalGraph
from relmp.rounds.channels import ChannelPartition
from relmp.rounds.form import make_edges
from relmp.rounds.message import as_message
from relmp.rounds.names import MessageFactory


def message_flops(
    message: MessageFactory,
    graph: RelationalGraph,
    in_channels: int,
    out_channels: int,
    positions: int = 1,
) -> int:
    """Multiply-adds of all messages of a round for one image, over real channels.

    Args:
        message: As of :class:`relmp.Round`.
        graph: The graph of the round.
        in_channels, out_channels: Channels of the round.
        positions: Pixels of the output.

    Raises:
        NotImplementedError: If the message does not say what it costs.
        ValueError: If there are fewer channels than nodes.
    """
    partitions = [ChannelPartition(graph.num_nodes, c) for c in (in_channels, out_channels)]
    with torch.device("meta"):  # no storage; it is only asked
        module = message(graph.num_edges, *(partition.max_size for partition in partitions))
    return as_message(module).flops(make_edges(graph, *partitions), positions)
