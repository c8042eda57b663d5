"""The multi-layer perceptron of the paper."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn

from relmp.graphs import RelationalGraph
from relmp.models.blocks import layer_errors
from relmp.models.cost import Classifier, LayerCost, Widths
from relmp.models.factory import models
from relmp.models.initial import Init, check_init, draw_weights
from relmp.rounds import LinearMessage, Round
from relmp.rounds.aggregation import Aggr
from relmp.rounds.round import MessageFactory


@models.register("mlp")
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

    Only the head has a bias. All weights are drawn from :math:`N(0, 0.01^2)`, as in the paper,
    or as ``init`` says.

    Args:
        graph: The graph of all three rounds; None for the ordinary dense network.
        num_classes: Number of classes.
        in_features: Numbers in one image (channels x height x width).
        width: Channels of the rounds.
        stem_width: Channels of the stem; the same as ``width`` by default.
        message: See :class:`relmp.Round`.
        aggr: See :class:`relmp.Round`.
        execution: See :class:`relmp.Round`.
        init: How weights start: ``"paper"``, ``"degree"`` or ``"fan_in"``; see
            :data:`relmp.models.initial.Init`.

    Shapes:
        - **input** ``[B, in_features]`` or ``[B, C, H, W]`` -> **output** ``[B, num_classes]``

    Raises:
        ValueError: If a layer has fewer channels than the graph has nodes.

    Reference:
        You, Leskovec, He, Xie, *Graph Structure of Neural Networks*, ICML 2020, section 5.1.
    """

    NUM_ROUNDS: ClassVar[int] = 3
    BASELINE_WIDTHS: ClassVar[Widths] = (512,)
    WIDTH_RESCALES: ClassVar[int] = 15
    CONVOLUTIONAL: ClassVar[bool] = False

    def __init__(
        self,
        graph: RelationalGraph | None = None,
        num_classes: int = 10,
        *,
        in_features: int = 3072,
        width: int = 512,
        stem_width: int | None = None,
        message: MessageFactory = LinearMessage,
        aggr: Aggr = "sum",
        execution: str = "auto",
        init: Init = "paper",
    ) -> None:
        super().__init__()
        self.init = check_init(init)
        stem_width = width if stem_width is None else stem_width
        self.input_shape = (in_features,)
        self.widths = (width,)
        self.stem = nn.Sequential(
            nn.Linear(in_features, stem_width, bias=False), nn.BatchNorm1d(stem_width), nn.ReLU()
        )
        self.rounds = nn.Sequential()
        for number in range(self.NUM_ROUNDS):
            in_width = stem_width if number == 0 else width
            update = nn.Sequential(nn.BatchNorm1d(width), nn.ReLU())
            if graph is None:
                self.rounds.append(nn.Sequential(nn.Linear(in_width, width, bias=False), *update))
                continue
            with layer_errors(f"rounds.{number}"):
                self.rounds.append(
                    Round(
                        graph,
                        in_width,
                        width,
                        message=message,
                        aggr=aggr,
                        update=update,
                        bias=False,
                        execution=execution,
                    )
                )
        self.head = nn.Linear(width, num_classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights anew, as ``init`` says."""
        draw = partial(nn.init.normal_, std=0.01)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                draw(module.weight)
            elif isinstance(module, Round) and isinstance(module.message_module, LinearMessage):
                module.message_module.initialise(module.edges, draw)
        nn.init.zeros_(self.head.bias)
        draw_weights(self, self.rounds, self.init)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rounds(self.stem(x.flatten(1))))

    @staticmethod
    def input_options(input_shape: Sequence[int]) -> dict[str, int]:
        return {"in_features": math.prod(input_shape)}

    @classmethod
    def match_options(cls, graph: RelationalGraph | None, width: int) -> dict[str, Any]:
        """The stem stays as wide as the baseline's."""
        return {"stem_width": width}

    @classmethod
    def layers(
        cls,
        widths: Widths,
        *,
        num_classes: int = 10,
        in_features: int = 3072,
        stem_width: int = 512,
        **options: Any,
    ) -> Iterator[LayerCost]:
        (width,) = widths
        yield LayerCost("stem.0", in_features, stem_width)
        for number in range(cls.NUM_ROUNDS):
            in_width = stem_width if number == 0 else width
            yield LayerCost(f"rounds.{number}", in_width, width, relational=True)
        yield LayerCost("head", width, num_classes)
