"""Two sweeps of the same graphs: which errors differ, and do they order the graphs alike?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from relmp.analysis.controls.transfer import Correlation, correlate
from relmp.analysis.pairs.paired import Paired, paired_difference
from relmp.analysis.report.figures import LABELS
from relmp.analysis.results import Results, listing, p_text
from relmp.picture import Place, panels


@dataclass(frozen=True)
class SweepComparison:
    """Two sweeps, paired by graph and seed.

    Attributes:
        names: What they are called.
        difference: Of the second from the first, over shared graphs and seeds; None without any.
        complete: The same of the complete graph alone.
        correlation: Of the graphs' mean errors, without the complete graph.
        settings: In what the sweeps differ, where it is known.
    """

    names: tuple[str, str]
    difference: Paired | None
    complete: Paired | None
    correlation: Correlation | None
    settings: tuple[str, ...] = ()

    def __str__(self) -> str:
        first, second = self.names
        lines = [f"{second} against {first}"]
        if self.settings:
            lines.append(f"They differ in {listing(self.settings, limit=8)}.")
        for what, found in (("all graphs", self.difference), ("complete graph", self.complete)):
            if found is None:
                lines.append(f"{what}: no graph was run with the same seeds in both.")
                continue
            low, high = found.interval
            lines.append(
                f"{what}: {second} - {first} = {found.mean:+.2f} points ({low:.2f} to {high:.2f}), "
                f"p {p_text(found.p_value)}, {found.graphs} graphs x {found.seeds} seeds"
            )
        if self.correlation is None:
            lines.append("Fewer than four graphs are shared, so their order is not compared.")
        else:
            lines.append(f"Order of the graphs: {self.correlation}")
        return "\n".join(lines)


def compare_sweeps(
    first: Results, second: Results, names: tuple[str, str], settings: tuple[str, ...] = ()
) -> SweepComparison:
    """Compare two sweeps over what they share.

    Args:
        first, second: Results of one task each.
        names: What they are called.
        settings: In what they differ.
    """
    errors = second.errors - first.errors
    shared = errors.dropna(axis=0, how="all").dropna(axis=1, how="all")
    # Where both have a graph they may have different seeds; the most that all share are taken.
    there = shared.notna()
    columns = there.columns[there.mean() > 0.5]
    complete = first.graphs.index[first.graphs["complete"]]
    means = (first.sparse["mean"], second.sparse["mean"])
    return SweepComparison(
        names,
        paired_difference(shared[columns]),
        paired_difference(shared.loc[shared.index.intersection(complete), columns]),
        correlate(*means, names=names),
        settings,
    )


def plot_sweeps(
    first: Results, second: Results, names: tuple[str, str], *, ax: Place = None
) -> Figure:
    """The maps of both sweeps side by side, in one colour scale of the gain over the complete
    graph where both have it, and their errors against each other."""
    figure, axes = panels(ax, (14.0, 4.4), 1, 3)
    drawn = []
    for results in (first, second):
        baseline = (
            results.complete.mean() if len(results.complete) else results.graphs["mean"].mean()
        )
        drawn.append(results.sparse["mean"] - baseline)
    bound = max(0.1, *(float(values.abs().max()) for values in drawn))
    for place, results, values, name in zip(axes, (first, second), drawn, names, strict=False):
        x, y = results.place(values.index).T
        points = place.scatter(
            x, y, c=values, cmap="RdBu_r", vmin=-bound, vmax=bound, edgecolors="black",
            linewidths=0.4, s=50,
        )  # fmt: skip
        place.set_title(name)
        place.set_xlabel(LABELS.get(results.measures[0], results.measures[0]))
        place.set_ylabel(LABELS.get(results.measures[1], results.measures[1]))
    figure.colorbar(points, ax=axes[:2], label="error - complete graph's, points")
    pairs = pd.concat([first.graphs["mean"], second.graphs["mean"]], axis=1, join="inner")
    complete = first.graphs["complete"].reindex(pairs.index).to_numpy(dtype=np.bool_)
    both = pairs.to_numpy(dtype=np.float64)
    axes[2].plot(both[~complete, 0], both[~complete, 1], "o", alpha=0.7, label="graphs")
    axes[2].plot(both[complete, 0], both[complete, 1], "*", color="red", markersize=13,
                 label="complete graph")  # fmt: skip
    axes[2].set_xlabel(f"error, {names[0]}")
    axes[2].set_ylabel(f"error, {names[1]}")
    axes[2].legend()
    return figure
