"""What a model costs, and the width at which a sparse model costs as much as the dense one."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from relmp.graphs import RelationalGraph, create_graph
from relmp.graphs.layers.mapping import Graphs, LayerGraphs, as_graphs
from relmp.models.architecture import Plan, Widths, check_widths, plan_graphs
from relmp.models.blocks import stage_widths
from relmp.models.factory import (
    check_channels,
    check_options,
    create_model,
    named_builder,
)
from relmp.models.own.build import Builder, input_options
from relmp.models.own.widths import (
    NoWidthError,
    as_option,
    as_shape,
    built_costs,
    match_widths,
    require_effect,
    start_widths,
    width_option,
)
from relmp.models.recurrent.layer import RelationalRNN
from relmp.rounds import Round, resolve_message
from relmp.rounds.round import MessageFactory


class Classifier(nn.Module, ABC):
    """Base of the image classifiers whose width can be matched to a budget.

    A subclass takes ``(graph, num_classes, *, width=None, ...)`` and states its plan.
    """

    BASELINE_WIDTHS: ClassVar[Widths]
    """Widths of the relational stages of the published complete-graph model."""
    WIDTH_RESCALES: ClassVar[int]
    """How often the published search rescales: 15 for small images, 9 for large ones."""

    CHANNELWISE: ClassVar[bool] = False
    """Whether all but its layers works channel by channel, so that several models may be one (see
    :class:`relmp.models.parts.union.DisjointUnion`); said by a class of itself alone."""

    layers: Plan
    """All layers by name."""
    input_shape: tuple[int, ...]
    """Shape of the images that the model is usually given, ``(C, H, W)`` or ``(C,)``."""

    @classmethod
    @abstractmethod
    def plan(cls, widths: Widths, **options: Any) -> Plan:
        """All layers by name: see :mod:`relmp.models.architecture`."""

    @staticmethod
    def input_options(input_shape: Sequence[int]) -> dict[str, int]:
        """The options that images of this shape ask for."""
        return {"in_channels": input_shape[0]}

    @classmethod
    def match_options(cls, graph: Graphs, width: int) -> dict[str, Any]:
        """Defaults of the options where a model is matched to a baseline of this first width."""
        return {}

    @classmethod
    def flops(
        cls,
        graph: Graphs,
        widths: Widths,
        *,
        message: MessageFactory | None = None,
        **options: Any,
    ) -> int:
        """Multiply-adds of one image, without building the model; options as :meth:`plan`.

        Raises:
            NotImplementedError: If the message does not say what it costs.
        """
        plan = cls.plan(widths, **options)
        graphs = plan_graphs(graph, plan)
        return sum(layer.flops(graphs.get(name), message) for name, layer in plan.items())

    @property
    def graphs(self) -> dict[str, RelationalGraph]:
        """The graph of every round, as it is now, by name of the layer."""
        return round_graphs(self)


def round_graphs(model: nn.Module) -> dict[str, RelationalGraph]:
    """The graph of every round of a model, as it is now, by name of the layer."""
    rounds = ((name, layer) for name, layer in model.named_modules() if isinstance(layer, Round))
    return {name: layer.graph for name, layer in rounds}


BUILT_RESCALES = 15
"""How often the width of a model is rescaled whose cost is found by building it."""

MAX_WIDENING = 32
"""A model over a graph is at most so many times as wide as the complete-graph model."""


def count_flops(model: nn.Module, input_shape: Sequence[int]) -> int:
    """Multiply-adds of one image, over real edges and channels.

    Rounds, linear and convolutional layers count; bias, normalisation, activation and pooling
    do not. One image of zeros is run through the model to learn the size of its layers.

    Args:
        model: Any module.
        input_shape: Shape of one image, ``(C, H, W)`` or ``(C,)``.

    Raises:
        ValueError: If the model does not take such an image.
        NotImplementedError: If it has a message that does not say what it costs.
    """
    input_shape = as_shape(input_shape)
    total = 0

    def count(module: nn.Module, _: Any, output: Tensor) -> None:
        nonlocal total
        total += layer_flops(module, output)

    run_one_image(model, input_shape, count)
    return total


def count_parameters(model: nn.Module) -> int:
    """Parameters of a model, over real edges and channels: padded slots do not count."""
    rounds = [module for module in model.modules() if isinstance(module, Round)]
    inside = {id(p) for layer in rounds for p in layer.parameters()}
    outside = sum(p.numel() for p in model.parameters() if id(p) not in inside)
    return outside + sum(layer.num_parameters() for layer in rounds)


def match_flops(
    name: str | Builder,
    graph: Graphs,
    *,
    num_classes: int = 10,
    width: int | Sequence[int] | None = None,
    input_shape: Sequence[int] | None = None,
    seed: int = 0,
    **options: Any,
) -> nn.Module:
    """A model over ``graph``, as wide as it costs the FLOPs of the complete-graph model.

    Args:
        name: A model, as of :func:`create_model`. One that does not list what its layers cost is
            built at several values of its ``width`` (or ``width_mult``), and counted.
        graph: The graph of all inner layers, or graphs by name of layer, as
            :func:`create_model`.
        num_classes: Number of classes.
        width: Width of the complete-graph model, the budget: channels of its first relational
            stage, or of all of them; the paper's by default.
        input_shape: Shape of one image, ``(C, H, W)``; the model's usual one by default.
        seed: Decides the initial weights.
        **options: The model's own arguments; see its class. Rounds are counted at what their
            ``message`` costs.

    Raises:
        ValueError: As :func:`create_model`, or if the model has no width, or ignores it.
        NotImplementedError: If the message does not say what it costs.

    Reference:
        You, Leskovec, He, Xie, *Graph Structure of Neural Networks*, ICML 2020, section 5.1.
    """
    matched = matched_options(
        name, graph=graph, num_classes=num_classes, width=width, input_shape=input_shape, **options
    )
    return create_model(name, graph=graph, num_classes=num_classes, seed=seed, **matched)


def matched_options(
    name: str | Builder,
    *,
    graph: Graphs,
    num_classes: int,
    width: int | Sequence[int] | None = None,
    input_shape: Sequence[int] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """The options, widths included, that :func:`match_flops` hands to :func:`create_model`.

    Raises:
        ValueError: As :func:`match_flops`.
    """
    name, cls = named_builder(name)
    graph = as_graphs(graph)
    check_channels({**options, "width": width})
    if not (isinstance(cls, type) and issubclass(cls, Classifier)):
        maker: Builder = cls  # type: ignore[assignment]
        if isinstance(graph, LayerGraphs):
            raise ValueError(f"Model '{name}' takes one graph, not graphs by name of layer.")
        return _built_options(name, maker, graph, num_classes, width, input_shape, options)
    baseline = stage_widths(width, cls.BASELINE_WIDTHS)
    if input_shape is not None:
        input_shape = as_shape(input_shape)
        options = cls.input_options(input_shape) | options
    options = cls.match_options(graph, baseline[0]) | options
    check_options(name, cls, options)
    known: dict[str, Any] = {"num_classes": num_classes, **options}
    if "message" in known:
        known["message"] = resolve_message(known["message"])
    if input_shape is not None:
        known["input_shape"] = input_shape
    widths = match_widths(
        lambda widths: cls.flops(graph, widths, **known),
        baseline,
        cls.flops(None, baseline, **known),
        rescales=cls.WIDTH_RESCALES,
    )
    if widths[0] > MAX_WIDENING * baseline[0]:
        raise ValueError(
            f"With this message and graph the model would have to be {widths[0]:,} channels "
            f"wide, over {MAX_WIDENING} times the {baseline[0]:,} of the complete-graph model, to "
            f"cost as much; choose a smaller width, or a message that costs more."
        )
    check_widths(graph, cls.plan(widths, **known))
    return options | {"width": widths[0] if len(widths) == 1 else list(widths)}


def options_at_budget(name: str | Builder, **known: Any) -> dict[str, Any]:
    """:func:`matched_options`; a model without a width keeps its cost, which a warning says."""
    try:
        return matched_options(name, **known)
    except NoWidthError as error:
        warnings.warn(f"Models are not of equal cost. {error}", stacklevel=2)
    _, cls = named_builder(name)
    fixed = ("graph", "num_classes", "width", "input_shape")
    options = {key: value for key, value in known.items() if key not in fixed}
    shape = known.get("input_shape")
    return ({} if shape is None else input_options(cls, as_shape(shape))) | options


def _built_options(
    name: str,
    builder: Builder,
    graph: RelationalGraph | None,
    num_classes: int,
    width: int | Sequence[int] | None,
    input_shape: Sequence[int] | None,
    options: dict[str, Any],
) -> dict[str, Any]:
    """The same for a model that does not list its layers: it is built, and its FLOPs counted."""
    check_options(name, builder, options)
    option = width_option(name, builder, options)
    start = start_widths(name, builder, options, width)
    if input_shape is None:
        raise ValueError(
            f"Model '{name}' does not say which images it takes; give the shape of one "
            f"(input_shape=(3, 32, 32))."
        )
    shape = as_shape(input_shape)
    options = input_options(builder, shape) | options
    if graph is None:
        return options | {option: as_option(option, start)}

    model = builder if "<" in name else name

    def cost(over: RelationalGraph) -> Callable[[Any], int]:
        def of_width(value: Any) -> int:
            chosen = options | {option: value}
            return count_flops(create_model(model, over, num_classes=num_classes, **chosen), shape)

        return of_width

    most = MAX_WIDENING * start[0]
    flops = built_costs(name, cost(graph), option, most)
    require_effect(name, flops, start, option)
    complete = create_graph("complete", n=graph.num_nodes)
    reference = built_costs(name, cost(complete), option, most)(start)
    widths = match_widths(flops, start, reference, rescales=BUILT_RESCALES)
    return options | {option: as_option(option, widths)}


def run_one_image(model: nn.Module, input_shape: Sequence[int], hook: Callable[..., None]) -> None:
    """Run an image of zeros through a model in evaluation mode, and call ``hook`` for the layers.

    These are rounds, linear and convolutional layers, and those that say themselves what they
    cost; a layer inside another is part of it. ``hook`` gets the layer, its inputs and output, of
    several the first.

    Raises:
        ValueError: If the model does not take such an image.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"A model is needed, but {model!r} was given.")
    modes = {module: module.training for module in model.modules()}

    def tell(module: nn.Module, inputs: Any, output: Any) -> None:
        hook(module, inputs, output[0] if isinstance(output, tuple) else output)

    inside: set[nn.Module] = set()
    handles = []
    for module in model.modules():
        if module not in inside and _counts(module):
            handles.append(module.register_forward_hook(tell))
            inside.update(module.modules())
    like = next(model.parameters(), torch.empty(0))
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            model(like.new_zeros(1, *input_shape))
    except RuntimeError as error:
        if isinstance(error, NotImplementedError):
            raise
        raise ValueError(
            f"{type(model).__name__} cannot take an image of shape {list(input_shape)}: {error}"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training


def _counts(module: nn.Module) -> bool:
    """Whether a module is counted as one layer."""
    return isinstance(module, Round | nn.Linear | nn.Conv2d) or getattr(
        module, "counts_flops", False
    )


def layer_flops(module: nn.Module, output: Tensor) -> int:
    """Multiply-adds of one layer for one image, once its output is known."""
    if isinstance(module, Round):
        return module.flops(output[0].numel() // module.out_channels)
    if isinstance(module, RelationalRNN):
        return module.flops(output.numel() // module.hidden_size)
    if getattr(module, "counts_flops", False):  # it says itself
        count: Any = module.flops
        return int(count())
    if isinstance(module, nn.Linear):
        return module.in_features * output[0].numel()
    assert isinstance(module, nn.Conv2d)
    return module.weight[0].numel() * output[0].numel()
