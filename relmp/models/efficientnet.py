"""EfficientNet-B0 over a relational graph."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from torch import Tensor, nn

from relmp.graphs import RelationalGraph
from relmp.models.blocks import (
    ConvMessageFactory,
    ConvRounds,
    Size,
    check_images,
    dense_conv,
    halved,
    initialise,
    stage_widths,
)
from relmp.models.cost import Classifier, LayerCost, Widths
from relmp.models.factory import models
from relmp.models.initial import Init, check_init
from relmp.rounds import Conv2dMessage
from relmp.rounds.aggregation import Aggr

ExpandBy: TypeAlias = Literal["input", "stage"]


@dataclass(frozen=True)
class MBConvPlan:
    """The sizes of one inverted bottleneck."""

    in_channels: int
    expanded: int
    out_channels: int
    kernel_size: int
    stride: int

    @property
    def expands(self) -> bool:
        """Whether there is a round before the depth-wise convolution."""
        return self.expanded != self.in_channels

    @property
    def squeezed(self) -> int:
        """Channels inside squeeze and excitation."""
        return max(1, self.in_channels // 4)

    def layers(self, name: str, size: Size) -> Iterator[LayerCost]:
        """What the block costs for an input of this size."""
        if self.expands:
            pixels = math.prod(size)
            yield LayerCost(f"{name}.expand", self.in_channels, self.expanded, 1, pixels, True)
        if self.stride == 2:
            size = halved(f"{name}.depthwise.0", size)
        pixels = math.prod(size)
        yield LayerCost(f"{name}.depthwise.0", 1, self.expanded, self.kernel_size**2, pixels)
        squeeze = 2 * self.expanded * self.squeezed + self.expanded + self.squeezed
        yield LayerCost(f"{name}.squeeze", 0, 0, extra=squeeze)
        yield LayerCost(f"{name}.project", self.expanded, self.out_channels, 1, pixels, True)


class SqueezeExcitation(nn.Module):
    """Scales every channel by what all channels say about it.

    Its multiply-adds include the biases, as in the paper's code.

    Args:
        channels: Channels of the images.
        squeezed: Channels in between.
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.scale = nn.Sequential(
            nn.Conv2d(channels, squeezed, 1), nn.SiLU(), nn.Conv2d(squeezed, channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.scale(x.mean((2, 3), keepdim=True)))

    def flops(self) -> int:
        """Multiply-adds of one image."""
        return sum(parameter.numel() for parameter in self.parameters())


class MBConv(nn.Module):
    r"""An inverted bottleneck.

    ::

        x --+-- expand     1x1 messages, batch norm, SiLU                relational
            |   depthwise  k x k convolution / stride, batch norm, SiLU  stays in its node
            |   squeeze    squeeze and excitation                        dense
            |   project    1x1 messages, batch norm                      relational
            sum                                      where the shape stays the same
    """

    def __init__(self, rounds: ConvRounds, name: str, plan: MBConvPlan) -> None:
        super().__init__()
        width = plan.expanded
        self.expand: nn.Module = nn.Identity()
        if plan.expands:
            update = [nn.BatchNorm2d(width), nn.SiLU()]
            self.expand = rounds(f"{name}.expand", plan.in_channels, width, update=update)
        self.depthwise = nn.Sequential(
            dense_conv(width, width, plan.kernel_size, stride=plan.stride, groups=width),
            nn.BatchNorm2d(width),
            nn.SiLU(),
        )
        self.squeeze = SqueezeExcitation(width, plan.squeezed)
        self.project = rounds(
            f"{name}.project", width, plan.out_channels, update=[nn.BatchNorm2d(plan.out_channels)]
        )
        self.has_shortcut = plan.stride == 1 and plan.in_channels == plan.out_channels

    def forward(self, x: Tensor) -> Tensor:
        out = self.project(self.squeeze(self.depthwise(self.expand(x))))
        return x + out if self.has_shortcut else out


@models.register("efficientnet_b0")
class EfficientNetB0(Classifier):
    r"""The paper's EfficientNet-B0, without dropout; its graphs have 16 nodes.

    ::

        images [B, in_channels, H, W]
          | stem    3x3 convolution / 2, batch norm, SiLU        dense, stem_width channels
          | stages  seven stages of MBConv                       relational
          | top     1x1 convolution, batch norm, SiLU            dense, 1280 channels
          |         mean over all pixels
          | head    Linear with bias                             dense
        scores [B, num_classes]

    The blocks expand to six times the width of their input. Those of the paper's relational
    models expand to six times the *baseline's* output width of their stage, whatever the
    width is matched to; so over the complete graph they are not the baseline.

    Args:
        graph: The graph of all rounds; None for the ordinary dense network.
        num_classes: Number of classes.
        in_channels: Channels of the images.
        width: Channels of the first stage, the others in proportion; or of every stage.
        stem_width: Channels of the stem.
        expand_by: ``"input"`` or ``"stage"``: what the blocks expand by; by default
            ``"stage"`` with a graph and ``"input"`` without.
        message: As of :class:`relmp.Round`, and told ``kernel_size``, ``stride`` and
            ``padding``.
        aggr: See :class:`relmp.Round`.
        execution: See :class:`relmp.Round`.
        init: How weights start: ``"paper"``, ``"degree"`` or ``"fan_in"``; see
            :data:`relmp.models.initial.Init`.

    Shapes:
        - **input** ``[B, in_channels, H, W]`` -> **output** ``[B, num_classes]``

    Raises:
        ValueError: If a layer has fewer channels than the graph has nodes, or the images are
            too small to be halved so often.

    Reference:
        You, Leskovec, He, Xie, *Graph Structure of Neural Networks*, ICML 2020, section 5.1;
        Tan, Le, *EfficientNet*, ICML 2019.
    """

    BASELINE_WIDTHS: ClassVar[Widths] = (16, 24, 40, 80, 112, 192, 320)
    WIDTH_RESCALES: ClassVar[int] = 9
    DEPTHS: ClassVar[tuple[int, ...]] = (1, 2, 2, 3, 3, 4, 1)
    KERNEL_SIZES: ClassVar[tuple[int, ...]] = (3, 3, 5, 3, 5, 5, 3)
    STRIDES: ClassVar[tuple[int, ...]] = (1, 2, 2, 2, 1, 2, 1)
    EXPANSIONS: ClassVar[tuple[int, ...]] = (1, 6, 6, 6, 6, 6, 6)
    TOP_WIDTH: ClassVar[int] = 1280

    def __init__(
        self,
        graph: RelationalGraph | None = None,
        num_classes: int = 10,
        *,
        in_channels: int = 3,
        width: int | Sequence[int] | None = None,
        stem_width: int = 32,
        expand_by: ExpandBy | None = None,
        message: ConvMessageFactory = Conv2dMessage,
        aggr: Aggr = "sum",
        execution: str = "auto",
        init: Init = "paper",
    ) -> None:
        super().__init__()
        init = check_init(init)
        self.in_channels = in_channels
        self.input_shape = (in_channels, 224, 224)
        self.widths = stage_widths(width, self.BASELINE_WIDTHS)
        rounds = ConvRounds(graph, message, aggr, execution)
        self.stem = nn.Sequential(
            dense_conv(in_channels, stem_width, 3, stride=2), nn.BatchNorm2d(stem_width), nn.SiLU()
        )
        stages = [nn.Sequential() for _ in self.DEPTHS]
        expand_by = _expand_by(expand_by, graph)
        for stage, block, plan in self._blocks(self.widths, stem_width, expand_by):
            stages[stage].append(MBConv(rounds, f"stages.{stage}.{block}", plan))
        self.stages = nn.Sequential(*stages)
        self.top = nn.Sequential(
            dense_conv(self.widths[-1], self.TOP_WIDTH, 1),
            nn.BatchNorm2d(self.TOP_WIDTH),
            nn.SiLU(),
        )
        self.head = nn.Linear(self.TOP_WIDTH, num_classes)
        initialise(self, rounds, init)

    def forward(self, x: Tensor) -> Tensor:
        later = [f"stages.{stage}.0" for stage, stride in enumerate(self.STRIDES) if stride == 2]
        check_images(x, self.in_channels, ["stem.0", *later])
        return self.head(self.top(self.stages(self.stem(x))).mean((2, 3)))

    @classmethod
    def _blocks(
        cls, widths: Widths, stem_width: int, expand_by: ExpandBy
    ) -> Iterator[tuple[int, int, MBConvPlan]]:
        """Stage, number and sizes of all blocks."""
        channels = stem_width
        for stage, depth in enumerate(cls.DEPTHS):
            expansion, out = cls.EXPANSIONS[stage], widths[stage]
            for block in range(depth):
                by = channels if expand_by == "input" else cls.BASELINE_WIDTHS[stage]
                expanded = channels if expansion == 1 else expansion * by
                stride = cls.STRIDES[stage] if block == 0 else 1
                kernel_size = cls.KERNEL_SIZES[stage]
                yield stage, block, MBConvPlan(channels, expanded, out, kernel_size, stride)
                channels = out

    @classmethod
    def match_options(cls, graph: RelationalGraph | None, width: int) -> dict[str, Any]:
        """The complete graph stands for the baseline, so it expands as the baseline does."""
        return {"expand_by": "input"} if graph is not None and graph.is_complete else {}

    @classmethod
    def layers(
        cls,
        widths: Widths,
        *,
        num_classes: int = 10,
        in_channels: int = 3,
        input_shape: Sequence[int] | None = None,
        stem_width: int = 32,
        expand_by: ExpandBy = "input",
        **options: Any,
    ) -> Iterator[LayerCost]:
        channels, height, width = input_shape or (in_channels, 224, 224)
        size = halved("stem.0", (height, width))
        yield LayerCost("stem.0", channels, stem_width, 9, math.prod(size))
        for stage, block, plan in cls._blocks(widths, stem_width, expand_by):
            name = f"stages.{stage}.{block}"
            yield from plan.layers(name, size)
            size = halved(name, size) if plan.stride == 2 else size
        yield LayerCost("top.0", widths[-1], cls.TOP_WIDTH, 1, math.prod(size))
        yield LayerCost("head", cls.TOP_WIDTH, num_classes)

    @classmethod
    def flops(cls, graph: RelationalGraph | None, widths: Widths, **options: Any) -> int:
        expand_by = _expand_by(options.pop("expand_by", None), graph)
        return super().flops(graph, widths, expand_by=expand_by, **options)


def _expand_by(given: ExpandBy | None, graph: RelationalGraph | None) -> ExpandBy:
    """What blocks expand by.

    Raises:
        ValueError: If it is neither.
    """
    if given is None:
        return "input" if graph is None else "stage"
    if given not in ("input", "stage"):
        raise ValueError(f"expand_by must be 'input' or 'stage', but is {given!r}.")
    return given
