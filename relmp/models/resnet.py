"""Residual networks over relational graphs: those of the paper, ResNet-18 and -20, deeper ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, TypeAlias, get_args

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
from relmp.models.parts.folded import Folded, FoldNorm, check_fold
from relmp.models.parts.packing import in_turn
from relmp.models.parts.residual import (
    BlockConv,
    ResidualBlock,
    basic,
    bottleneck,
    draw_block,
    separable,
)
from relmp.models.parts.scores import Scored
from relmp.rounds import Conv2dMessage
from relmp.rounds.aggregation import Aggr

Stem: TypeAlias = Literal["imagenet", "cifar"]
"""A 7x7 convolution and max pooling that halve images twice, or a 3x3 one that keeps their size."""


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
        stem: ``"imagenet"`` or ``"cifar"``, for images of 32 x 32 pixels; by default that of the
            drawing (of ResNet-20, ``"cifar"``).
        fold: Numbers of the stages, from 1, whose blocks after the first are one block, iterated
            with tied weights (:class:`relmp.Folded`).
        fold_norm: Whether its iterations have batch norms of their ``"own"`` or ``"shared"`` ones.
        message: As of :class:`relmp.Round`, and told ``kernel_size``, ``stride`` and
            ``padding``.
        aggr: See :class:`relmp.Round`.
        execution: See :class:`relmp.Round`.
        init: How weights start: ``"paper"``, ``"degree"`` or ``"fan_in"``; see
            :data:`relmp.models.initial.Init`.
        scored: Where a scored message chooses weights, ``"rounds"`` or ``"all"``; see
            :data:`relmp.models.parts.scores.Scored`.

    Shapes:
        - **input** ``[B, in_channels, H, W]`` -> **output** ``[B, num_classes]``

    Raises:
        ValueError: If a layer has fewer channels than the graph has nodes, or the images are
            too small to be halved so often.

    Reference:
        You, Leskovec, He, Xie, *Graph Structure of Neural Networks*, ICML 2020, section 5.1;
        He, Zhang, Ren, Sun, *Deep Residual Learning for Image Recognition*, CVPR 2016;
        García-Arias et al., *Hidden-Fold Networks*, BMVC 2021 (folds).
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
        stem: Stem | None = None,
        fold: Sequence[int] = (),
        fold_norm: FoldNorm = "own",
        message: ConvMessageFactory = Conv2dMessage,
        aggr: Aggr = "sum",
        execution: str = "auto",
        init: Init = "paper",
        scored: Scored = "rounds",
    ) -> None:
        super().__init__()
        size = self._image_size(stem)
        self.input_shape = (in_channels, size, size)
        self.widths = stage_widths(width, self.BASELINE_WIDTHS)
        self.layers = self.plan(
            self.widths, num_classes=num_classes, in_channels=in_channels, stem_width=stem_width,
            stem=stem, fold=fold,
        )  # fmt: skip
        make = Maker(self.layers, graph, message, aggr, execution, init, scored)
        self.stem = make_stem(make)
        self.stages = nn.Sequential()
        for stage, depth in enumerate(self.DEPTHS):
            name, blocks = f"stages.{stage}", nn.Sequential()
            if stage + 1 in check_fold(fold, len(self.DEPTHS)):
                blocks.append(ResidualBlock(make, f"{name}.0"))
                block = ResidualBlock(make, f"{name}.1.block")
                blocks.append(Folded(block, depth - 1, fold_norm))
            else:
                blocks.extend(ResidualBlock(make, f"{name}.{number}") for number in range(depth))
            self.stages.append(blocks)
        self.head = make("head")
        make.finish(self)

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.layers)
        return self.head(in_turn(self.stages, self.stem(x)).mean((2, 3)))

    @classmethod
    def plan(
        cls,
        widths: Widths,
        *,
        num_classes: int = 10,
        in_channels: int = 3,
        input_shape: Sequence[int] | None = None,
        stem_width: int | None = None,
        stem: Stem | None = None,
        fold: Sequence[int] = (),
        **options: Any,
    ) -> Plan:
        halves, size = cls._halves(stem), cls._image_size(stem)
        drawing = Drawing(input_shape or (in_channels, size, size))
        kernel_size = 7 if halves else 3
        draw_stem(drawing, stem_width or cls.STEM_WIDTH, kernel_size, halves=halves)
        for stage, (depth, out) in enumerate(zip(cls.DEPTHS, widths, strict=True)):
            folded = stage + 1 in check_fold(fold, len(cls.DEPTHS))
            for block in range(2 if folded else depth):
                stride = 2 if stage > 0 and block == 0 else 1
                drawing.times = depth - 1 if folded and block == 1 else 0
                draw_block(
                    drawing, f"stages.{stage}.{block}{'.block' if drawing.times else ''}",
                    cls.plan_block(drawing.channels, out, stride),
                    relational=cls.RELATIONAL_PROJECTION,
                )  # fmt: skip
            drawing.times = 0
        drawing.linear("head", num_classes, bias=True)
        return drawing.plan

    @classmethod
    def _halves(cls, stem: Stem | None) -> bool:
        if stem not in (None, *get_args(Stem)):
            raise ValueError(f"stem must be 'imagenet' or 'cifar', but is {stem!r}.")
        return cls.STEM_HALVES if stem is None else stem == "imagenet"

    @classmethod
    def _image_size(cls, stem: Stem | None) -> int:
        usual = cls._halves(stem) == cls.STEM_HALVES
        return cls.IMAGE_SIZE if usual else 224 if cls._halves(stem) else 32


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
    INNER: ClassVar[float] = 1 / 4
    """Share of the channels that the blocks have inside."""

    @classmethod
    def plan_block(cls, in_channels: int, out_channels: int, stride: int) -> list[BlockConv]:
        return bottleneck(in_channels, out_channels, stride, cls.INNER)


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


@MODELS.register("resnet101")
class ResNet101(ResNet50):
    """:class:`ResNet50` with (3, 4, 23, 3) blocks."""

    DEPTHS: ClassVar[tuple[int, ...]] = (3, 4, 23, 3)


@MODELS.register("resnet152")
class ResNet152(ResNet50):
    """:class:`ResNet50` with (3, 8, 36, 3) blocks."""

    DEPTHS: ClassVar[tuple[int, ...]] = (3, 8, 36, 3)


@MODELS.register("resnet200")
class ResNet200(ResNet50):
    """:class:`ResNet50` with (3, 24, 36, 3) blocks."""

    DEPTHS: ClassVar[tuple[int, ...]] = (3, 24, 36, 3)


@MODELS.register("wide_resnet50")
class WideResNet50(ResNet50):
    """:class:`ResNet50` with twice the channels inside its blocks."""

    INNER: ClassVar[float] = 1 / 2
