"""The plan of a sweep: a list of runs, every one completely described."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from relmp.graphs import RelationalGraph, create_graph
from relmp.graphs.relational_graph import require_graph
from relmp.models import MODELS, ModelConfig
from relmp.models.budget import options_at_budget
from relmp.models.factory import check_options, named_builder
from relmp.models.own.build import Builder, input_options
from relmp.training.config import SETTINGS, Settings
from relmp.training.data import DataSet, load_data, name_data
from relmp.training.data.arrays import HELD_OUT
from relmp.training.outside.start import source_text
from relmp.training.run_config import RunConfig


def over_graphs(
    model: str | Builder = "mlp",
    *,
    graphs: Iterable[RelationalGraph],
    seeds: int | Iterable[int] = 5,
    data: Any = "digits",
    width: int | None = None,
    data_folder: str | Path = "data",
    download: bool = False,
    **options: Any,
) -> list[RunConfig]:
    """A plan: every graph with every seed, all at equal cost, the complete graph first.

    Graphs over which no model of equal cost can be built are left out with a warning, repeated
    graphs without one.

    Args:
        model: A model, as of :func:`relmp.create_model`; one without a width keeps its cost, which
            a warning says.
        graphs: Relational graphs, all with the same number of nodes.
        seeds: Seeds of initial weights and training; a number means so many, from 0.
        data: Name of a data set, or data as of :func:`relmp.train`; its images decide what a model
            costs.
        width: Width of the complete-graph model, whose FLOPs every model is matched to; the
            paper's by default.
        data_folder: Where the files of the data set lie.
        download: Whether missing files are fetched.
        **options: Settings of training and data by name, and options of the model.

    Raises:
        ValueError: If there are no graphs or seeds, the graphs differ in their number of nodes,
            the model can be built over none of them, or a setting is unknown or out of range.
    """
    chosen = with_complete([graphs] if isinstance(graphs, RelationalGraph) else list(graphs))
    base, numbers = base_run(model, data, options), seed_numbers(seeds)
    matching = _Matching(data_folder, download)
    matched: dict[RelationalGraph, RunConfig] = {}
    refused: dict[RelationalGraph, ValueError] = {}
    for graph in chosen:
        try:
            matched[graph] = matching(base.with_axis("model.graph", graph), width)
        except ValueError as error:
            if graph.is_complete:  # a mistake in the settings, or a model too narrow for all
                raise
            refused[graph] = error
    if refused:
        first, reason = next(iter(refused.items()))
        if len(matched) == 1:
            raise reason
        warnings.warn(
            f"{len(refused)} of {len(chosen)} graphs are left out; the first, {first.name}: "
            f"{reason}",
            stacklevel=2,
        )
    return [run.with_axis("seed", seed) for seed in numbers for run in matched.values()]


def grid(
    base: RunConfig,
    *,
    budget: int | Sequence[int] | None = None,
    data_folder: str | Path = "data",
    download: bool = False,
    **axes: Iterable[Any],
) -> list[RunConfig]:
    """A plan: a run with every combination of values, the last axis changing fastest.

    ``grid(base, budget=128, **{"model.graph": graphs, "training.lr": [0.1, 0.03]}, seed=range(3))``

    Args:
        base: The run that the others differ from.
        budget: Width of the complete-graph model, or the widths of its stages, whose FLOPs the
            model of every cell is matched to; None leaves widths as they are. Models of several
            budgets are several sweeps.
        data_folder: Where the files of the data sets lie; their images decide the cost.
        download: Whether missing files are fetched.
        **axes: Values by the name of an axis: ``"model.graph"``, ``"model.name"``,
            ``"model.<option>"``, ``"seed"`` (of weights and training), ``"data.<setting>"``,
            ``"training.<setting>"``, ``"training.loop.<setting>"``.

    Raises:
        ValueError: If no run has such an axis, an axis has no values, or a value is out of range.
    """
    values = {axis: list(chosen) for axis, chosen in axes.items()}
    if "training.init_from" in values:
        sources = values["training.init_from"]
        values["training.init_from"] = [run if run is None else source_text(run) for run in sources]
    for axis, chosen in values.items():
        if not chosen:
            raise ValueError(f"Axis '{axis}' has no values; give at least one.")
    matching, plan = _Matching(data_folder, download), []
    for cell in product(*values.values()):
        run = base
        for axis, value in zip(values, cell, strict=True):
            run = run.with_axis(axis, value)
        plan.append(matching.classes(run) if budget is None else matching(run, budget))
    return plan


def base_run(model: str | Builder, data: Any, options: Mapping[str, Any]) -> RunConfig:
    """A run without a graph, from settings and options of the model by name.

    Raises:
        ValueError: If one is unknown or out of range.
    """
    if "seed" in options:
        raise ValueError(
            f"A sweep takes seeds=, several of them; seed={options['seed']} was given."
        )
    if not isinstance(data, str):
        data = name_data(data, held_out=options.get("held_out", HELD_OUT))
    if options.get("init_from") is not None:
        options = {**options, "init_from": source_text(options["init_from"])}
    settings = Settings.of(data, {name: options[name] for name in SETTINGS if name in options})
    rest = {name: value for name, value in options.items() if name not in SETTINGS}
    model, builder = named_builder(model)
    try:
        check_options(model, builder, rest)
    except ValueError as error:
        names = ", ".join(name for name in SETTINGS if name != "seed")
        raise ValueError(f"{error} The settings of training are {names}.") from None
    return RunConfig(ModelConfig(model, options=rest), settings.data, settings.training)


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


def seed_numbers(seeds: int | Iterable[int]) -> list[int]:
    """The seeds without repetition; a number means so many, from 0.

    Raises:
        ValueError: If there are none, or one is no whole number.
    """
    numbers = list(dict.fromkeys(range(seeds) if isinstance(seeds, int) else seeds))
    if not numbers:
        raise ValueError("A sweep needs at least one seed, but none was given.")
    return [int(number) for number in numbers]


@dataclass
class _Matching:
    """Gives a run the width at which its model costs a budget; what it has found it keeps."""

    data_folder: str | Path
    download: bool
    shapes: dict[tuple[Any, ...], DataSet] = field(default_factory=dict)
    found: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __call__(self, run: RunConfig, budget: int | Sequence[int] | None) -> RunConfig:
        model, data = run.model, self._data(run)
        shape = (data.name, data.input_shape, data.num_classes)
        key = f"{model.name} {model.graph and model.graph.key} {model.options} {budget} {shape}"
        if key not in self.found:
            self.found[key] = options_at_budget(
                model.name,
                graph=model.graph,
                num_classes=data.num_classes,
                width=budget,
                input_shape=data.input_shape,
                **{name: value for name, value in model.options.items() if name != "width"},
            )
        return RunConfig(
            ModelConfig(model.name, model.graph, data.num_classes, model.seed, self.found[key]),
            run.data,
            run.training,
        )

    def classes(self, run: RunConfig) -> RunConfig:
        """The run with as many classes and such images as its data has."""
        data, model = self._data(run), run.model
        options = input_options(MODELS[model.name], data.input_shape)
        described = ModelConfig(
            model.name, model.graph, data.num_classes, model.seed, {**options, **model.options}
        )
        return RunConfig(described, run.data, run.training)

    def _data(self, run: RunConfig) -> DataSet:
        key = (run.data.name, run.data.image_size, run.data.held_out)
        if key not in self.shapes:
            self.shapes[key] = load_data(
                run.data.name,
                folder=self.data_folder,
                download=self.download,
                image_size=run.data.image_size,
                held_out=run.data.held_out,
            )
        return self.shapes[key]
