"""The plan of a sweep: which runs there are, every one completely described."""

from __future__ import annotations

import warnings
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

    Graphs over which no model of equal cost can be built are left out with a warning.

    Raises:
        ValueError: If there are no graphs or seeds, the graphs differ in their number of
            nodes, or the model can be built over none of them.
    """
    chosen = with_complete([graphs] if isinstance(graphs, RelationalGraph) else list(graphs))
    numbers = list(dict.fromkeys(int(seed) for seed in seeds))
    if not numbers:
        raise ValueError("A sweep needs at least one seed, but none was given.")
    matched = _matched(model, chosen, data, width, options)
    runs = []
    for seed in numbers:
        for graph, found in matched.items():
            described = ModelConfig(model, graph, data.num_classes, seed, found)
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


def _matched(
    model: str,
    graphs: Sequence[RelationalGraph],
    data: DataSet,
    width: int | None,
    options: Mapping[str, Any],
) -> dict[RelationalGraph, dict[str, Any]]:
    """The options of the model over every graph that it can be built over."""
    matched: dict[RelationalGraph, dict[str, Any]] = {}
    refused: dict[RelationalGraph, ValueError] = {}
    for graph in graphs:
        try:
            matched[graph] = matched_options(
                model,
                graph=graph,
                num_classes=data.num_classes,
                width=width,
                input_shape=data.input_shape,
                **options,
            )
        except ValueError as error:
            if graph.is_complete:  # a mistake in the settings, or a model too narrow for all
                raise
            refused[graph] = error
    if refused:
        first, reason = next(iter(refused.items()))
        if len(matched) == 1:
            raise reason
        warnings.warn(
            f"{len(refused)} of {len(graphs)} graphs are left out; the first, {first.name}: "
            f"{reason}",
            stacklevel=3,
        )
    return matched
