"""The plan of a sweep: which runs there are, every one completely described."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from relmp.graphs import RelationalGraph, create_graph
from relmp.graphs.relational_graph import require_graph
from relmp.models import ModelConfig
from relmp.models.budget import matched_options
from relmp.training.config import TrainConfig
from relmp.training.data import DataSet
from relmp.training.folder import run_key
from relmp.training.run import run_config


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep: a graph and a seed, and the configuration that they make."""

    graph: RelationalGraph
    seed: int
    config: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Name of its folder: a hash of the configuration."""
        return run_key(self.config)


def plan_sweep(
    model: str,
    *,
    graphs: Iterable[RelationalGraph],
    seeds: Iterable[int],
    data: DataSet,
    training: TrainConfig,
    width: int | None,
    options: Mapping[str, Any],
) -> list[PlannedRun]:
    """All runs, one seed after the other, the complete graph first.

    Raises:
        ValueError: If there are no graphs or seeds, the graphs differ in their number of
            nodes, or a layer has fewer channels than nodes.
    """
    chosen = with_complete([graphs] if isinstance(graphs, RelationalGraph) else list(graphs))
    numbers = list(dict.fromkeys(int(seed) for seed in seeds))
    if not numbers:
        raise ValueError("A sweep needs at least one seed, but none was given.")
    widths = {g.key: _model_options(model, g, data, width, options) for g in chosen}
    runs = []
    for seed in numbers:
        for graph in chosen:
            described = ModelConfig(model, graph, data.num_classes, seed, widths[graph.key])
            config = run_config(described, replace(training, seed=seed))
            runs.append(PlannedRun(graph, seed, config))
    return runs


def with_complete(graphs: Sequence[RelationalGraph]) -> list[RelationalGraph]:
    """The graphs without repetition, the complete graph of as many nodes in front."""
    sizes = sorted({require_graph(graph).num_nodes for graph in graphs})
    if not sizes:
        raise ValueError("A sweep needs at least one graph, but none was given.")
    if len(sizes) > 1:
        raise ValueError(
            f"All graphs of a sweep need the same number of nodes, since they are compared with "
            f"one complete graph; these have {', '.join(map(str, sizes))}."
        )
    complete = create_graph("complete", n=sizes[0])
    return list(dict.fromkeys([complete, *graphs]))


def _model_options(
    model: str,
    graph: RelationalGraph,
    data: DataSet,
    width: int | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    return matched_options(
        model,
        graph=graph,
        num_classes=data.num_classes,
        width=width,
        input_shape=data.input_shape,
        **options,
    )
