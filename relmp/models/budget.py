"""What a model costs, and the width at which a sparse model costs as much as the dense one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from relmp.checks import check_whole
from relmp.graphs import RelationalGraph
from relmp.graphs.layers.mapping import Graphs, as_graphs
from relmp.models.architecture import Plan, Widths, check_widths, plan_graphs
from relmp.models.blocks import stage_widths
from relmp.models.factory import (
    MAX_CHANNELS,
    MODELS,
    check_channels,
    check_options,
    create_model,
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
    name: str,
    *,
    graph: Graphs,
    num_classes: int = 10,
    width: int | Sequence[int] | None = None,
    input_shape: Sequence[int] | None = None,
    seed: int = 0,
    **options: Any,
) -> nn.Module:
    """A model over ``graph``, as wide as it costs the FLOPs of the complete-graph model.

    Args:
        name: A registered model.
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
        ValueError: As :func:`create_model`.
        NotImplementedError: If the message does not say what it costs.

    Reference:
        You, Leskovec, He, Xie, *Graph Structure of Neural Networks*, ICML 2020, section 5.1.
    """
    matched = matched_options(
        name, graph=graph, num_classes=num_classes, width=width, input_shape=input_shape, **options
    )
    return create_model(name, graph=graph, num_classes=num_classes, seed=seed, **matched)


def matched_options(
    name: str,
    *,
    graph: Graphs,
    num_classes: int,
    width: int | Sequence[int] | None = None,
    input_shape: Sequence[int] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """The options, widths included, that :func:`match_flops` hands to :func:`create_model`.

    Raises:
        ValueError: As :func:`create_model`, or if the model does not list its layers.
    """
    cls, graph = MODELS[name], as_graphs(graph)
    if not issubclass(cls, Classifier):
        raise ValueError(
            f"Model '{name}' cannot be matched to a budget, since {cls.__name__} does not list "
            f"what its layers cost; derive it from relmp.models.Classifier."
        )
    check_channels({**options, "width": width})
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


def match_widths(
    flops: Callable[[Widths], int], widths: Widths, reference: int, *, rescales: int
) -> Widths:
    """Widths of the stages at which ``flops`` reaches ``reference``, by the published rule.

    1. ``rescales`` times: multiply the first width by the square root of the missing factor
       (to two decimals); the other stages follow in proportion.
    2. Step the first width by one, up to the first cost that is not below the reference, or
       down to below it and then up by one.
    3. Each further stage in turn moves channel by channel towards the reference, by no more
       than its share of the first width, and stops before it would cross it.

    Args:
        flops: Cost of the model at given stage widths.
        widths: Widths of the complete-graph model.
        reference: Its cost, the budget.
        rescales: How often step 1 is repeated.

    Reference:
        The code of You, Leskovec, He, Xie, *Graph Structure of Neural Networks*, ICML 2020.
    """
    if flops(widths) == reference:
        return widths
    for _ in range(rescales):
        scale = round(math.sqrt(reference / flops(widths)), 2)
        widths = _scaled(widths, round(widths[0] * scale))
    if flops(widths) < reference:
        while flops(widths) < reference:
            widths = _scaled(widths, widths[0] + 1)
    else:
        while flops(widths) >= reference:
            widths = _scaled(widths, widths[0] - 1)
        widths = _scaled(widths, widths[0] + 1)
    limits = [round(width / widths[0]) for width in widths]
    for stage in range(1, len(widths)):
        widths = _moved(flops, widths, reference, stage, limits[stage])
    return widths


def _scaled(widths: Widths, first: int) -> Widths:
    return (first, *(round(first * width / widths[0]) for width in widths[1:]))


def _moved(
    flops: Callable[[Widths], int], widths: Widths, reference: int, stage: int, limit: int
) -> Widths:
    above = flops(widths) >= reference
    for _ in range(limit):
        width = widths[stage] + (-1 if above else 1)
        moved = (*widths[:stage], width, *widths[stage + 1 :])
        if (flops(moved) >= reference) != above:
            break
        widths = moved
    return widths


def as_shape(value: Any) -> tuple[int, ...]:
    """The shape of an image, also from one number.

    Raises:
        ValueError: If it is none.
    """
    shape = (value,) if isinstance(value, int) else value
    if not isinstance(shape, Sequence) or isinstance(shape, str) or not shape:
        raise ValueError(f"input_shape is (C, H, W) or (C,), but is {value!r}.")
    for size in shape:
        check_whole("input_shape", size, 1, MAX_CHANNELS)
    return tuple(shape)


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
