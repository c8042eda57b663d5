"""Channels to nodes: which channels of a layer belong to which node."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class ChannelPartition:
    r"""Deals ``channels`` out to ``num_nodes`` nodes as evenly as possible.

    Every node holds :math:`\lfloor c / n \rfloor` channels and :math:`c \bmod n` nodes hold
    one more; which ones is a fixed permutation, the same for every layer. The channels of a
    node are neighbours in the layer, in the order of the nodes.

    Args:
        num_nodes: Number of nodes n.
        channels: Number of channels c, at least n.

    Raises:
        ValueError: If there are fewer channels than nodes.

    Reference:
        You, Leskovec, He, Xie, *Graph Structure of Neural Networks*, ICML 2020, section 3.
    """

    num_nodes: int
    channels: int

    def __post_init__(self) -> None:
        if self.channels < self.num_nodes:
            raise ValueError(
                f"{self.channels} channels cannot be shared by {self.num_nodes} nodes; every "
                f"node needs at least one: use {self.num_nodes} channels or more, or a graph "
                f"with fewer nodes."
            )

    @cached_property
    def sizes(self) -> npt.NDArray[np.int64]:
        """``[n]``: how many channels each node holds."""
        small, larger = divmod(self.channels, self.num_nodes)
        sizes = np.full(self.num_nodes, small, dtype=np.int64)
        sizes[:larger] += 1
        return np.random.RandomState(1).permutation(sizes)

    @property
    def max_size(self) -> int:
        """The largest node size; smaller nodes are padded to it."""
        return -(-self.channels // self.num_nodes)

    @property
    def is_even(self) -> bool:
        """Whether all nodes hold the same number of channels, so that nothing is padded."""
        return self.channels % self.num_nodes == 0

    @cached_property
    def slots(self) -> npt.NDArray[np.int64]:
        """``[n, max_size]``: the channel in each slot of each node; ``channels`` if padded."""
        starts = np.cumsum(self.sizes) - self.sizes
        slots = starts[:, None] + np.arange(self.max_size)
        slots[~self.mask] = self.channels
        return slots

    @cached_property
    def mask(self) -> npt.NDArray[np.bool_]:
        """``[n, max_size]``: which slots hold a real channel."""
        return np.arange(self.max_size) < self.sizes[:, None]
