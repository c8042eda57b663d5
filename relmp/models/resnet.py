"""Residual networks over relational graphs: those of the paper, and ResNet-18 and -20."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import torch.nn.functional as F
from torch import Tensor, nn

from relmp.graphs.layers.mapping import Graphs
from relmp.models.architecture import Drawing, Maker, Plan, Widths, check_images
from relmp.models.blocks import (
    ConvMessageFactory,
    draw_stem,
    make_stem,
    stage_widths,
)
from relmp.models.budget import Classifier
from relmp.models.factory import MODELS
from relmp.models.initial import Init
from relmp.rounds import Conv2dMessage
from relmp.rounds.aggregation import Aggr


@dataclass(frozen=True)
class BlockConv:
    """One convolution of a block: a round, or a depth-wise step inside each node."""

    in_channels: int
    out_channels: int
    kernel_size: int = 1
    stride: int = 1
    depthwise: bool = False


BlockPlan: TypeAlias = Callable[[int, int, int], list[BlockConv]]
"""``(in_channels, out_channels, stride) -> convolutions``."""


def basic(in_channels: int, out_channels: int, stride: int) -> list[BlockConv]:
    """Two rounds of 3x3 convolutions.

    ::

        x --+-- 3x3 messages / stride, batch norm, ReLU
            |   3x3 messages, batch norm
            +-- 1x1 messages / stride, batch norm        where the shape changes
            sum, ReLU
    """
    return [
        BlockConv(in_channels, out_channels, 3, stride),
        BlockConv(out_channels, out_channels, 3),
    ]


def separable(in_channels: int, out_channels: int, stride: int) -> list[BlockConv]:
    """Two rounds of 1x1 convolutions, each after a depth-wise one that stays in its node.

    ::

        x --+-- 3x3 depth-wise / stride, 1x1 messages, batch norm, ReLU
            |   3x3 depth-wise, 1x1 messages, batch norm
            +-- 1x1 messages / stride, batch norm        where the shape changes
            sum, ReLU
    """
    return [
        BlockConv(in_channels, in_channels, 3, stride, depthwise=True),
        BlockConv(in_channels, out_channels),
        BlockConv(out_channels, out_channels, 3, depthwise=True),
        BlockConv(out_channels, out_channels),
    ]


def bottleneck(in_channels: int, out_channels: int, stride: int) -> list[BlockConv]:
    """Three rounds, the middle one on a quarter of the channels.

    ::

        x --+-- 1x1 messages, batch norm, ReLU
            |   3x3 messages / stride, batch norm, ReLU
            |   1x1 messages, batch norm
            +-- 1x1 convolution / stride, batch norm     where the shape changes; dense
            sum, ReLU
    """
    inner = round(out_channels / 4)
    return [
        BlockConv(in_channels, inner),
        BlockConv(inner, inner, 3, stride),
        BlockConv(inner, out_channels),
    ]


class ResidualBlock(nn.Module):
    """A block of rounds and its shortcut; the last batch norm starts at zero.

    Args:
        make: Makes the layers.
        name: Name of the block in the model; its layers are those of the plan below it. Every
            round is followed by batch norm and, but for the last, ReLU, and a depth-wise
            convolution by nothing.
    """

    def __init__(self, make: Maker, name: str) -> None:
        super().__init__()
        body = [layer for layer in make.plan if layer.startswith(f"{name}.body.")]
        self.body = nn.Sequential()
        for layer in body:
            if make.plan[layer].depthwise:
                self.body.append(make(layer))
                continue
            norm = make.norm(layer)
            self.body.append(make(layer, [norm] if layer == body[-1] else [norm, nn.ReLU()]))
        nn.init.zeros_(norm.weight)  # type: ignore[arg-type]
        self.projection: nn.Module = nn.Identity()
        projection = f"{name}.projection"
        if projection in make.plan:
            norm = make.norm(projection)
            layer_of = make(projection, [norm])
            dense = not make.plan[projection].relational
            self.projection = nn.Sequential(layer_of, norm) if dense else layer_of

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.projection(x) + self.body(x))


def draw_block(
    drawing: Drawing, name: str, convolutions: Sequence[BlockConv], *, relational: bool
) -> None:
    """A block, its shortcut last; ``relational`` says whether a projection is a round."""
    before = (drawing.channels, drawing.size)
    for number, c in enumerate(convolutions):
        drawing.conv(
            f"{name}.body.{number}", c.out_channels, c.kernel_size, stride=c.stride,
            relational=not c.depthwise, depthwise=c.depthwise,
        )  # fmt: skip
    stride = math.prod(c.stride for c in convolutions)
    if before[0] != drawing.channels or stride != 1:
        drawing.conv(
            f"{name}.projection", drawing.channels, stride=stride, relational=relational, of=before
        )


class ResNet(Classifier):
    r"""A residual network of four (or three) stages of blocks; see its variants.

    ::

        images [B, in_channels, H, W]
          | stem    7x7 convolution / 2, batch norm, ReLU        dense, stem_width channels
          |         3x3 max pooling / 2
          | stages  blocks of rounds; the first of each stage
          |         but the first halves the images              relational
          |         mean over all pixels
          | head    Linear with bias                             dense
        scores [B, num_classes]

    No convolution has a bias.

    Args:
        graph: The graph of all rounds, or graphs by name of layer; None for the ordinary
            dense network.
        num_classes: Number of classes.
        in_channels: Channels of the images.
        width: Channels of the first stage, the others in proportion; or of every stage.
        stem_width: Channels of the stem.
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
        He, Zhang, Ren, Sun, *Deep Residual Learning for Image Recognition*, CVPR 2016.
    """

    DEPTHS: ClassVar[tuple[int, ...]]
    WIDTH_RESCALES: ClassVar[int] = 9
    IMAGE_SIZE: ClassVar[int] = 224
    STEM_WIDTH: ClassVar[int] = 64
    STEM_HALVES: ClassVar[bool] = True
    RELATIONAL_PROJECTION: ClassVar[bool] = True

    @staticmethod
    def plan_block(in_channels: int, out_channels: int, stride: int) -> list[BlockConv]:
        """The convolutions of one block."""
        return basic(in_channels, out_channels, stride)

    def __init__(
        self,
        graph: Graphs = None,
        num_classes: int = 10,
        *,
        in_channels: int = 3,
        width: int | Sequence[int] | None = None,
        stem_width: int | None = None,
        message: ConvMessageFactory = Conv2dMessage,
        aggr: Aggr = "sum",
        execution: str = "auto",
        init: Init = "paper",
    ) -> None:
        super().__init__()
        self.input_shape = (in_channels, self.IMAGE_SIZE, self.IMAGE_SIZE)
        self.widths = stage_widths(width, self.BASELINE_WIDTHS)
        self.layers = self.plan(
            self.widths, num_classes=num_classes, in_channels=in_channels, stem_width=stem_width
        )
        make = Maker(self.layers, graph, message, aggr, execution, init)
        self.stem = make_stem(make)
        self.stages = nn.Sequential()
        for stage, depth in enumerate(self.DEPTHS):
            blocks = [ResidualBlock(make, f"stages.{stage}.{block}") for block in range(depth)]
            self.stages.append(nn.Sequential(*blocks))
        self.head = make("head")
        make.finish(self)

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.layers)
        return self.head(self.stages(self.stem(x)).mean((2, 3)))

    @classmethod
    def plan(
        cls,
        widths: Widths,
        *,
        num_classes: int = 10,
        in_channels: int = 3,
        input_shape: Sequence[int] | None = None,
        stem_width: int | None = None,
        **options: Any,
    ) -> Plan:
        drawing = Drawing(input_shape or (in_channels, cls.IMAGE_SIZE, cls.IMAGE_SIZE))
        kernel_size = 7 if cls.STEM_HALVES else 3
        draw_stem(drawing, stem_width or cls.STEM_WIDTH, kernel_size, halves=cls.STEM_HALVES)
        for stage, (depth, out) in enumerate(zip(cls.DEPTHS, widths, strict=True)):
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                draw_block(
                    drawing, f"stages.{stage}.{block}",
                    cls.plan_block(drawing.channels, out, stride),
                    relational=cls.RELATIONAL_PROJECTION,
                )  # fmt: skip
        drawing.linear("head", num_classes, bias=True)
        return drawing.plan


@MODELS.register("resnet18")
class ResNet18(ResNet):
    """:class:`ResNet` of (2, 2, 2, 2) :func:`basic` blocks; relational where ResNet-34 is."""

    DEPTHS: ClassVar[tuple[int, ...]] = (2, 2, 2, 2)
    BASELINE_WIDTHS: ClassVar[Widths] = (64, 128, 256, 512)


@MODELS.register("resnet34")
class ResNet34(ResNet):
    """The paper's :class:`ResNet` of (3, 4, 6, 3) :func:`basic` blocks."""

    DEPTHS: ClassVar[tuple[int, ...]] = (3, 4, 6, 3)
    BASELINE_WIDTHS: ClassVar[Widths] = (64, 128, 256, 512)


@MODELS.register("resnet34_sep")
class ResNet34Sep(ResNet):
    """The paper's :class:`ResNet` of (3, 4, 6, 3) :func:`separable` blocks."""

    DEPTHS: ClassVar[tuple[int, ...]] = (3, 4, 6, 3)
    BASELINE_WIDTHS: ClassVar[Widths] = (64, 128, 256, 512)
    plan_block = staticmethod(separable)


@MODELS.register("resnet50")
class ResNet50(ResNet):
    """The paper's :class:`ResNet` of (3, 4, 6, 3) :func:`bottleneck` blocks.

    Its projections are dense; ``width`` counts the output of the blocks.
    """

    DEPTHS: ClassVar[tuple[int, ...]] = (3, 4, 6, 3)
    BASELINE_WIDTHS: ClassVar[Widths] = (256, 512, 1024, 2048)
    RELATIONAL_PROJECTION: ClassVar[bool] = False
    plan_block = staticmethod(bottleneck)


@MODELS.register("resnet20")
class ResNet20(ResNet):
    """:class:`ResNet` of (3, 3, 3) :func:`basic` blocks for images of 32 x 32 pixels.

    Its stem is a 3x3 convolution that does not make images smaller; relational where
    ResNet-34 is.
    """

    DEPTHS: ClassVar[tuple[int, ...]] = (3, 3, 3)
    BASELINE_WIDTHS: ClassVar[Widths] = (16, 32, 64)
    WIDTH_RESCALES: ClassVar[int] = 15
    IMAGE_SIZE: ClassVar[int] = 32
    STEM_WIDTH: ClassVar[int] = 16
    STEM_HALVES: ClassVar[bool] = False
