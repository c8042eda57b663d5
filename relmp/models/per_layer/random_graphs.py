"""Random graphs for all layers of a model, at one density."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from relmp.checks import check_whole
from relmp.graphs import RelationalGraph, create_graph
from relmp.graphs.layers.densities import Allocation, layer_densities
from relmp.graphs.layers.mapping import LayerGraphs
from relmp.models.budget import Classifier
from relmp.models.convert import dense_reasons, ordinary_layers
from relmp.models.factory import create_model


def layer_graphs(
    model: str | nn.Module,
    *,
    n: int,
    density: float,
    allocation: Allocation = "uniform",
    dense: str | Sequence[str] = (),
    self_loops: bool = True,
    seed: int = 0,
    **options: Any,
) -> LayerGraphs:
    """A random directed graph for every relational layer, to be given as ``graph=``.

    ``layer_graphs("small_cnn", n=16, density=0.1, allocation="erk", width=32)``

    A graph of n nodes has ``round(density of the layer * n ** 2)`` edges in random places.

    Args:
        model: Name of a registered model, or any model that :func:`relationalize` takes.
        n: Nodes of every graph.
        density: Share of the weights of these layers that lie on edges.
        allocation, dense: See :func:`relmp.layer_densities`.
        self_loops: Whether every node hears itself; otherwise the diagonal is as random as the
            rest (``RelationalGraph(..., self_loops=False)``).
        seed: Seed of the draws; every layer draws its own from it.
        **options: Options of a registered model, such as ``width`` and ``in_channels``.

    Raises:
        ValueError: If an argument is out of range, or a layer would have fewer edges than the
            self-loops alone.
    """
    check_whole("n", n, 1, meaning="nodes of a graph")
    check_whole("seed", seed, 0, meaning="the seed of the draws")
    shapes = _relational_shapes(model, n, options)
    graphs: dict[str, RelationalGraph | None] = {}
    chosen = layer_densities(shapes, density=density, allocation=allocation, dense=dense)
    for number, (name, share) in enumerate(chosen.items()):
        loops, edges = n if self_loops else 0, round(share * n**2)
        if edges < loops or edges < 1:
            raise ValueError(
                f"Layer '{name}' gets a density of {share:.3g}, {edges} edges, fewer than "
                f"{max(loops, 1)}; choose a larger density, or self_loops=False."
            )
        places = np.arange(n * n)
        if self_loops:
            places = places[places // n != places % n]
        rng = np.random.default_rng([seed, number])
        drawn = np.stack(np.divmod(rng.choice(places, size=edges - loops, replace=False), n))
        graphs[name] = RelationalGraph(
            n, drawn, self_loops=self_loops, name=f"random(n={n}, edges={edges}, seed={seed})"
        )
    return LayerGraphs(graphs)


def _relational_shapes(
    model: str | nn.Module, n: int, options: Mapping[str, Any]
) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights of the layers that a graph of n nodes makes relational."""
    if isinstance(model, str):
        with torch.device("meta"):
            model = create_model(model, **options)
    if isinstance(model, Classifier):
        found = {name: spec for name, spec in model.layers.items() if spec.relational}
        return {
            name: (spec.out_channels, spec.in_channels, *[spec.kernel_size] * 2)
            if spec.kind == "conv"
            else (spec.out_channels, spec.in_channels)
            for name, spec in found.items()
        }
    complete = create_graph("complete", n=n)
    layers = dict(ordinary_layers(model))
    reasons = dense_reasons(model, complete)
    return {name: tuple(layers[name].weight.shape) for name in layers if reasons[name] is None}
