"""What a layer costs, by arithmetic; a model lists its layers without being built."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, ClassVar, TypeAlias

import numpy as np
from torch import nn

from relmp.graphs import RelationalGraph, create_graph
from relmp.rounds import (
    ChannelPartition,
    Conv2dMessage,
    LinearMessage,
    linear_map,
    message_flops,
)
from relmp.rounds.round import MessageFactory

Widths: TypeAlias = tuple[int, ...]
"""Channels of the relational stages, in order."""


@dataclass(frozen=True)
class LayerCost:
    """What decides the multiply-adds of one layer for one image.

    Args:
        name: Name of the layer.
        in_channels: Channels that every output channel sees; 1 for a depth-wise layer.
        out_channels: Channels of the output.
        kernel: Area of the kernel.
        pixels: Pixels of the output.
        relational: Whether the layer is a round.
        extra: Multiply-adds that come on top.
    """

    name: str
    in_channels: int
    out_channels: int
    kernel: int = 1
    pixels: int = 1
    relational: bool = False
    extra: int = 0

    def weights(self, graph: RelationalGraph | None) -> int:
        """Weights on the edges of a graph; None counts the dense layer."""
        pairs = round_flops(graph if self.relational else None, self.in_channels, self.out_channels)
        return pairs * self.kernel

    def flops(
        self,
        graph: RelationalGraph | None,
        message: MessageFactory | None = None,
        *,
        convolutional: bool = True,
    ) -> int:
        """Multiply-adds over the edges of a graph; None counts the dense layer.

        Args:
            graph: The graph of the round.
            message: What its nodes say; linear by default.
            convolutional: Whether the message is told the kernel.
        """
        if self.relational and graph is not None and message not in LINEAR:
            kernel_size = math.isqrt(self.kernel) if convolutional else None
            channels = (self.in_channels, self.out_channels)
            count = other_round_flops(graph, *channels, message, kernel_size, self.pixels)
            return count + self.extra
        return self.weights(graph) * self.pixels + self.extra


class Classifier(nn.Module, ABC):
    """Base of the image classifiers whose width can be matched to a budget.

    A subclass takes ``(graph, num_classes, *, width=None, ...)`` and lists its layers.
    """

    BASELINE_WIDTHS: ClassVar[Widths]
    """Widths of the relational stages of the published complete-graph model."""
    WIDTH_RESCALES: ClassVar[int]
    """How often the published search rescales: 15 for small images, 9 for large ones."""
    CONVOLUTIONAL: ClassVar[bool] = True
    """Whether the messages of the rounds are told the geometry of a convolution."""

    input_shape: tuple[int, ...]
    """Shape of the images that the model is usually given, ``(C, H, W)`` or ``(C,)``."""

    @classmethod
    @abstractmethod
    def layers(cls, widths: Widths, **options: Any) -> Iterator[LayerCost]:
        """All layers that cost multiply-adds, in order."""

    @staticmethod
    def input_options(input_shape: Sequence[int]) -> dict[str, int]:
        """The options that images of this shape ask for."""
        return {"in_channels": input_shape[0]}

    @classmethod
    def match_options(cls, graph: RelationalGraph | None, width: int) -> dict[str, Any]:
        """Defaults of the options where a model is matched to a baseline of this first width."""
        return {}

    @classmethod
    def flops(
        cls,
        graph: RelationalGraph | None,
        widths: Widths,
        *,
        message: MessageFactory | None = None,
        **options: Any,
    ) -> int:
        """Multiply-adds of one image, without building the model; options as :meth:`layers`.

        Raises:
            NotImplementedError: If the message does not say what it costs.
        """
        layers = cls.layers(widths, **options)
        return sum(layer.flops(graph, message, convolutional=cls.CONVOLUTIONAL) for layer in layers)


@lru_cache(maxsize=1024)
def round_flops(graph: RelationalGraph | None, in_channels: int, out_channels: int) -> int:
    """Multiply-adds of a linear round for one position; None counts the dense layer.

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
    """Multiply-adds of a round with messages that are not linear.

    A search for widths may pass through a round with fewer channels than nodes, which cannot
    be built; it is counted as a linear one.
    """
    if min(in_channels, out_channels) < graph.num_nodes:
        return round_flops(graph, in_channels, out_channels) * (kernel_size or 1) ** 2 * pixels
    if kernel_size is not None:
        geometry = {"kernel_size": kernel_size, "stride": 1, "padding": (kernel_size - 1) // 2}
        message = partial(message, **geometry)
    return message_flops(message, graph, in_channels, out_channels, pixels)


LINEAR: tuple[MessageFactory | None, ...] = (None, LinearMessage, Conv2dMessage, linear_map)
"""Messages whose cost follows from the numbers of channels alone."""


def _with_fewer_nodes(graph: RelationalGraph, nodes: int) -> RelationalGraph | None:
    if graph.generator is None or graph.generator.name != "ws_flex":
        return None
    arguments = dict(graph.generator.arguments)
    arguments |= {"n": nodes, "k": nodes * arguments["k"] / arguments["n"]}
    try:
        return create_graph("ws_flex", **arguments)
    except ValueError:  # k below 2, or no connected graph
        return None
