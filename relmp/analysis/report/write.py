"""From a table of results to conclusions on disk: one call, everything written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from relmp.analysis.controls.best_over import best_over as choose_best_over
from relmp.analysis.controls.transfer import compare_tasks
from relmp.analysis.report.conclusions import Conclusions, as_json, conclude
from relmp.analysis.report.figures import (
    map_of,
    plot_best,
    plot_epochs,
    plot_slices,
    plot_surface,
    plot_tasks,
)
from relmp.analysis.report.output import OutputFolder
from relmp.analysis.report.page import write_report
from relmp.analysis.results import MEASURES, Results, last_rows, listing
from relmp.analysis.topology import plot_topology
from relmp.graphs import RelationalGraph
from relmp.training.rewiring.topology import TOPOLOGY


def analyse(
    source: pd.DataFrame | str | Path,
    out: str | Path,
    *,
    measures: Sequence[str] = MEASURES,
    error: str = "test_error",
    epoch: int | None = None,
    best_over: str | None = None,
    graphs: Mapping[str, RelationalGraph] | None = None,
    landmarks: Iterable[RelationalGraph] = (),
) -> str:
    """Analyse results and write what was found.

    Writes ``results.csv`` and ``results.parquet`` (one row a finished run), ``epochs.csv`` and
    ``epochs.parquet`` (one row an epoch), every figure as PNG and PDF, ``analysis.json`` (every
    number), ``summary.txt`` and ``report.html`` (the interactive report, one file); the last two
    open with the verdict. With several tasks, figures and report lie in a folder for each, and the
    tasks are compared.

    Args:
        source: A table of results, or the folder of a sweep. Of every run of it in which training
            changed or chose edges, the paths of its layers are drawn (:func:`plot_topology`).
        out: Folder to write into; made if it is missing.
        measures: The two columns that span the map.
        error: The column to compare, lower is better.
        epoch: Compare at this epoch and disregard later ones; the last by default.
        best_over: A setting that varied ("training.lr"); each graph is compared at its own value,
            see :func:`best_over`.
        graphs: The graphs behind the table's keys, for the report to draw; a sweep's folder
            holds its own.
        landmarks: Further graphs to place on the map, such as connectomes.

    Returns:
        The conclusions, in plain sentences.

    Raises:
        ValueError: If the source holds nothing that can be analysed, or ``out`` cannot be
            written to.
    """
    table, stored = (source, {}) if isinstance(source, pd.DataFrame) else _read(Path(source))
    if epoch is not None:
        table = _until(table, epoch)
    if best_over is not None:
        table = choose_best_over(table, best_over)
    drawn = {**stored, **(graphs or {})}
    landmarks = tuple(landmarks)
    tasks = [Results.of(rows, measures=measures, error=error) for rows in _by_task(table)]
    folder = OutputFolder(out)
    for label, path in _rewired(source):
        folder.write_figure(label, path)
    concluded = [conclude(task, landmarks, own=best_over) for task in tasks]
    runs = pd.concat([last_rows(rows) for rows in _by_task(table)], ignore_index=True)
    folder.write_table("results", runs)
    if len(runs) < len(table):
        folder.write_table("epochs", table)
    for results, conclusions in zip(tasks, concluded, strict=True):
        name = results.task.replace(" on ", "_")
        own = folder if len(tasks) == 1 else folder / name
        for label, figure in _figures(results, conclusions):
            own.write_figure(label, figure)
        own.write_text("report.html", write_report(results, conclusions, drawn))
    transfer = [compare_tasks(first, second) for first, second in combinations(tasks, 2)]
    for first, second in combinations(tasks, 2):
        label = f"{first.task}_against_{second.task}".replace(" on ", "_")
        folder.write_figure(label, plot_tasks(first, second))
    text = "\n".join(
        [
            *(conclusions.describe() for conclusions in concluded),
            *(str(one) for pair in transfer for one in pair.values() if one is not None),
            "",
        ]
    )
    folder.write_text("summary.txt", text)
    folder.write_json("analysis.json", as_json({"tasks": concluded, "transfer": transfer}))
    return text


def _figures(results: Results, conclusions: Conclusions) -> Iterator[tuple[str, Figure]]:
    spot, landmarks = conclusions.sweet_spot, conclusions.landmarks
    yield "sweet_spot", map_of(results, spot, landmarks=landmarks)
    if len(results.sparse) > 100:  # the paper's resolutions of 449 and 3,942 graphs
        yield "map_thirds", map_of(results, spot, fineness=3)
        yield "map_ninths", map_of(results, spot, fineness=9)
    yield "slices", plot_slices(results)
    yield "best", plot_best(conclusions.comparison, results.task)
    if conclusions.surface is not None:
        yield "surface", plot_surface(results, conclusions.surface, spot)
    if conclusions.identification.epochs:
        yield "epochs", plot_epochs(conclusions.identification.epochs)


def _rewired(source: pd.DataFrame | str | Path) -> Iterator[tuple[str, Figure]]:
    """The paths of the layers of every run of a sweep in which training changed or chose edges."""
    if isinstance(source, pd.DataFrame):
        return
    for path in sorted(Path(source).glob(f"*/{TOPOLOGY}")):
        try:
            yield f"topology_{path.parent.name}", plot_topology(path.parent)
        except (FileNotFoundError, ValueError):  # single weights, or a run that has not ended
            continue


def _read(folder: Path) -> tuple[pd.DataFrame, dict[str, RelationalGraph]]:
    from relmp.sweep import collect, stored_graphs

    table = collect(folder, epochs="all")
    return table, {graph.key: graph for graph in stored_graphs(folder)}


def _until(table: pd.DataFrame, epoch: int) -> pd.DataFrame:
    epochs = sorted(table["epoch"].unique()) if "epoch" in table.columns else []
    if epoch not in epochs:
        raise ValueError(
            f"No run has a record of epoch {epoch}; there are {listing(epochs) or 'none'}."
        )
    return table[table["epoch"] <= epoch]


def _by_task(table: pd.DataFrame) -> list[pd.DataFrame]:
    if table.empty or not {"model", "data"} <= set(table.columns):
        return [table]  # Results says what is wrong
    return [rows for _, rows in table.groupby(["model", "data"], sort=False)]
