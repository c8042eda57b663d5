"""The paper's figures, as matplotlib figures (no window, no global state)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from relmp.analysis.results import Results
from relmp.analysis.sweet_spot import SweetSpot, cell_numbers, grid_of

LABELS = {
    "clustering": "clustering coefficient C",
    "path_length": "average path length L",
    "test_error": "test error (%)",
}


def plot_sweet_spot(table: pd.DataFrame | Results, spot: SweetSpot, *, fineness: int = 1) -> Figure:
    """Heat map of the error over the two measures.

    Colour is the mean error of the graphs in a cell. A star marks the complete graph, a circle
    the graph of the lowest mean, a rectangle the sweet spot; without one the title says so.

    Args:
        table: The results that ``spot`` was found in.
        spot: What ``find_sweet_spot`` said.
        fineness: Cells a side of a bin: 1, 3 and 9 are the paper's three resolutions.
    """
    results = Results.of(table, measures=spot.measures)
    figure = Figure(figsize=(7.0, 5.2), layout="constrained")
    axes = figure.add_subplot()
    _heat_map(figure, axes, results, fineness)
    _mark_graphs(axes, results)
    if spot.ranges is not None:
        (left, right), (low, high) = spot.ranges
        axes.add_patch(
            Rectangle(
                (left, low),
                max(right - left, 1e-9),
                max(high - low, 1e-9),
                fill=False,
                edgecolor="black",
                linewidth=1.8,
                label="sweet spot",
            )
        )
    axes.set_title(results.task if spot.found else f"{results.task}: no sweet spot can be named")
    axes.legend(loc="upper right", framealpha=0.9)
    return figure


def _heat_map(figure: Figure, axes: Axes, results: Results, fineness: int) -> None:
    graphs = results.graphs
    column, row = (
        cell_numbers(results, measure, graphs[measure].to_numpy(dtype=np.float64), fineness)
        for measure in results.measures
    )
    (x0, dx), (y0, dy) = (grid_of(results, measure) for measure in results.measures)
    dx, dy = dx / fineness, dy / fineness
    means = graphs["mean"].groupby([row, column]).mean()
    image = np.full((row.max() + 1, column.max() + 1), np.nan)
    image[means.index.get_level_values(0), means.index.get_level_values(1)] = means
    mesh = axes.pcolormesh(
        x0 + dx * np.arange(image.shape[1] + 1),
        y0 + dy * np.arange(image.shape[0] + 1),
        np.ma.masked_invalid(image),
        cmap="viridis_r",
        rasterized=True,
    )
    figure.colorbar(mesh, ax=axes, label=LABELS.get(results.error, results.error))
    axes.set_xlabel(LABELS.get(results.measures[0], results.measures[0]))
    axes.set_ylabel(LABELS.get(results.measures[1], results.measures[1]))


def _mark_graphs(axes: Axes, results: Results) -> None:
    x, y = results.measures
    complete = results.graphs[results.graphs["complete"]]
    lowest = results.sparse.nsmallest(1, "mean")
    for rows, label, marker, colour, size in (
        (complete, "complete graph", "*", "red", 13),
        (lowest, "lowest mean", "o", "white", 9),
    ):
        if len(rows):
            axes.plot(
                rows[x],
                rows[y],
                label=label,
                marker=marker,
                color=colour,
                markersize=size,
                markeredgecolor="black",
                linestyle="none",
                clip_on=False,
            )
