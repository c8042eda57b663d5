"""The store: a folder of runs, read as one table."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from filelock import FileLock

from relmp.files import CHECK, bare, checksum, json_lines, read_json, write_text
from relmp.fingerprint import changed_code
from relmp.graphs import RelationalGraph
from relmp.graphs.layers.mapping import LayerGraphs
from relmp.models import ModelConfig
from relmp.sweep.saved import PLAN_FILE, joined, read_plan, write_plan
from relmp.training.config import DataConfig, TrainConfig
from relmp.training.folder import CONFIG, RunFolder
from relmp.training.run_config import RunConfig

SWEEP_FILE, LOCK_FILE = "sweep.json", "sweep.lock"
FORMAT = 2
"""Of ``sweep.json``. Format 1 named model, width, options and training of one sweep."""

COLUMNS = (
    "run", "model", "data", "graph", "graph_key", "num_nodes", "density", "clustering",
    "path_length", "width", "flops", "parameters", "seed", "epoch", "train_loss",
    "train_error", "test_loss", "test_error", "seconds",
)  # fmt: skip
"""Columns of the table; errors in percent, seconds of the epoch. Behind them stands a column for
every other axis on which the runs differ, by its name ("training.lr"), and validation errors."""

FREE = (
    "model.graph", "model.seed", "training.seed", "model.width", "model.stem_width",
    "model.num_classes", "model.in_features", "model.in_channels",
)  # fmt: skip
"""Axes on which runs of any sweep may differ. They have columns of their own, or follow from the
graph, the budget and the data; where they do not, :func:`collect` gives them a column as well."""


@dataclass(frozen=True)
class RunStore:
    """The folder of a sweep: ``sweep.json``, and a folder for each run, named by its key."""

    path: Path

    def start(
        self, plan: Sequence[RunConfig], budget: int | None, *, same_code: bool = False
    ) -> None:
        """Note what the runs of a plan have in common, or see that the folder has the same.

        Raises:
            ValueError: If the folder was started with other settings, or other code.
            OSError: If the folder cannot be written.
        """
        fixed, axes = fixed_and_axes(plan)
        code = _code_of(plan)
        self.path.mkdir(parents=True, exist_ok=True)
        file = self.path / SWEEP_FILE
        with FileLock(self.path / LOCK_FILE):
            if file.exists():
                found = _described(read_json(file))
                self._compare(found, {"budget": budget, **fixed}, set(axes))
                changed = changed_code(found["code"], code)
                if changed and not same_code:
                    raise ValueError(f"The sweep in '{self.path}' was started with {changed}")
                axes = sorted({*axes, *found["axes"]})
                fixed = {k: v for k, v in (found["fixed"] | fixed).items() if k not in axes}
                code = found["code"] | code
            described = {"format": FORMAT, "budget": budget, "axes": axes, "fixed": fixed}
            described["code"] = code
            text = json_lines({**described, CHECK: checksum(bare(described))})
            if not file.exists() or file.read_text(encoding="utf-8") != text:
                write_text(file, text)
            write_plan(self.path / PLAN_FILE, joined([*self._plans(), plan]))

    def _compare(
        self, found: Mapping[str, Any], here: Mapping[str, Any], new_axes: set[str]
    ) -> None:
        there = {"budget": found["budget"], **found["fixed"]}
        usual = RunConfig(ModelConfig(""), DataConfig(), TrainConfig()).axes()
        differing = []
        for name in {*there, *here} - {*found["axes"], *FREE} - new_axes:
            a, b = (side.get(name, bare(usual.get(name))) for side in (there, here))
            if a != b:
                label = {"budget": "width"}.get(name, name)
                differing.append(f"{label}: {a} there, {b} here")
        differing += [
            f"{name}: {there.get(name)} there, several here"
            for name in new_axes - {*found["axes"], *FREE}
        ]
        if differing:
            raise ValueError(
                f"'{self.path}' was started with other settings ({'; '.join(sorted(differing))}); "
                f"use the same, or another folder."
            )

    def _plans(self) -> Iterator[list[RunConfig]]:
        """The plans that were started here before."""
        with suppress(FileNotFoundError):
            yield read_plan(self.path / PLAN_FILE)

    def plan(self) -> list[RunConfig]:
        """The runs that the folder is for, those that are not done yet included.

        Folders of the versions before tell of those only that were begun.

        Raises:
            FileNotFoundError: If the folder holds no runs.
            ValueError: If the file of the plan is damaged.
        """
        if (self.path / PLAN_FILE).exists():
            return read_plan(self.path / PLAN_FILE)
        return [run for _, run in stored_runs(self.path)]

    def budget(self) -> int | None:
        """The width of the complete-graph model that the sweep was started with."""
        found: int | None = _described(read_json(self.path / SWEEP_FILE))["budget"]
        return found

    def folders(self, plan: Sequence[RunConfig]) -> dict[str, RunFolder]:
        """The folder of every run of a plan by its key, also of those of the version before."""
        named = {run.key: RunFolder(self.path / run.key) for run in plan}
        for path in self.path.glob(f"*/{CONFIG}"):
            if path.parent.name in named:
                continue
            try:
                if "format" not in read_json(path):
                    key = RunFolder(path.parent).config().key
                    if key in named and not (named[key].path / CONFIG).exists():
                        named[key] = RunFolder(path.parent)
            except ValueError:
                continue  # named where the table is made
        return named


def _code_of(plan: Sequence[RunConfig]) -> dict[str, str]:
    """Fingerprints of the user's own code in a plan, by what it is and how it is written."""
    code: dict[str, str] = {}
    seen: set[tuple[str, ...]] = set()
    for run in plan:
        parts = (run.model.name, *(str(run.model.options.get(n)) for n in ("message", "aggr")))
        if parts in seen:
            continue
        seen.add(parts)
        written = {"model": run.model.name, **run.model.plain_options()}
        code |= {f"{name} {written[name]}": text for name, text in run.model.code().items()}
    return code


def fixed_and_axes(runs: Sequence[RunConfig]) -> tuple[dict[str, Any], list[str]]:
    """What all runs have in common, by axis, and the axes on which they differ, but for
    :data:`FREE`."""
    values: dict[str, Any] = {}
    varying: set[str] = set()
    for number, run in enumerate(runs):
        found = {name: bare(value) for name, value in run.axes().items()}
        if number == 0:
            values = found
        varying |= {
            name
            for name in {*found, *values}
            if found.get(name) != values.get(name) or name not in found
        }
    fixed = {n: v for n, v in values.items() if n not in varying and n not in FREE}
    return fixed, sorted(varying - {*FREE})


def collect(folder: str | Path, *, epochs: Literal["last", "all"] = "last") -> pd.DataFrame:
    """The runs of a sweep as a table, sorted by graph and seed.

    A run that cannot be read is left out with a warning that names it; one that is there twice
    is counted once. Runs without a graph have ``"none"`` for its name and key.

    Args:
        folder: Folder of the sweep.
        epochs: ``"last"`` gives one row a finished run; ``"all"`` one row an epoch, those of
            unfinished runs included.

    Raises:
        FileNotFoundError: If the folder holds no runs.
    """
    runs = list(stored_runs(folder))
    axes = _columns([run for _, run in runs])
    rows, bad = [], []
    for path, run in runs:
        try:
            rows += _rows(path, run, epochs, axes)
        except ValueError as error:
            bad.append(str(error))
    _warn_of(bad, folder)
    further = [
        name for name in ("finished", "val_loss", "val_error") if any(name in row for row in rows)
    ]
    table = pd.DataFrame(rows, columns=[*COLUMNS, *further, *axes])
    measured = _graphs(run for _, run in runs)
    for column in ("density", "clustering", "path_length"):
        values = {key: float(getattr(graph, column)) for key, graph in measured.items()}
        table[column] = table["graph_key"].map(values).astype(float)
    order = ["density", "graph_key", *axes, "seed", "epoch"]
    ascending = [False, *[True] * (len(order) - 1)]
    keyed = table.assign(**{axis: table[axis].map(str) for axis in axes})
    places = keyed.sort_values(order, ascending=ascending, kind="stable").index
    return table.loc[places].reset_index(drop=True)


def _columns(runs: Sequence[RunConfig]) -> list[str]:
    """The axes that need a column: those on which runs differ, and of the free ones those that tell
    runs apart which nothing else does."""
    _, axes = fixed_and_axes(runs)
    axes = [axis for axis in axes if axis not in ("model.name", "data.name")]
    told = ("model.name", "data.name", "model.graph", "training.seed", *axes)
    alike: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        values = run.axes()
        alike.setdefault(repr([values.get(axis) for axis in told]), []).append(values)
    for axis in FREE:
        if any(len({repr(v.get(axis)) for v in values}) > 1 for values in alike.values()):
            axes.append(axis)
    return sorted(axes)


def stored_runs(folder: str | Path) -> Iterator[tuple[RunFolder, RunConfig]]:
    """The runs of a sweep and their configurations, in the order of their keys.

    Those that cannot be read are left out with a warning.

    Raises:
        FileNotFoundError: If the folder holds no runs.
    """
    paths = sorted(Path(folder).glob(f"*/{CONFIG}"))
    if not paths:
        raise FileNotFoundError(
            f"'{folder}' holds no runs; name the output folder of a sweep (relmp sweep --out)."
        )
    found: dict[str, tuple[RunFolder, RunConfig]] = {}
    bad, copies = [], []
    for path in paths:
        run = RunFolder(path.parent)
        try:
            config = run.config()
        except (OSError, ValueError) as error:
            bad.append(str(error))
            continue
        if config.key in found:
            first = found[config.key][0].path
            copies.append(f"'{path.parent}' holds the same run as '{first}' and is not counted.")
            if path.parent.name != config.key:
                continue
            copies[-1] = f"'{first}' holds the same run as '{path.parent}' and is not counted."
        found[config.key] = (run, config)
    _warn_of(bad, folder)
    for sentence in copies:
        warnings.warn(sentence, stacklevel=3)
    yield from found.values()


def different_settings(first: str | Path, second: str | Path) -> list[str]:
    """In what two sweeps differ, each as ``name: a there, b here``; axes that varied count."""
    sides = []
    for folder in (first, second):
        file = Path(folder) / SWEEP_FILE
        found = _described(read_json(file)) if file.exists() else {"budget": None, "fixed": {}}
        sides.append({"width of the complete graph": found["budget"], **found["fixed"]})
    names = sorted({*sides[0], *sides[1]})
    return [
        f"{name}: {sides[0].get(name)} there, {sides[1].get(name)} here"
        for name in names
        if sides[0].get(name) != sides[1].get(name)
    ]


def stored_graphs(folder: str | Path) -> list[RelationalGraph]:
    """The different graphs of a sweep; runs with a graph for every layer are left out."""
    found = _graphs(run for _, run in stored_runs(folder)).values()
    return [graph for graph in found if isinstance(graph, RelationalGraph)]


def _warn_of(bad: Iterable[str], folder: str | Path) -> None:
    for reason in bad:
        warnings.warn(f"A run in '{folder}' is left out: {reason}", stacklevel=4)


def _graphs(runs: Iterable[RunConfig]) -> dict[str, RelationalGraph | LayerGraphs]:
    """The different graphs of these runs, by their keys."""
    return {run.model.graph.key: run.model.graph for run in runs if run.model.graph is not None}


def _rows(
    folder: RunFolder, run: RunConfig, epochs: Literal["last", "all"], axes: Sequence[str]
) -> list[dict[str, Any]]:
    records = folder.records()
    if not run.training.is_finished(records):  # a kill, or damage, may have cut them off
        records = max(records, folder.saved_records() or [], key=len)
    finished = run.training.is_finished(records)
    if epochs == "last":
        records = records[-1:] if finished else []
    graph = run.model.graph
    width = run.model.options.get("width")  # of the first stage, or of every stage
    derived = folder.beside()["derived"]
    values = run.axes()
    common = {
        "run": folder.path.name,
        "model": run.model.name,
        "data": run.data.name,
        "graph": "none" if graph is None else graph.name or graph.key,
        "graph_key": "none" if graph is None else graph.key,
        "num_nodes": 0 if graph is None else graph.num_nodes,
        "width": width[0] if isinstance(width, list | tuple) else width,
        "seed": run.training.seed,
        "flops": derived.get("flops"),
        "parameters": derived.get("parameters"),
        **{axis: _cell(values.get(axis)) for axis in axes},
    }
    if run.training.loop.patience is not None:
        common["finished"] = finished
    return [common | record for record in records]


def _cell(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str | None) else json.dumps(value)


def _described(values: Mapping[str, Any]) -> dict[str, Any]:
    """What ``sweep.json`` says, also that of the version before."""
    if "format" in values:
        said = {name: value for name, value in values.items() if name != CHECK}
        if values.get(CHECK, checksum(said)) != checksum(said):
            raise ValueError(
                f"'{SWEEP_FILE}' was changed after it was written; undo the change, or remove it, "
                f"and the sweep writes it anew when it is started."
            )
        return {"code": {}, "budget": None, "axes": [], "fixed": {}, **said}
    training = dict(values["training"])
    loop = training.pop("loop", {})
    fixed = {"model.name": values["model"], "data.name": training.pop("data")}
    of_data = DataConfig.__dataclass_fields__
    options = ModelConfig.from_dict(
        {"name": "", "graph": None, "num_classes": 1, "seed": 0, "options": values["options"]}
    ).options
    fixed |= {f"model.{name}": value for name, value in options.items()}
    for name, value in training.items():
        fixed[f"{'data' if name in of_data else 'training'}.{name}"] = value
    fixed |= {f"training.loop.{name}": value for name, value in loop.items()}
    return {"budget": values["width"], "axes": [], "fixed": fixed, "code": {}}
