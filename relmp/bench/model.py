"""A training step of a whole model: the complete graph, masks, and every execution."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from relmp.bench.rounds import FLOOR, MASK
from relmp.bench.timing import Step, Timing, interleaved, peak_megabytes
from relmp.graphs import RelationalGraph
from relmp.models import create_model, match_flops
from relmp.rounds import Round, dense_layer

RECOMPUTED = "auto, recomputed"
METHODS = (FLOOR, MASK, "dense", "auto", RECOMPUTED)


class Masked(nn.Module):
    """An ordinary layer whose weight is multiplied by a mask in every pass, as is customary."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        weight: Any = layer.weight
        self.register_buffer("mask", (weight != 0).to(weight.dtype), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        weight: Any = self.layer.weight
        arguments = ({"weight": weight * self.get_buffer("mask")}, (x,))
        return torch.func.functional_call(self.layer, *arguments)


def masked(model: nn.Module) -> nn.Module:
    """Replace every round by an ordinary layer times a mask, in place."""
    for name, child in model.named_children():
        if not isinstance(child, Round):
            masked(child)
            continue
        update = child.update_module
        child.update_module = None
        parts = [Masked(dense_layer(child)), *([] if update is None else [update])]
        setattr(model, name, nn.Sequential(*parts))
    return model


def step_of_model(
    name: str, graph: RelationalGraph, image: tuple[int, int, int], batch: int, method: str
) -> Step:
    """A forward and backward pass of a model; all methods but the floor have equal widths."""
    options: dict[str, Any] = {"in_features": image[0] * image[1] * image[2]}
    options = options if name == "mlp" else {}
    if method == FLOOR:
        model = create_model(name, num_classes=10, **options)
    else:
        model = match_flops(name, graph=graph, num_classes=10, **options)
    if method == MASK:
        masked(model)
    elif method != FLOOR:
        for layer in model.modules():
            if isinstance(layer, Round):
                layer.set_execution("auto" if method == RECOMPUTED else method)
                layer.recompute = method == RECOMPUTED
    x, target = torch.randn(batch, *image), torch.arange(batch) % 10

    def step() -> None:
        model.zero_grad()
        F.cross_entropy(model(x), target).backward()

    return step


def measure_model(
    name: str,
    graph: RelationalGraph,
    image: tuple[int, int, int],
    batch: int,
    *,
    repeats: int = 7,
    seconds: float = 120.0,
) -> dict[str, tuple[Timing, float]]:
    """Milliseconds and peak megabytes of a training step, by method."""
    steps = {m: step_of_model(name, graph, image, batch, m) for m in METHODS}
    timings = interleaved(steps, repeats=repeats, seconds=seconds)
    steps.clear()
    return {
        method: (timing, peak_megabytes(step_of_model, name, graph, image, batch, method))
        for method, timing in timings.items()
    }


__all__ = ["METHODS", "masked", "measure_model", "step_of_model"]
