"""Residual networks over relational graphs: those of the paper, and ResNet-18 and -20."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import torch.nn.functional as F
from torch import Tensor, nn

from relmp.graphs import RelationalGraph
from relmp.models.blocks import (
    ConvMessageFactory,
    ConvRounds,
    Size,
    check_images,
    dense_conv,
    halved,
    image_stem,
    initialise,
    stage_widths,
)
from relmp.models.cost import Classifier, LayerCost, Widths
from relmp.models.factory import models
from relmp.models.initial import Init, check_init
from relmp.rounds import Conv2dMessage
from relmp.rounds.aggregation import Aggr


@dataclass(frozen=True)
class Convolution:
    """One convolution of a block: a round, or a depth-wise step inside each node."""

    in_channels: int
    out_channels: int
    kernel_size: int = 1
    stride: int = 1
    depthwise: bool = False


BlockPlan: TypeAlias = Callable[[int, int, int], list[Convolution]]
"""``(in_channels, out_channels, stride) -> convolutions``."""


def basic(in_channels: int, out_channels: int, stride: int) -> list[Convolution]:
    """Two rounds of 3x3 convolutions.

    ::

        x --+-- 3x3 messages / stride, batch norm, ReLU
            |   3x3 messages, batch norm
            +-- 1x1 messages / stride, batch norm        where the shape changes
            sum, ReLU
    """
    return [
        Convolution(in_channels, out_channels, 3, stride),
        Convolution(out_channels, out_channels, 3),
    ]


def separable(in_channels: int, out_channels: int, stride: int) -> list[Convolution]:
    """Two rounds of 1x1 convolutions, each after a depth-wise one that stays in its node.

    ::

        x --+-- 3x3 depth-wise / stride, 1x1 messages, batch norm, ReLU
            |   3x3 depth-wise, 1x1 messages, batch norm
            +-- 1x1 messages / stride, batch norm        where the shape changes
            sum, ReLU
    """
    return [
        Convolution(in_channels, in_channels, 3, stride, depthwise=True),
        Convolution(in_channels, out_channels),
        Convolution(out_channels, out_channels, 3, depthwise=True),
        Convolution(out_channels, out_channels),
    ]


def bottleneck(in_channels: int, out_channels: int, stride: int) -> list[Convolution]:
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
        Convolution(in_channels, inner),
        Convolution(inner, inner, 3, stride),
        Convolution(inner, out_channels),
    ]


class ResidualBlock(nn.Module):
    """A block of rounds and its shortcut; the last batch norm starts at zero.

    Args:
        rounds: Makes the rounds.
        name: Name of the block in the model.
        convolutions: Its plan; every round is followed by batch norm and, but for the last,
            ReLU, and a depth-wise convolution by nothing.
        relational_projection: Whether the projection of the shortcut is a round.
    """

    def __init__(
        self,
        rounds: ConvRounds,
        name: str,
        convolutions: Sequence[Convolution],
        *,
        relational_projection: bool,
    ) -> None:
        super().__init__()
        first, last = convolutions[0], convolutions[-1]
        self.body = nn.Sequential()
        for number, c in enumerate(convolutions):
            if c.depthwise:
                layer: nn.Module = dense_conv(
                    c.in_channels, c.out_channels, c.kernel_size, stride=c.stride,
                    groups=c.in_channels,
                )  # fmt: skip
            else:
                norm = nn.BatchNorm2d(c.out_channels)
                layer = rounds(
                    f"{name}.body.{number}", c.in_channels, c.out_channels, c.kernel_size,
                    stride=c.stride, update=[norm] if c is last else [norm, nn.ReLU()],
                )  # fmt: skip
            self.body.append(layer)
        nn.init.zeros_(norm.weight)
        self.projection: nn.Module = nn.Identity()
        if _projects(convolutions):
            channels, stride = (first.in_channels, last.out_channels), _stride(convolutions)
            norm = nn.BatchNorm2d(last.out_channels)
            if relational_projection:
                self.projection = rounds(
                    f"{name}.projection", *channels, stride=stride, update=[norm]
                )
            else:
                self.projection = nn.Sequential(dense_conv(*channels, 1, stride=stride), norm)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.projection(x) + self.body(x))


def _stride(convolutions: Sequence[Convolution]) -> int:
    return math.prod(c.stride for c in convolutions)


def _projects(convolutions: Sequence[Convolution]) -> bool:
    same = convolutions[0].in_channels == convolutions[-1].out_channels
    return not same or _stride(convolutions) != 1


def _block_layers(
    name: str, convolutions: Sequence[Convolution], size: Size, relational_projection: bool
) -> Iterator[LayerCost]:
    """What a block costs for an input of this size."""
    for number, c in enumerate(convolutions):
        if c.stride == 2:
            size = halved(f"{name}.body.{number}", size)
        yield LayerCost(
            f"{name}.body.{number}",
            1 if c.depthwise else c.in_channels,
            c.out_channels,
            c.kernel_size**2,
            math.prod(size),
            relational=not c.depthwise,
        )
    if _projects(convolutions):
        yield LayerCost(
            f"{name}.projection",
            convolutions[0].in_channels,
            convolutions[-1].out_channels,
            pixels=math.prod(size),
            relational=relational_projection,
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
        graph: The graph of all rounds; None for the ordinary dense network.
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
    def plan_block(in_channels: int, out_channels: int, stride: int) -> list[Convolution]:
        """The convolutions of one block."""
        return basic(in_channels, out_channels, stride)

    def __init__(
        self,
        graph: RelationalGraph | None = None,
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
        init = check_init(init)
        stem_width = self.STEM_WIDTH if stem_width is None else stem_width
        self.in_channels = in_channels
        self.input_shape = (in_channels, self.IMAGE_SIZE, self.IMAGE_SIZE)
        self.widths = stage_widths(width, self.BASELINE_WIDTHS)
        rounds = ConvRounds(graph, message, aggr, execution)
        self.stem = self._make_stem(stem_width)
        stages = [nn.Sequential() for _ in self.DEPTHS]
        for stage, block, convolutions in self._blocks(self.widths, stem_width):
            name = f"stages.{stage}.{block}"
            stages[stage].append(
                ResidualBlock(
                    rounds, name, convolutions, relational_projection=self.RELATIONAL_PROJECTION
                )
            )
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(self.widths[-1], num_classes)
        initialise(self, rounds, init)

    def _make_stem(self, stem_width: int) -> nn.Sequential:
        kernel_size, stride = (7, 2) if self.STEM_HALVES else (3, 1)
        stem = nn.Sequential(
            dense_conv(self.in_channels, stem_width, kernel_size, stride=stride),
            nn.BatchNorm2d(stem_width),
            nn.ReLU(),
        )
        return stem.append(nn.MaxPool2d(3, stride=2, padding=1)) if self.STEM_HALVES else stem

    def forward(self, x: Tensor) -> Tensor:
        strided = ["stem.0", "stem.3"] if self.STEM_HALVES else []
        later = [f"stages.{stage}.0" for stage in range(1, len(self.DEPTHS))]
        check_images(x, self.in_channels, strided + later)
        return self.head(self.stages(self.stem(x)).mean((2, 3)))

    @classmethod
    def _blocks(
        cls, widths: Widths, stem_width: int
    ) -> Iterator[tuple[int, int, list[Convolution]]]:
        """Stage, number and convolutions of all blocks."""
        channels = stem_width
        for stage, (depth, width) in enumerate(zip(cls.DEPTHS, widths, strict=True)):
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                yield stage, block, cls.plan_block(channels, width, stride)
                channels = width

    @classmethod
    def layers(
        cls,
        widths: Widths,
        *,
        num_classes: int = 10,
        in_channels: int = 3,
        input_shape: Sequence[int] | None = None,
        stem_width: int | None = None,
        **options: Any,
    ) -> Iterator[LayerCost]:
        channels, height, width = input_shape or (in_channels, cls.IMAGE_SIZE, cls.IMAGE_SIZE)
        stem_width = cls.STEM_WIDTH if stem_width is None else stem_width
        taps = 49 if cls.STEM_HALVES else 9
        stem, size = image_stem(channels, stem_width, taps, (height, width), halves=cls.STEM_HALVES)
        yield stem
        for stage, block, convolutions in cls._blocks(widths, stem_width):
            name = f"stages.{stage}.{block}"
            yield from _block_layers(name, convolutions, size, cls.RELATIONAL_PROJECTION)
            if _stride(convolutions) == 2:
                size = halved(name, size)
        yield LayerCost("head", widths[-1], num_classes)


@models.register("resnet18")
class ResNet18(ResNet):
    """:class:`ResNet` of (2, 2, 2, 2) :func:`basic` blocks; relational where ResNet-34 is."""

    DEPTHS: ClassVar[tuple[int, ...]] = (2, 2, 2, 2)
    BASELINE_WIDTHS: ClassVar[Widths] = (64, 128, 256, 512)


@models.register("resnet34")
class ResNet34(ResNet):
    """The paper's :class:`ResNet` of (3, 4, 6, 3) :func:`basic` blocks."""

    DEPTHS: ClassVar[tuple[int, ...]] = (3, 4, 6, 3)
    BASELINE_WIDTHS: ClassVar[Widths] = (64, 128, 256, 512)


@models.register("resnet34_sep")
class ResNet34Sep(ResNet):
    """The paper's :class:`ResNet` of (3, 4, 6, 3) :func:`separable` blocks."""

    DEPTHS: ClassVar[tuple[int, ...]] = (3, 4, 6, 3)
    BASELINE_WIDTHS: ClassVar[Widths] = (64, 128, 256, 512)
    plan_block = staticmethod(separable)


@models.register("resnet50")
class ResNet50(ResNet):
    """The paper's :class:`ResNet` of (3, 4, 6, 3) :func:`bottleneck` blocks.

    Its projections are dense; ``width`` counts the output of the blocks.
    """

    DEPTHS: ClassVar[tuple[int, ...]] = (3, 4, 6, 3)
    BASELINE_WIDTHS: ClassVar[Widths] = (256, 512, 1024, 2048)
    RELATIONAL_PROJECTION: ClassVar[bool] = False
    plan_block = staticmethod(bottleneck)


@models.register("resnet20")
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
