"""EfficientNet-B0 over a relational graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, TypeAlias

from torch import Tensor, nn

from relmp.graphs.layers.mapping import Graphs, as_graphs
from relmp.models.architecture import Drawing, Maker, Plan, Widths, check_images
from relmp.models.blocks import (
    ConvMessageFactory,
    make_stem,
    stage_widths,
)
from relmp.models.budget import Classifier
from relmp.models.factory import MODELS
from relmp.models.initial import Init
from relmp.models.parts.scores import Scored
from relmp.rounds import Conv2dMessage
from relmp.rounds.aggregation import Aggr

ExpandBy: TypeAlias = Literal["input", "stage"]


class MBConv(nn.Module):
    r"""An inverted bottleneck.

    ::

        x --+-- expand     1x1 messages, batch norm, SiLU                relational
            |   depthwise  k x k convolution / stride, batch norm, SiLU  stays in its node
            |   squeeze    squeeze and excitation                        dense
            |   project    1x1 messages, batch norm                      relational
            sum                                      where the shape stays the same
    """

    def __init__(self, make: Maker, name: str) -> None:
        super().__init__()
        self.expand: nn.Module = nn.Identity()
        if f"{name}.expand" in make.plan:
            self.expand = make.round(f"{name}.expand", nn.SiLU)
        depthwise, project = f"{name}.depthwise.0", make.plan[f"{name}.project"]
        self.depthwise = nn.Sequential(make(depthwise), make.norm(depthwise), nn.SiLU())
        self.squeeze = make(f"{name}.squeeze")
        self.project = make.round(f"{name}.project", None)
        first = make.plan.get(f"{name}.expand", make.plan[depthwise])
        stays = make.plan[depthwise].stride == 1
        self.has_shortcut = stays and first.in_channels == project.out_channels

    def forward(self, x: Tensor) -> Tensor:
        out = self.project(self.squeeze(self.depthwise(self.expand(x))))
        return x + out if self.has_shortcut else out


@MODELS.register("efficientnet_b0")
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
        graph: The graph of all rounds, or graphs by name of layer; None for the ordinary
            dense network.
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
        scored: Where a scored message chooses weights, ``"rounds"`` or ``"all"``; see
            :data:`relmp.models.parts.scores.Scored`.

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
        graph: Graphs = None,
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
        scored: Scored = "rounds",
    ) -> None:
        super().__init__()
        self.input_shape = (in_channels, 224, 224)
        self.widths = stage_widths(width, self.BASELINE_WIDTHS)
        self.layers = self.plan(
            self.widths, num_classes=num_classes, in_channels=in_channels, stem_width=stem_width,
            expand_by=_expand_by(expand_by, graph),
        )  # fmt: skip
        make = Maker(self.layers, graph, message, aggr, execution, init, scored)
        self.stem = make_stem(make, nn.SiLU)
        self.stages = nn.Sequential()
        for stage, depth in enumerate(self.DEPTHS):
            blocks = [MBConv(make, f"stages.{stage}.{block}") for block in range(depth)]
            self.stages.append(nn.Sequential(*blocks))
        self.top = nn.Sequential(make("top.0"), make.norm("top.0"), nn.SiLU())
        self.head = make("head")
        make.finish(self)

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.layers)
        return self.head(self.top(self.stages(self.stem(x))).mean((2, 3)))

    @classmethod
    def match_options(cls, graph: Graphs, width: int) -> dict[str, Any]:
        """The complete graph stands for the baseline, so it expands as the baseline does."""
        graphs = as_graphs(graph)
        return {"expand_by": "input"} if graphs is not None and graphs.is_complete else {}

    @classmethod
    def plan(
        cls,
        widths: Widths,
        *,
        num_classes: int = 10,
        in_channels: int = 3,
        input_shape: Sequence[int] | None = None,
        stem_width: int = 32,
        expand_by: ExpandBy = "input",
        **options: Any,
    ) -> Plan:
        drawing = Drawing(input_shape or (in_channels, 224, 224))
        drawing.conv("stem.0", stem_width, 3, stride=2)
        for stage, depth in enumerate(cls.DEPTHS):
            for block in range(depth):
                cls._draw_block(drawing, stage, block, widths[stage], expand_by)
        drawing.conv("top.0", cls.TOP_WIDTH)
        drawing.linear("head", num_classes, bias=True)
        return drawing.plan

    @classmethod
    def _draw_block(
        cls, drawing: Drawing, stage: int, block: int, out: int, expand_by: ExpandBy
    ) -> None:
        name, channels = f"stages.{stage}.{block}", drawing.channels
        by = channels if expand_by == "input" else cls.BASELINE_WIDTHS[stage]
        expanded = channels if cls.EXPANSIONS[stage] == 1 else cls.EXPANSIONS[stage] * by
        if expanded != channels:
            drawing.conv(f"{name}.expand", expanded, relational=True)
        stride = cls.STRIDES[stage] if block == 0 else 1
        kernel_size = cls.KERNEL_SIZES[stage]
        drawing.conv(f"{name}.depthwise.0", expanded, kernel_size, stride=stride, depthwise=True)
        drawing.squeeze(f"{name}.squeeze", max(1, channels // 4))
        drawing.conv(f"{name}.project", out, relational=True)

    @classmethod
    def flops(cls, graph: Graphs, widths: Widths, **options: Any) -> int:
        expand_by = _expand_by(options.pop("expand_by", None), graph)
        return super().flops(graph, widths, expand_by=expand_by, **options)


def _expand_by(given: ExpandBy | None, graph: Graphs) -> ExpandBy:
    """What blocks expand by.

    Raises:
        ValueError: If it is neither.
    """
    if given is None:
        return "input" if graph is None else "stage"
    if given not in ("input", "stage"):
        raise ValueError(f"expand_by must be 'input' or 'stage', but is {given!r}.")
    return given
