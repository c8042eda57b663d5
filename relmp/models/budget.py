"""What a model costs, and the width at which a sparse model costs as much as the dense one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn

from relmp.graphs import RelationalGraph
from relmp.models.factory import create_model, import_object, models
from relmp.rounds import Round

Widths: TypeAlias = tuple[int, ...]


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
    total = 0

    def count(module: nn.Module, _: Any, output: Tensor) -> None:
        nonlocal total
        total += _layer_flops(module, output)

    with _each_layer(model, count), torch.no_grad(), torch.random.fork_rng(devices=[]):
        like = next(model.parameters(), torch.empty(0))
        try:
            model(like.new_zeros(1, *input_shape))
        except RuntimeError as error:
            raise ValueError(
                f"{type(model).__name__} cannot take an image of shape {list(input_shape)}: {error}"
            ) from error
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
    graph: RelationalGraph,
    num_classes: int = 10,
    width: int | None = None,
    input_shape: Sequence[int] | None = None,
    seed: int = 0,
    **options: Any,
) -> nn.Module:
    """A model over ``graph``, as wide as it costs the FLOPs of the complete-graph model.

    Args:
        name: A registered model.
        graph: The graph of all inner layers.
        num_classes: Number of classes.
        width: Width of the complete-graph model, the budget; the paper's by default.
        input_shape: Shape of one image, ``(C, H, W)``; the model's usual one by default.
        seed: Decides the initial weights.
        **options: The model's own arguments; see its class.

    Raises:
        ValueError: As :func:`create_model`.

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
    graph: RelationalGraph | None,
    num_classes: int,
    width: int | None = None,
    input_shape: Sequence[int] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """The options, widths included, that :func:`match_flops` hands to :func:`create_model`."""
    cls = cast(Any, models[name])
    baseline = cls.BASELINE_WIDTHS[0] if width is None else width
    if input_shape is not None:
        options = cls.input_options(input_shape) | options
    options = {"stem_width": baseline} | options
    counted = {k: v for k, v in options.items() if k in ("in_features", "stem_width", "message")}
    if isinstance(counted.get("message"), str):
        counted["message"] = import_object(counted["message"])
    flops: Callable[[RelationalGraph | None, Widths], int] = lambda g, widths: cls.flops(  # noqa: E731
        g, widths, num_classes=num_classes, **counted
    )
    reference = flops(None, (baseline,))
    widths = match_widths(
        lambda w: flops(graph, w), (baseline,), reference, rescales=cls.WIDTH_RESCALES
    )
    return options | {"width": widths[0]}


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


def _layer_flops(module: nn.Module, output: Tensor) -> int:
    if isinstance(module, Round):
        return module.flops(output[0].numel() // module.out_channels)
    if isinstance(module, nn.Linear):
        return module.in_features * output[0].numel()
    if isinstance(module, nn.Conv2d):
        return module.weight[0].numel() * output[0].numel()
    return 0


@contextmanager
def _each_layer(model: nn.Module, hook: Callable[..., None]) -> Iterator[None]:
    """Call ``hook`` for every layer that runs; inside, the model is in evaluation mode."""
    handles = []
    modes = {module: module.training for module in model.modules()}
    layers: list[nn.Module] = [
        m for m in model.modules() if isinstance(m, (Round, nn.Linear, nn.Conv2d))
    ]
    inside = {id(m) for layer in layers if isinstance(layer, Round) for m in layer.modules()}
    for layer in layers:
        if isinstance(layer, Round) or id(layer) not in inside:
            handles.append(layer.register_forward_hook(hook))
    model.eval()
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
