"""What the convolutional models are built of, and errors that name the layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeAlias

from torch import Tensor, nn

from relmp.graphs import RelationalGraph
from relmp.models.cost import LayerCost, Widths
from relmp.models.initial import Init, draw_weights
from relmp.rounds import ChannelPartition, Conv2dMessage, Round
from relmp.rounds.aggregation import Aggr

Size: TypeAlias = tuple[int, int]
"""Height and width of an image inside a model."""


class ConvMessageFactory(Protocol):
    """Makes the messages of a convolutional round; it is told the geometry."""

    def __call__(
        self,
        num_edges: int,
        in_dim: int,
        out_dim: int,
        *,
        kernel_size: int,
        stride: int,
        padding: int,
    ) -> nn.Module: ...


@contextmanager
def layer_errors(name: str) -> Iterator[None]:
    """Put the name of the layer in front of a ``ValueError`` raised while building it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"Layer '{name}': {error}") from error


# Building -------------------------------------------------------------------------------


@dataclass(frozen=True)
class ConvRounds:
    """Makes the convolutional rounds of one model; without a graph, ordinary convolutions.

    Args:
        graph: The graph of all rounds; None for the ordinary dense network.
        message: Makes the messages: ``(num_edges, in_dim, out_dim, *, kernel_size, stride,
            padding) -> nn.Module``.
        aggr, execution: See :class:`relmp.Round`.
    """

    graph: RelationalGraph | None
    message: ConvMessageFactory = Conv2dMessage
    aggr: Aggr = "sum"
    execution: str = "auto"
    made: list[nn.Module] = field(default_factory=list)
    """What it has made."""

    def __call__(
        self,
        name: str,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        *,
        stride: int = 1,
        update: Sequence[nn.Module] = (),
    ) -> nn.Module:
        """One round, no bias, padded so that only the stride makes images smaller.

        Raises:
            ValueError: If there are fewer channels than nodes; it names the layer.
        """
        geometry = {
            "kernel_size": kernel_size,
            "stride": stride,
            "padding": (kernel_size - 1) // 2,
        }
        if self.graph is None:
            dense = nn.Conv2d(in_channels, out_channels, bias=False, **geometry)  # type: ignore[arg-type]
            self.made.append(nn.Sequential(dense, *update))
            return self.made[-1]
        with layer_errors(name):
            layer = Round(
                self.graph,
                in_channels,
                out_channels,
                message=partial(self.message, **geometry),
                aggr=self.aggr,
                update=nn.Sequential(*update) if update else None,
                bias=False,
                execution=self.execution,
            )
        self.made.append(layer)
        return layer


def dense_conv(
    in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    """A convolution without bias that is not relational, padded as the rounds are."""
    return nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding=(kernel_size - 1) // 2,
        groups=groups,
        bias=False,
    )


def initialise(model: nn.Module, rounds: ConvRounds, init: Init) -> None:
    r"""Draw the weights outside of rounds as the paper does; rounds have drawn theirs.

    Convolutions from :math:`N(0, 2 / (k^2 C_{out}))`, linear layers from
    :math:`N(0, 0.01^2)` with bias zero; then what another ``init`` draws otherwise.
    """
    inside = {id(m) for r in model.modules() if isinstance(r, Round) for m in r.modules()}
    for module in model.modules():
        if id(module) in inside:
            continue
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
            nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    draw_weights(model, rounds.made, init)


def stage_widths(width: int | Sequence[int] | None, baseline: Widths) -> Widths:
    """Widths of all stages: as given, or in the proportions of the baseline.

    Raises:
        ValueError: If a width is not positive, or their number is not that of the stages.
    """
    if width is None:
        return baseline
    if isinstance(width, int):
        widths: Widths = tuple(round(width * stage / baseline[0]) for stage in baseline)
    else:
        widths = tuple(width)
    if len(widths) != len(baseline) or min(widths) < 1:
        raise ValueError(
            f"width must be the channels of the first stage or of all {len(baseline)} stages, "
            f"each at least 1, but is {width!r}."
        )
    return widths


def halved(name: str, size: Size) -> Size:
    """Size of an image after a layer of stride 2.

    Raises:
        ValueError: If there is nothing left to halve; it names the layer.
    """
    if min(size) < 2:
        raise ValueError(
            f"Layer '{name}' halves its input, which is {size[0]} x {size[1]} already; give the "
            f"model larger images."
        )
    return -(-size[0] // 2), -(-size[1] // 2)


def check_images(x: Tensor, in_channels: int, strided: Sequence[str]) -> None:
    """See that images fit a model whose layers ``strided`` halve them, one after the other.

    Raises:
        ValueError: If they do not.
    """
    if x.dim() != 4 or x.size(1) != in_channels:
        raise ValueError(
            f"This model takes images [B, {in_channels}, H, W], but was given {list(x.shape)}."
        )
    size = (x.size(2), x.size(3))
    for name in strided:
        size = halved(name, size)


def check_widths(graph: RelationalGraph | None, layers: Iterator[LayerCost]) -> None:
    """See that every round has a channel for every node.

    Raises:
        ValueError: If one has not; it names the layer.
    """
    for layer in layers:
        if graph is not None and layer.relational:
            with layer_errors(layer.name):
                ChannelPartition(graph.num_nodes, min(layer.in_channels, layer.out_channels))


def image_stem(
    channels: int, out: int, taps: int, size: Size, *, halves: bool
) -> tuple[LayerCost, Size]:
    """Cost of the convolution of a stem, and the size of images behind the stem.

    A stem that ``halves`` does so twice: by the stride of its convolution and by its pooling.
    """
    if halves:
        size = halved("stem.0", size)
    cost = LayerCost("stem.0", channels, out, taps, math.prod(size))
    return cost, halved("stem.3", size) if halves else size
