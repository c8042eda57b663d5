"""The store: a folder of runs, read as one table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from relmp.graphs import RelationalGraph
from relmp.graphs.serialise import graph_from_dict
from relmp.training.folder import RunFolder

SWEEP_FILE = "sweep.json"

COLUMNS = (
    "run", "model", "data", "graph", "graph_key", "num_nodes", "density", "clustering",
    "path_length", "width", "flops", "parameters", "seed", "epoch", "train_loss",
    "train_error", "test_loss", "test_error", "seconds",
)  # fmt: skip
"""Columns of the table; errors in percent, seconds of the epoch."""


def collect(folder: str | Path, *, epochs: Literal["last", "all"] = "last") -> pd.DataFrame:
    """The runs of a sweep as a table, sorted by graph and seed.

    Args:
        folder: Folder of the sweep.
        epochs: ``"last"`` gives one row a finished run; ``"all"`` one row an epoch, those of
            unfinished runs included.

    Raises:
        FileNotFoundError: If the folder holds no runs.
    """
    runs = list(stored_runs(folder))
    rows = [row for run, config in runs for row in _rows(run, config, epochs)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    measured = _graphs(config for _, config in runs)
    for column in ("density", "clustering", "path_length"):
        values = {key: float(getattr(graph, column)) for key, graph in measured.items()}
        table[column] = table["graph_key"].map(values).astype(float)
    order = ["density", "graph_key", "seed", "epoch"]
    return table.sort_values(order, ascending=[False, True, True, True], ignore_index=True)


def stored_runs(folder: str | Path) -> Iterator[tuple[RunFolder, dict[str, Any]]]:
    """The runs of a sweep and their configurations, in the order of their keys.

    Raises:
        FileNotFoundError: If the folder holds no runs.
    """
    paths = sorted(Path(folder).glob("*/config.json"))
    if not paths:
        raise FileNotFoundError(
            f"'{folder}' holds no runs; name the output folder of a sweep (relmp sweep --out)."
        )
    for path in paths:
        run = RunFolder(path.parent)
        yield run, run.config()


def stored_graphs(folder: str | Path) -> list[RelationalGraph]:
    """The different graphs of a sweep."""
    return list(_graphs(config for _, config in stored_runs(folder)).values())


def _graphs(configs: Iterable[dict[str, Any]]) -> dict[str, RelationalGraph]:
    """The different graphs of these runs, by their keys."""
    graphs: dict[str, RelationalGraph] = {}
    for config in configs:
        described = config["model"]["graph"]
        if described is not None and described["key"] not in graphs:
            graphs[described["key"]] = graph_from_dict(described)
    return graphs


def _rows(
    run: RunFolder, config: dict[str, Any], epochs: Literal["last", "all"]
) -> list[dict[str, Any]]:
    model, training = config["model"], config["training"]
    records = run.records()
    if epochs == "last":
        finished = bool(records) and records[-1]["epoch"] == training["epochs"]
        records = records[-1:] if finished else []
    width = model["options"]["width"]  # of the first stage, or of every stage
    common = {
        "run": run.path.name,
        "model": model["name"],
        "data": training["data"],
        "graph": model["graph"]["name"],
        "graph_key": model["graph"]["key"],
        "num_nodes": model["graph"]["num_nodes"],
        "width": width if isinstance(width, int) else width[0],
        "seed": training["seed"],
        **config["derived"],
    }
    return [common | record for record in records]
