"""The picture of a benchmark: time against density, and where methods cross."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

from relmp.bench.rounds import FLOOR, MASK, Row


def plot_rounds(rows: list[Row], path: Path) -> None:
    """One panel a shape: milliseconds over the complete graph's, against density."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    shapes = list(dict.fromkeys(row.shape for row in rows))
    methods = [m for m in dict.fromkeys(row.method for row in rows) if m != FLOOR]
    columns = min(3, len(shapes))
    height = math.ceil(len(shapes) / columns)
    figure = Figure(figsize=(4.2 * columns, 3.2 * height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(height, columns, squeeze=False)
    for panel, shape in zip(axes.flat, shapes, strict=False):
        floor = {r.density: r.median for r in rows if r.shape == shape and r.method == FLOOR}
        for number, method in enumerate(methods):
            ours = sorted(
                (row.density, row.median / floor[row.density])
                for row in rows
                if (row.shape, row.method) == (shape, method)
            )
            if ours:
                panel.plot(*zip(*ours, strict=True), "o-", color=f"C{number}", label=method, ms=3)
        crossing = crossover_density(rows, shape)
        if crossing is not None:
            panel.axvline(crossing, color="grey", lw=0.8, ls=":")
        panel.axhline(1, color="black", lw=0.8)
        panel.set(title=shape, xscale="log", yscale="log", xlabel="density")
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.set_minor_locator(NullLocator())
    axes[0, 0].set_ylabel("time / complete graph's")
    for panel in list(axes.flat)[len(shapes) :]:
        panel.set_visible(False)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=5)
    figure.savefig(path, dpi=110)


def crossover_density(rows: list[Row], shape: str, method: str = "cpu_kernel") -> float | None:
    """The density at which a method stops beating the mask; None where it always does so."""
    at = {
        name: {row.density: row.median for row in rows if (row.shape, row.method) == (shape, name)}
        for name in (method, MASK)
    }
    points = sorted(
        (math.log(density), math.log(at[method][density] / at[MASK][density]))
        for density in at[method]
    )
    for (x, ratio), (next_x, next_ratio) in pairwise(points):
        if ratio < 0 <= next_ratio:
            return math.exp(x + (next_x - x) * ratio / (ratio - next_ratio))
    return None
