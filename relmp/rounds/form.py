"""What an execution needs to know of a round, and no more."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from relmp.graphs import RelationalGraph
from relmp.rounds.channels import ChannelPartition


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
