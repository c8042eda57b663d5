"""An architecture, stated once: a mapping from the names of layers to what they are.

Costs, checks and summaries read it, and the module asks a :class:`Maker` for its layers by name, so
that no number stands twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypeAlias

from torch import Tensor, nn

from relmp.graphs import RelationalGraph
from relmp.graphs.layers.mapping import Graphs, graph_of_each
from relmp.models.cost import other_round_flops, round_flops
from relmp.models.initial import Init, check_init, draw_weights
from relmp.models.parts.scores import Scored, checked_scores
from relmp.models.parts.squeeze import SqueezeExcitation, squeeze_flops
from relmp.rounds import ChannelPartition, Conv2dMessage, LinearMessage, Round, linear_map
from relmp.rounds.aggregation import Aggr
from relmp.rounds.round import MessageFactory
from relmp.rounds.scored.selection import ScoreOptions, score_layers

Widths: TypeAlias = tuple[int, ...]
"""Channels of the relational stages, in order."""

Size: TypeAlias = tuple[int, int]
"""Height and width of an image inside a model."""

LINEAR: tuple[MessageFactory | None, ...] = (None, LinearMessage, Conv2dMessage, linear_map)
"""Messages whose cost follows from the numbers of channels alone."""


@dataclass(frozen=True)
class LayerSpec:
    """What a layer is, and what it costs.

    Args:
        kind: A linear layer, a convolution, max pooling, or squeeze and excitation.
        in_channels, out_channels: Its channels; of a squeeze, those outside and those in between.
        kernel_size, stride: Of a convolution or pooling, padded so that only the stride makes
            images smaller.
        pixels: Pixels of the output.
        relational: Whether it is a round.
        depthwise: Whether every channel is convolved alone.
        bias: Whether it has a bias.
        times: How often the folded block that it belongs to is iterated; 0 outside of one.
    """

    kind: Literal["linear", "conv", "pool", "squeeze"]
    in_channels: int
    out_channels: int
    kernel_size: int = 1
    stride: int = 1
    pixels: int = 1
    relational: bool = False
    depthwise: bool = False
    bias: bool = False
    times: int = 0

    @property
    def geometry(self) -> dict[str, int]:
        """Kernel, stride and padding, as ``nn.Conv2d`` takes them."""
        padding = (self.kernel_size - 1) // 2
        return {"kernel_size": self.kernel_size, "stride": self.stride, "padding": padding}

    def weights(self, graph: RelationalGraph | None) -> int:
        """Weights on the edges of a graph; None counts the dense layer."""
        if self.kind == "pool":
            return 0
        heard = 1 if self.depthwise else self.in_channels
        pairs = round_flops(graph if self.relational else None, heard, self.out_channels)
        return pairs * self.kernel_size**2

    def flops(self, graph: RelationalGraph | None, message: MessageFactory | None = None) -> int:
        """Multiply-adds of one image over the edges of a graph; None counts the dense layer."""
        return self._flops_once(graph, message) * max(self.times, 1)

    def _flops_once(self, graph: RelationalGraph | None, message: MessageFactory | None) -> int:
        if self.kind == "squeeze":
            return squeeze_flops(self.in_channels, self.out_channels)
        if self.relational and graph is not None and message not in LINEAR:
            kernel_size = self.kernel_size if self.kind == "conv" else None
            channels = (self.in_channels, self.out_channels)
            return other_round_flops(graph, *channels, message, kernel_size, self.pixels)
        return self.weights(graph) * self.pixels


Plan: TypeAlias = Mapping[str, LayerSpec]
"""All layers of a model that cost multiply-adds or change the size of images, in order."""


class Drawing:
    """Draws a plan up, layer by layer: it knows how many channels and pixels come in.

    Args:
        input_shape: Of one image, ``(C, H, W)``, or ``(C,)``.
    """

    def __init__(self, input_shape: Sequence[int]) -> None:
        self.plan: dict[str, LayerSpec] = {}
        self.channels = input_shape[0]
        self.times = 0
        """Of the layers that follow: see :class:`LayerSpec`."""
        self.size: Size = (input_shape[1], input_shape[2]) if len(input_shape) == 3 else (1, 1)

    def conv(
        self,
        name: str,
        out_channels: int,
        kernel_size: int = 1,
        *,
        stride: int = 1,
        relational: bool = False,
        depthwise: bool = False,
        of: tuple[int, Size] | None = None,
    ) -> None:
        """A convolution; ``of`` other channels and pixels than those of the layer before."""
        channels, size = (self.channels, self.size) if of is None else of
        size = halved(name, size) if stride == 2 else size
        self.plan[name] = LayerSpec(
            "conv", channels, out_channels, kernel_size, stride, math.prod(size), relational,
            depthwise, times=self.times,
        )  # fmt: skip
        self.channels, self.size = out_channels, size

    def pool(self, name: str) -> None:
        """3x3 max pooling that halves images."""
        self.size = halved(name, self.size)
        self.plan[name] = LayerSpec("pool", self.channels, self.channels, 3, 2)

    def squeeze(self, name: str, between: int) -> None:
        """Squeeze and excitation."""
        self.plan[name] = LayerSpec("squeeze", self.channels, between)

    def linear(
        self, name: str, out_channels: int, *, relational: bool = False, bias: bool = False
    ) -> None:
        """A linear layer, of the mean over all pixels where there are any."""
        self.plan[name] = LayerSpec(
            "linear", self.channels, out_channels, relational=relational, bias=bias,
            times=self.times,
        )  # fmt: skip
        self.channels = out_channels


@dataclass
class Maker:
    """Makes the layers of a plan, each once and by its name.

    Args:
        plan: The layers.
        graph: The graph of all rounds, or graphs by name of layer; None makes ordinary layers.
        message, aggr, execution: See :class:`relmp.Round`.
        init: See :data:`relmp.models.initial.Init`.
        scored: See :data:`relmp.models.parts.scores.Scored`.
    """

    plan: Plan
    graph: Graphs
    message: MessageFactory
    aggr: Aggr
    execution: str
    init: Init = "paper"
    scored: Scored = "rounds"
    made: dict[str, nn.Module] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.init = check_init(self.init)
        self.score_options = checked_scores(self.scored, self.message)
        self.graphs = plan_graphs(self.graph, self.plan)

    def __call__(self, name: str, update: Sequence[nn.Module] = ()) -> nn.Module:
        """The layer of this name; a round, or what stands in its place, followed by ``update``.

        Raises:
            KeyError: If the plan has no such layer, or it was made already.
            ValueError: If a round has fewer channels than nodes; it names the layer.
        """
        spec = self.plan[name]
        if name in self.made:
            raise KeyError(f"Layer '{name}' is asked for twice.")
        if self.scored == "all":
            spec = replace(spec, bias=False)
        graph = self.graphs.get(name)
        if graph is not None:
            layer: nn.Module = self._round(name, spec, graph, update)
        else:
            layer = ordinary_layer(spec)
            if spec.relational:
                layer = nn.Sequential(layer, *update)
        self.made[name] = layer
        return layer

    def norm(self, name: str) -> nn.Module:
        """Batch norm behind a layer; where all are scored it learns in folded blocks alone."""
        spec = self.plan[name]
        kind = nn.BatchNorm1d if spec.kind == "linear" else nn.BatchNorm2d
        return kind(spec.out_channels, affine=self.scored == "rounds" or spec.times > 0)

    def round(self, name: str, activation: type[nn.Module] | None = nn.ReLU) -> nn.Module:
        """The layer of this name with batch norm and an activation behind it."""
        return self(name, [self.norm(name), *([] if activation is None else [activation()])])

    def finish(self, model: nn.Module) -> None:
        """See that every layer was asked for, and draw the weights as ``init`` says.

        Raises:
            KeyError: If one was not.
        """
        missing = [name for name in self.plan if name not in self.made]
        if missing:
            raise KeyError(f"Layer '{missing[0]}' of the plan was not asked for.")
        inner = [self.made[name] for name, spec in self.plan.items() if spec.relational]
        # As ever, a network of vectors draws the linear layers inside its rounds, too.
        vectors = all(spec.kind == "linear" for spec in self.plan.values())
        draw_weights(model, inner, self.init, within_rounds=vectors)
        if self.score_options is not None:
            self._score_dense(self.score_options)

    def _score_dense(self, options: ScoreOptions) -> None:
        for name, spec in self.plan.items():
            layer = self.made[name]
            if isinstance(layer, Round) or not (spec.relational or self.scored == "all"):
                continue
            if spec.relational and options.granularity == "edge":
                raise ValueError(
                    f"Layer '{name}' has no graph of whose edges some could be chosen "
                    f"(granularity='edge'); give it one, such as the complete graph."
                )
            score_layers(layer, options)

    def _round(
        self, name: str, spec: LayerSpec, graph: RelationalGraph, update: Sequence[nn.Module]
    ) -> Round:
        message: Any = self.message
        if spec.kind == "conv":
            message = partial(message, **spec.geometry)
        with layer_errors(name):
            return Round(
                graph,
                spec.in_channels,
                spec.out_channels,
                message=message,
                aggr=self.aggr,
                update=nn.Sequential(*update) if update else None,
                bias=spec.bias,
                execution=self.execution,
            )


def ordinary_layer(spec: LayerSpec) -> nn.Module:
    """The layer as PyTorch has it."""
    if spec.kind == "pool":
        return nn.MaxPool2d(spec.kernel_size, spec.stride, padding=(spec.kernel_size - 1) // 2)
    if spec.kind == "linear":
        return nn.Linear(spec.in_channels, spec.out_channels, bias=spec.bias)
    if spec.kind == "squeeze":
        return SqueezeExcitation(spec.in_channels, spec.out_channels)
    groups = spec.in_channels if spec.depthwise else 1
    kernel, stride, padding = spec.geometry.values()
    return nn.Conv2d(
        spec.in_channels, spec.out_channels, kernel, stride, padding, groups=groups, bias=spec.bias
    )


@contextmanager
def layer_errors(name: str) -> Iterator[None]:
    """Put the name of the layer in front of a ``ValueError`` raised while building it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"Layer '{name}': {error}") from error


def halved(name: str, size: Size) -> Size:
    """Size of an image after a layer of stride 2.

    Raises:
        ValueError: If there is nothing left to halve; it names the layer, or its block.
    """
    if min(size) < 2:
        raise ValueError(
            f"Layer '{_block(name)}' halves its input, which is {size[0]} x {size[1]} already; "
            f"give the model larger images."
        )
    return -(-size[0] // 2), -(-size[1] // 2)


def check_images(x: Tensor, plan: Plan) -> None:
    """See that images fit a model.

    Raises:
        ValueError: If they do not.
    """
    channels = next(iter(plan.values())).in_channels
    if x.dim() != 4 or x.size(1) != channels:
        raise ValueError(
            f"This model takes images [B, {channels}, H, W], but was given {list(x.shape)}."
        )
    size = (x.size(2), x.size(3))
    strided = [_block(name) for name, spec in plan.items() if spec.stride == 2]
    for name in dict.fromkeys(strided):
        size = halved(name, size)


def plan_graphs(graph: Graphs, plan: Plan) -> dict[str, RelationalGraph | None]:
    """The graph of every relational layer.

    Raises:
        ValueError: If a pattern fits none.
    """
    return graph_of_each(graph, [name for name, spec in plan.items() if spec.relational])


def check_widths(graph: Graphs, plan: Plan) -> None:
    """See that every round has a channel for every node.

    Raises:
        ValueError: If one has not; it names the layer.
    """
    for name, own in plan_graphs(graph, plan).items():
        if own is not None:
            with layer_errors(name):
                channels = min(plan[name].in_channels, plan[name].out_channels)
                ChannelPartition(own.num_nodes, channels)


def _block(name: str) -> str:
    return ".".join(name.split(".")[:3])
