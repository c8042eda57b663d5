"""What a message and what an execution need to know of a round, and no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from relmp.graphs import RelationalGraph
from relmp.rounds.channels import ChannelPartition


class Edges(NamedTuple):
    """The edges of a round, as a message sees them. A node may have none, and no self-loop.

    Shapes:
        - **source**, **target** ``[E]``: node numbers, sorted by target.
        - **ptr** ``[n + 1]``: the edges into node i are ``ptr[i]:ptr[i + 1]``.
        - **attr** ``[E, D]`` or None: the edge attributes of the graph.
        - **source_mask** ``[E, in_dim]``, **target_mask** ``[E, out_dim]``: which channels
          are real; the others are padding, zero in ``x`` and set to zero in the message.
        - **node_mask** ``[n, in_dim]``: which channels of every node are real before the round.
    """

    source: Tensor
    target: Tensor
    ptr: Tensor
    attr: Tensor | None
    source_mask: Tensor
    target_mask: Tensor
    node_mask: Tensor

    @property
    def listener_mask(self) -> Tensor:
        """``[E, in_dim]``: which channels of ``x_i`` are real."""
        return self.node_mask[self.target]


def make_edges(
    graph: RelationalGraph, in_partition: ChannelPartition, out_partition: ChannelPartition
) -> Edges:
    """The edges of a round over ``graph`` with these channels."""
    source, target = graph.edge_index
    node_mask = torch.from_numpy(in_partition.mask)
    return Edges(
        source,
        target,
        torch.from_numpy(graph.ptr),
        graph.edge_attr,
        node_mask[source],
        torch.from_numpy(out_partition.mask)[target],
        node_mask,
    )


@dataclass(frozen=True)
class RoundForm:
    """The parts of a round by which it is decided how it can be executed.

    Args:
        graph: Who listens to whom.
        in_partition, out_partition: The channels of its nodes, before and after.
        message: The module that makes the messages; it owns the weights.
        aggr: Name of the aggregation.
    """

    graph: RelationalGraph
    in_partition: ChannelPartition
    out_partition: ChannelPartition
    message: nn.Module
    aggr: str

    @property
    def in_channels(self) -> int:
        """Channels of the input."""
        return self.in_partition.channels

    @property
    def out_channels(self) -> int:
        """Channels of the output."""
        return self.out_partition.channels

    @property
    def edge_index(self) -> Tensor:
        """``[2, E]``: source and target of every edge."""
        return self.graph.edge_index
