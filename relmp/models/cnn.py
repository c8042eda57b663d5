"""The paper's 8-layer CNN, and the same for small images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

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
from relmp.models.parts.packing import in_turn
from relmp.models.parts.scores import Scored
from relmp.rounds import Conv2dMessage
from relmp.rounds.aggregation import Aggr


@MODELS.register("cnn")
class CNN(Classifier):
    r"""Eight layers: a dense stem, six rounds of 3x3 convolutions, a dense head.

    ::

        images [B, in_channels, H, W]
          | stem      3x3 convolution / 2, batch norm, ReLU      dense, stem_width channels
          |           3x3 max pooling / 2
          | stages.0  2 x (3x3 messages, batch norm, ReLU)       relational,  64 channels
          | stages.1  the same                                   relational, 128 channels
          | stages.2  the same                                   relational, 256 channels
          |           mean over all pixels
          | head      Linear with bias                           dense
        scores [B, num_classes]

    The first round of a stage has stride 2. No convolution has a bias.

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
        scored: Where a scored message chooses weights, ``"rounds"`` or ``"all"``; see
            :data:`relmp.models.parts.scores.Scored`.

    Shapes:
        - **input** ``[B, in_channels, H, W]`` -> **output** ``[B, num_classes]``

    Raises:
        ValueError: If a layer has fewer channels than the graph has nodes, or the images are
            too small to be halved so often.

    Reference:
        You, Leskovec, He, Xie, *Graph Structure of Neural Networks*, ICML 2020, section 5.1.
    """

    BASELINE_WIDTHS: ClassVar[Widths] = (64, 128, 256)
    WIDTH_RESCALES: ClassVar[int] = 9
    IMAGE_SIZE: ClassVar[int] = 224
    STEM_WIDTH: ClassVar[int] = 64
    STEM_HALVES: ClassVar[bool] = True
    DEPTH: ClassVar[int] = 2

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
        scored: Scored = "rounds",
    ) -> None:
        super().__init__()
        self.input_shape = (in_channels, self.IMAGE_SIZE, self.IMAGE_SIZE)
        self.widths = stage_widths(width, self.BASELINE_WIDTHS)
        self.layers = self.plan(
            self.widths, num_classes=num_classes, in_channels=in_channels, stem_width=stem_width
        )
        make = Maker(self.layers, graph, message, aggr, execution, init, scored)
        self.stem = make_stem(make)
        self.stages = nn.Sequential()
        for number in range(len(self.widths)):
            rounds = [make.round(f"stages.{number}.{depth}") for depth in range(self.DEPTH)]
            self.stages.append(nn.Sequential(*rounds))
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
        **options: Any,
    ) -> Plan:
        drawing = Drawing(input_shape or (in_channels, cls.IMAGE_SIZE, cls.IMAGE_SIZE))
        draw_stem(drawing, stem_width or cls.STEM_WIDTH, 3, halves=cls.STEM_HALVES)
        for number, out in enumerate(widths):
            for depth in range(cls.DEPTH):
                stride = 2 if depth == 0 else 1
                drawing.conv(f"stages.{number}.{depth}", out, 3, stride=stride, relational=True)
        drawing.linear("head", num_classes, bias=True)
        return drawing.plan


@MODELS.register("small_cnn")
class SmallCNN(CNN):
    """:class:`CNN` for images of 32 x 32 pixels: its stem does not make them smaller."""

    WIDTH_RESCALES: ClassVar[int] = 15
    IMAGE_SIZE: ClassVar[int] = 32
    STEM_HALVES: ClassVar[bool] = False
