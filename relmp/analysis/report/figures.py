"""The paper's figures, as matplotlib figures (no window, no global state)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from relmp.analysis.controls.fits import fit_slice, slice_of
from relmp.analysis.controls.identification import EarlyEpoch
from relmp.analysis.controls.transfer import bin_means
from relmp.analysis.report.comparison import Comparison
from relmp.analysis.results import SYMBOLS, Array, Results
from relmp.analysis.spot.rule import cells_of, grid_of
from relmp.analysis.spot.surface import Surface
from relmp.analysis.spot.sweet_spot import SweetSpot
from relmp.picture import Place, panels

LABELS = {
    "clustering": "clustering coefficient C",
    "path_length": "average path length L",
    "test_error": "test error (%)",
}
COLOURS = "viridis_r"
"""Of errors: light is low."""
SIZE = (7.0, 5.2)
"""Of a figure of one panel, in inches."""


def plot_sweet_spot(
    table: pd.DataFrame,
    spot: SweetSpot,
    *,
    fineness: int = 1,
    landmarks: pd.DataFrame | None = None,
    ax: Place = None,
) -> Figure:
    """Heat map of the error over the two measures.

    Colour is the mean error of the graphs in a cell. A star marks the complete graph, a circle
    the graph of the lowest mean, a rectangle the sweet spot; without one the title says so.

    Args:
        table: The results that ``spot`` was found in.
        spot: What ``find_sweet_spot`` said.
        fineness: Cells a side of a bin: 1, 3 and 9 are the paper's three resolutions.
        landmarks: Further graphs to mark by name (from ``place_graphs``).
        ax: Axes to draw into; a figure is made by default.
    """
    results = Results.of(table, measures=spot.measures)
    return map_of(results, spot, fineness=fineness, landmarks=landmarks, ax=ax)


def map_of(
    results: Results,
    spot: SweetSpot,
    *,
    fineness: int = 1,
    landmarks: pd.DataFrame | None = None,
    ax: Place = None,
) -> Figure:
    """What :func:`plot_sweet_spot` draws of a table."""
    figure, (axes,) = panels(ax, SIZE)
    _heat_map(figure, axes, results, fineness)
    _mark_graphs(axes, results)
    _mark_spot(axes, spot)
    if landmarks is not None and len(landmarks):
        x, y = (landmarks[measure] for measure in spot.measures)
        axes.plot(x, y, "D", color="orange", markeredgecolor="black", label="other graphs")
        for name, at_x, at_y in zip(landmarks["graph"], x, y, strict=True):
            axes.annotate(name, (at_x, at_y), xytext=(6, 4), textcoords="offset points")
    axes.set_title(results.task if spot.found else f"{results.task}: no sweet spot can be named")
    axes.legend(loc="upper right", framealpha=0.9)
    return figure


def plot_slices(results: Results, *, ax: Place = None) -> Figure:
    """Error over each measure in a slice of the other, with quadratic fits."""
    figure, places = panels(ax, (10.0, 4.2), 1, 2)
    for axes, over in zip(places, results.measures, strict=True):
        graphs = slice_of(results, over)
        (other,) = [measure for measure in results.measures if measure != over]
        axes.plot(graphs[over], graphs["mean"], ".", alpha=0.4, label="graphs")
        fit = fit_slice(results, over)
        if fit is not None:
            x = np.linspace(graphs[over].min(), graphs[over].max(), 200)
            lowest = "" if fit.vertex is None else f", lowest at {fit.vertex[0]:.2f}"
            axes.plot(x, fit(x), color="red", label=f"quadratic, R2 = {fit.r2:.2f}{lowest}")
        low, high = (graphs[other].min(), graphs[other].max()) if len(graphs) else (0, 0)
        axes.set_title(f"{len(graphs)} graphs, {SYMBOLS.get(other, other)} {low:.2f} to {high:.2f}")
        axes.set_xlabel(LABELS.get(over, over))
        axes.set_ylabel(LABELS.get(results.error, results.error))
        axes.legend()
    return figure


def plot_best(summary: Comparison, task: str, *, ax: Place = None) -> Figure:
    """The best graphs against the complete graph, with deviations and n."""
    figure, (axes,) = panels(ax, SIZE)
    bars = [("lowest mean", summary.lowest[1]), ("lowest mean\n+ deviation", summary.cautious[1])]
    if summary.complete is not None:
        bars.insert(0, ("complete graph", summary.complete))
    for place, (_, value) in enumerate(bars):
        axes.errorbar(place, value.mean, yerr=value.deviation, fmt="o", capsize=6, color="black")
        axes.annotate(
            f"{value.mean:.2f} +- {value.deviation:.2f}\nn = {value.n}",
            (place, value.mean), xytext=(10, 0), textcoords="offset points", va="center",
        )  # fmt: skip
    labels = [name for name, _ in bars]
    if summary.choice is not None:
        axes.plot(len(bars), summary.choice.honest, "D", color="tab:blue")
        axes.annotate(
            f"{summary.choice.honest:.2f}", (len(bars), summary.choice.honest),
            xytext=(10, 0), textcoords="offset points", va="center",
        )  # fmt: skip
        labels.append("best on half of the\nseeds, on the others")
    axes.set_xticks(range(len(labels)), labels)
    axes.set_xlim(-0.5, len(labels) - 0.2)
    axes.set_ylabel("error")
    axes.set_title(task)
    return figure


def plot_surface(
    results: Results, surface: Surface, spot: SweetSpot, *, ax: Place = None
) -> Figure:
    """The smooth surface, its deviation, and where it beats the complete graph."""
    shown = [
        ("expected error", surface.mean, COLOURS),
        ("its deviation", surface.deviation, "Reds"),
    ]
    if surface.beats_complete is not None:
        shown.append(
            ("probability of beating\nthe complete graph", surface.beats_complete, "RdYlGn")
        )
    figure, places = panels(ax, (4.6 * len(shown), 4.2), 1, len(shown))
    for axes, (title, values, colours) in zip(places, shown, strict=True):
        limits: dict[str, Any] = {"vmin": 0, "vmax": 1} if "probability" in title else {}
        mesh = axes.pcolormesh(
            surface.x, surface.y, np.ma.masked_invalid(values), cmap=colours, rasterized=True,
            shading="nearest", **limits,
        )  # fmt: skip
        figure.colorbar(mesh, ax=axes)
        _mark_spot(axes, spot)
        axes.set_title(title)
        _label_measures(axes, results)
    return figure


def plot_epochs(epochs: tuple[EarlyEpoch, ...], *, ax: Place = None) -> Figure:
    """Correlation of early epochs with the last, with 95 % intervals."""
    figure, (axes,) = panels(ax, SIZE)
    x = [epoch.epoch for epoch in epochs]
    r = np.array([epoch.graphs.pearson for epoch in epochs])
    low, high = np.array([epoch.graphs.interval for epoch in epochs]).T
    axes.errorbar(x, r, yerr=[r - low, high - r], fmt="o-", capsize=4)
    axes.set_xlabel("epoch")
    axes.set_ylabel("correlation with the last epoch")
    axes.set_ylim(top=1.02)
    return figure


def plot_tasks(first: Results, second: Results, *, ax: Place = None) -> Figure:
    """Errors of two tasks against each other, a point a bin."""
    figure, (axes,) = panels(ax, SIZE)
    pairs = pd.concat([bin_means(first), bin_means(second)], axis=1, join="inner")
    points = pairs.to_numpy(dtype=np.float64)
    complete = np.asarray(pairs.index == "complete")
    axes.plot(points[~complete, 0], points[~complete, 1], "o", label="bins")
    axes.plot(points[complete, 0], points[complete, 1], "*", color="red", markersize=13,
              label="complete graph")  # fmt: skip
    axes.set_xlabel(f"error, {first.task}")
    axes.set_ylabel(f"error, {second.task}")
    axes.legend()
    return figure


def _heat_map(figure: Figure, axes: Axes, results: Results, fineness: int) -> None:
    graphs = results.graphs
    column, row = cells_of(results, results.place(graphs.index), fineness).T
    (x0, dx), (y0, dy) = (grid_of(results, measure) for measure in results.measures)
    means = graphs["mean"].groupby([row, column]).mean()
    image: Array = np.full((row.max() + 1, column.max() + 1), np.nan)
    image[means.index.get_level_values(0), means.index.get_level_values(1)] = means
    mesh = axes.pcolormesh(
        x0 + dx / fineness * np.arange(image.shape[1] + 1),
        y0 + dy / fineness * np.arange(image.shape[0] + 1),
        np.ma.masked_invalid(image),
        cmap=COLOURS,
        rasterized=True,
    )
    figure.colorbar(mesh, ax=axes, label=LABELS.get(results.error, results.error))
    _label_measures(axes, results)


def _label_measures(axes: Axes, results: Results) -> None:
    axes.set_xlabel(LABELS.get(results.measures[0], results.measures[0]))
    axes.set_ylabel(LABELS.get(results.measures[1], results.measures[1]))


def _mark_spot(axes: Axes, spot: SweetSpot) -> None:
    if spot.ranges is None:
        return
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
