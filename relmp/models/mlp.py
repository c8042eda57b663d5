"""The multi-layer perceptron of the paper, and a residual one that may be folded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from relmp.checks import check_whole
from relmp.graphs.layers.mapping import Graphs
from relmp.models.architecture import Drawing, Maker, Plan, Widths
from relmp.models.budget import Classifier
from relmp.models.factory import MODELS
from relmp.models.initial import Init
from relmp.models.parts.folded import Folded, FoldNorm, check_fold
from relmp.models.parts.scores import Scored
from relmp.rounds import LinearMessage
from relmp.rounds.aggregation import Aggr
from relmp.rounds.round import MessageFactory


@MODELS.register("mlp")
class MLP(Classifier):
    r"""Five layers: a dense stem, three rounds over the graph, a dense head.

    ::

        images [B, in_features]
          | stem    Linear, batch norm, ReLU          dense, stem_width channels
          | round 1 messages, batch norm, ReLU        relational, width channels
          | round 2 messages, batch norm, ReLU        relational, width channels
          | round 3 messages, batch norm, ReLU        relational, width channels
          | head    Linear with bias                  dense
        scores [B, num_classes]

    Only the head has a bias. With ``init="paper"`` and linear messages all weights are drawn from
    :math:`N(0, 0.01^2)`.

    Args:
        graph: The graph of all three rounds, or graphs by name of layer; None for the ordinary
            dense network.
        num_classes: Number of classes.
        in_features: Numbers in one image (channels x height x width).
        width: Channels of the rounds.
        stem_width: Channels of the stem; the same as ``width`` by default.
        message: See :class:`relmp.Round`.
        aggr: See :class:`relmp.Round`.
        execution: See :class:`relmp.Round`.
        init: How weights start: ``"paper"``, ``"degree"`` or ``"fan_in"``; see
            :data:`relmp.models.initial.Init`.
        scored: Where a scored message chooses weights, ``"rounds"`` or ``"all"``; see
            :data:`relmp.models.parts.scores.Scored`.

    Shapes:
        - **input** ``[B, in_features]`` or ``[B, C, H, W]`` -> **output** ``[B, num_classes]``

    Raises:
        ValueError: If a layer has fewer channels than the graph has nodes.

    Reference:
        You, Leskovec, He, Xie, *Graph Structure of Neural Networks*, ICML 2020, section 5.1.
    """

    CHANNELWISE: ClassVar[bool] = True
    NUM_ROUNDS: ClassVar[int] = 3
    BASELINE_WIDTHS: ClassVar[Widths] = (512,)
    WIDTH_RESCALES: ClassVar[int] = 15

    def __init__(
        self,
        graph: Graphs = None,
        num_classes: int = 10,
        *,
        in_features: int = 3072,
        width: int = 512,
        stem_width: int | None = None,
        message: MessageFactory = LinearMessage,
        aggr: Aggr = "sum",
        execution: str = "auto",
        init: Init = "paper",
        scored: Scored = "rounds",
    ) -> None:
        super().__init__()
        self.input_shape = (in_features,)
        self.widths = (width,)
        self.layers = self.plan(
            self.widths, num_classes=num_classes, in_features=in_features,
            stem_width=width if stem_width is None else stem_width,
        )  # fmt: skip
        make = Maker(self.layers, graph, message, aggr, execution, init, scored)
        self.stem = nn.Sequential(make("stem.0"), make.norm("stem.0"), nn.ReLU())
        rounds = [make.round(f"rounds.{number}") for number in range(self.NUM_ROUNDS)]
        self.rounds = nn.Sequential(*rounds)
        self.head = make("head")
        make.finish(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rounds(self.stem(x.flatten(1))))

    @staticmethod
    def input_options(input_shape: Sequence[int]) -> dict[str, int]:
        return {"in_features": math.prod(input_shape)}

    @classmethod
    def match_options(cls, graph: Graphs, width: int) -> dict[str, Any]:
        """The stem stays as wide as the baseline's."""
        return {"stem_width": width}

    @classmethod
    def plan(
        cls,
        widths: Widths,
        *,
        num_classes: int = 10,
        in_features: int = 3072,
        stem_width: int = 512,
        **options: Any,
    ) -> Plan:
        drawing = Drawing((in_features,))
        drawing.linear("stem.0", stem_width)
        for number in range(cls.NUM_ROUNDS):
            drawing.linear(f"rounds.{number}", widths[0], relational=True)
        drawing.linear("head", num_classes, bias=True)
        return drawing.plan


class ResidualRound(nn.Module):
    r"""One round with batch norm and a shortcut: :math:`x \leftarrow relu(x + norm(round(x)))`."""

    def __init__(self, make: Maker, name: str) -> None:
        super().__init__()
        self.body = make.round(name, None)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


@MODELS.register("residual_mlp")
class ResidualMLP(Classifier):
    r"""A dense stem, residual rounds over the graph, a dense head.

    ::

        images [B, in_features]
          | stem    Linear, batch norm, ReLU                        dense, width channels
          | rounds  depth x (x + messages with batch norm, ReLU)    relational, width channels
          | head    Linear with bias                                dense
        scores [B, num_classes]

    Only the head has a bias.

    Args:
        graph: The graph of all rounds, or graphs by name of layer; None for the ordinary dense
            network.
        num_classes: Number of classes.
        in_features: Numbers in one image (channels x height x width).
        width: Channels of the stem and the rounds.
        depth: How many rounds.
        fold: ``(1,)`` makes all rounds one, iterated with tied weights (:class:`relmp.Folded`); the
            network has this one stage.
        fold_norm: Whether its iterations have batch norms of their ``"own"`` or ``"shared"`` ones.
        message, aggr, execution: See :class:`relmp.Round`.
        init: How weights start: ``"paper"``, ``"degree"`` or ``"fan_in"``; see
            :data:`relmp.models.initial.Init`.
        scored: Where a scored message chooses weights, ``"rounds"`` or ``"all"``; see
            :data:`relmp.models.parts.scores.Scored`.

    Shapes:
        - **input** ``[B, in_features]`` or ``[B, C, H, W]`` -> **output** ``[B, num_classes]``

    Raises:
        ValueError: If a layer has fewer channels than the graph has nodes, or depth or fold are out
            of range.
    """

    CHANNELWISE: ClassVar[bool] = True
    BASELINE_WIDTHS: ClassVar[Widths] = (512,)
    WIDTH_RESCALES: ClassVar[int] = 15

    def __init__(
        self,
        graph: Graphs = None,
        num_classes: int = 10,
        *,
        in_features: int = 3072,
        width: int = 512,
        depth: int = 4,
        fold: Sequence[int] = (),
        fold_norm: FoldNorm = "own",
        message: MessageFactory = LinearMessage,
        aggr: Aggr = "sum",
        execution: str = "auto",
        init: Init = "paper",
        scored: Scored = "rounds",
    ) -> None:
        super().__init__()
        self.input_shape = (in_features,)
        self.widths = (width,)
        self.layers = self.plan(
            self.widths, num_classes=num_classes, in_features=in_features, depth=depth, fold=fold
        )
        make = Maker(self.layers, graph, message, aggr, execution, init, scored)
        self.stem = nn.Sequential(make("stem.0"), make.norm("stem.0"), nn.ReLU())
        self.rounds: nn.Module
        if check_fold(fold, 1):
            self.rounds = Folded(ResidualRound(make, "rounds.block.body"), depth, fold_norm)
        else:
            rounds = (ResidualRound(make, f"rounds.{number}.body") for number in range(depth))
            self.rounds = nn.Sequential(*rounds)
        self.head = make("head")
        make.finish(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rounds(self.stem(x.flatten(1))))

    @staticmethod
    def input_options(input_shape: Sequence[int]) -> dict[str, Any]:
        return {"in_features": math.prod(input_shape)}

    @classmethod
    def plan(
        cls,
        widths: Widths,
        *,
        num_classes: int = 10,
        in_features: int = 3072,
        depth: int = 4,
        fold: Sequence[int] = (),
        **options: Any,
    ) -> Plan:
        check_whole("depth", depth, 1, 1000)
        drawing = Drawing((in_features,))
        drawing.linear("stem.0", widths[0])
        folded = bool(check_fold(fold, 1))
        drawing.times = depth if folded else 0
        for name in ["block"] if folded else range(depth):
            drawing.linear(f"rounds.{name}.body", widths[0], relational=True)
        drawing.times = 0
        drawing.linear("head", num_classes, bias=True)
        return drawing.plan
