"""Which runs of a plan are trained as one."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from filelock import FileLock

from relmp.checks import check_whole
from relmp.files import json_lines, read_json, write_text
from relmp.graphs import RelationalGraph
from relmp.models import MODELS
from relmp.sweep.store import LOCK_FILE
from relmp.training.population.states import training_refusal
from relmp.training.run_config import RunConfig

PopulationSize: TypeAlias = int | Literal["auto"]
"""How many runs are trained as one: so many, or as many as a measured rule says."""

POPULATIONS_FILE = "populations.json"


class Limits(NamedTuple):
    """Which runs are trained as one.

    Args:
        size: How many, at most.
        widest: Wider models are trained by themselves.
    """

    size: int
    widest: float = float("inf")


MEASURED = Limits(4, 512)
"""What gains on a CPU: fewer save less Python, more or wider ones leave the cache
(``experiments/benchmarks/population.md``)."""


def population_limits(population: PopulationSize, device: str) -> Limits:
    """Which runs are trained as one on such a device.

    Raises:
        ValueError: If it is neither ``"auto"`` nor a number of at least 1.
    """
    if population == "auto":
        return MEASURED if device == "cpu" else Limits(1)  # not measured on a GPU
    check_whole("population", population, 1, meaning="runs that are trained as one, or 'auto'")
    return Limits(population)


def populations(
    plan: Sequence[RunConfig], limits: Limits, known: Iterable[Sequence[str]] = ()
) -> list[list[RunConfig]]:
    """The runs of a plan in groups that are trained as one, most of them of one run.

    Runs of a group have the same data, training and options of the model; graphs, widths and seeds
    of their weights are their own. Groups follow from the whole plan and from those that are known
    already, so that they are the same however the work is shared.

    Args:
        plan: The runs.
        limits: Which runs may be of a group.
        known: Groups of keys that were made before.
    """
    by_key = {run.key: run for run in plan}
    groups = [[by_key[key] for key in keys if key in by_key] for keys in known]
    taken = {run.key for group in groups for run in group}
    alike: dict[str, list[RunConfig]] = {}
    for run in plan:
        if run.key not in taken and _may_join(run, limits):
            alike.setdefault(_common(run), []).append(run)
    size = limits.size
    for runs in alike.values():
        # Of like node size, so that little of the weights is padding.
        runs.sort(key=_node_size)
        groups += [runs[start : start + size] for start in range(0, len(runs), size)]
    found = {run.key: group for group in groups for run in group}
    units = (found.get(run.key, [run]) for run in plan)
    return list({id(unit): unit for unit in units}.values())


def kept_populations(
    folder: Path, plan: Sequence[RunConfig], limits: Limits
) -> list[list[RunConfig]]:
    """:func:`populations`, of which the folder of the sweep keeps the groups, so that a stopped one
    goes on with the same.

    Raises:
        ValueError: If the file that keeps them is damaged.
        OSError: If the folder cannot be written.
    """
    if limits.size == 1:
        return [[run] for run in plan]
    with FileLock(folder / LOCK_FILE):
        known = known_populations(folder)
        units = populations(plan, limits, known)
        made = [[run.key for run in unit] for unit in units if len(unit) > 1]
        new = [keys for keys in made if not any(set(keys) <= set(old) for old in known)]
        if new:
            write_text(folder / POPULATIONS_FILE, json_lines({"populations": [*known, *new]}))
    return units


def known_populations(folder: Path) -> list[list[str]]:
    """The groups that the folder of a sweep keeps, as the keys of their runs.

    Raises:
        ValueError: If the file that keeps them is damaged.
    """
    file = folder / POPULATIONS_FILE
    if not file.exists():
        return []
    known = read_json(file).get("populations")
    if not isinstance(known, list) or not all(
        isinstance(keys, list) and all(isinstance(key, str) for key in keys) for keys in known
    ):
        raise ValueError(
            f"'{file}' holds no groups of runs; remove it, and the sweep makes them anew."
        )
    return known


def _may_join(run: RunConfig, limits: Limits) -> bool:
    model, graph = run.model, run.model.graph
    if training_refusal(run.training) is not None or not isinstance(graph, RelationalGraph):
        return False
    if not MODELS.is_registered(model.name) or graph.is_complete:
        return False
    if not vars(MODELS[model.name]).get("CHANNELWISE", False):
        return False
    options = model.plain_options()
    width = options.get("width", math.inf)
    return (
        isinstance(width, int)
        and width <= limits.widest
        and options.get("message", "linear") == "linear"
        and options.get("aggr", "sum") in ("sum", "mean")
        and options.get("execution", "auto") in ("auto", "cpu_kernel")
        and not options.get("fold")
    )


def _common(run: RunConfig) -> str:
    """What runs of a group have in common."""
    options = {name: value for name, value in run.model.plain_options().items() if name != "width"}
    shared = [run.model.name, run.model.num_classes, options, asdict(run.data)]
    return json.dumps([*shared, asdict(run.training)], sort_keys=True)


def _node_size(run: RunConfig) -> float:
    graph, width = run.model.graph, run.model.options.get("width", 0)
    return float(width) / graph.num_nodes if isinstance(graph, RelationalGraph) else 0.0
