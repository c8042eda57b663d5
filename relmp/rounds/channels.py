"""Channels to nodes: which channels of a layer belong to which node."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from relmp.checks import check_whole

MAX_CHANNELS = 2**20
"""So many channels, features or classes may a layer have."""


@dataclass(frozen=True)
class ChannelPartition:
    r"""Deals ``channels`` out to ``num_nodes`` nodes as evenly as possible.

    Every node holds :math:`\lfloor c / n \rfloor` channels and :math:`c \bmod n` nodes hold
    one more; which ones is a fixed permutation, the same for every layer. The channels of a
    node are neighbours in the layer, in the order of the nodes.

    :meth:`from_sizes` gives every node as many as it is told instead.

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
    _sizes: tuple[int, ...] | None = None

    @classmethod
    def from_sizes(cls, sizes: Iterable[int]) -> ChannelPartition:
        """The partition in which node i holds ``sizes[i]`` channels.

        Raises:
            ValueError: If a size is no whole number of at least 1, or there are none.
        """
        given = tuple(sizes)
        whole = (isinstance(size, int | np.integer) and size >= 1 for size in given)
        if not given or not all(whole):
            raise ValueError(
                f"sizes must be whole numbers of at least 1, one a node, but are {list(given)}."
            )
        return cls(len(given), int(sum(given)), tuple(int(size) for size in given))

    @classmethod
    def of(cls, num_nodes: int, channels: int | ChannelPartition) -> ChannelPartition:
        """The partition of so many channels, or the one that is given.

        Raises:
            ValueError: If there are fewer channels than nodes, or it is for other nodes.
        """
        if not isinstance(channels, ChannelPartition):
            whole = isinstance(channels, np.integer)
            return cls(num_nodes, int(channels) if whole else channels)
        if channels.num_nodes != num_nodes:
            raise ValueError(
                f"The channels are dealt out to {channels.num_nodes} nodes, but the graph has "
                f"{num_nodes}; give one size for each of its nodes."
            )
        return channels

    def __post_init__(self) -> None:
        check_whole("channels", self.channels, 1, MAX_CHANNELS, meaning="of a layer")
        if self.channels < self.num_nodes:
            raise ValueError(
                f"{self.channels} channels cannot be shared by {self.num_nodes} nodes; every "
                f"node needs at least one: use {self.num_nodes} channels or more, or a graph "
                f"with fewer nodes."
            )

    @cached_property
    def sizes(self) -> npt.NDArray[np.int64]:
        """``[n]``: how many channels each node holds."""
        if self._sizes is not None:
            return np.array(self._sizes, dtype=np.int64)
        small, larger = divmod(self.channels, self.num_nodes)
        sizes = np.full(self.num_nodes, small, dtype=np.int64)
        sizes[:larger] += 1
        return np.random.RandomState(1).permutation(sizes)

    @property
    def max_size(self) -> int:
        """The largest node size; smaller nodes are padded to it."""
        return -(-self.channels // self.num_nodes) if self._sizes is None else max(self._sizes)

    @property
    def is_even(self) -> bool:
        """Whether all nodes hold the same number of channels, so that nothing is padded."""
        return self.max_size * self.num_nodes == self.channels

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
