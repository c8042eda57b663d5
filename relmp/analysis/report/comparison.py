"""Honest numbers: what a search for a good graph found, and what of it is luck.

The lowest of many noisy means is low by luck. Here graphs are chosen on some of the seeds and
reported on the others, and everything stands beside the complete graph's mean, deviation and n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from relmp.analysis.controls.fits import Quadratic, fit_surface
from relmp.analysis.controls.selection import Choice, Interval, choose_and_judge
from relmp.analysis.results import SYMBOLS, Results, listing, plural
from relmp.analysis.spot.sweet_spot import SweetSpot


@dataclass(frozen=True)
class Mean:
    """A mean with its population deviation (over n, as in the paper) and n."""

    mean: float
    deviation: float
    n: int

    def __str__(self) -> str:
        if self.n < 2:
            return f"{self.mean:.2f} (n = {self.n})"
        return f"{self.mean:.2f} +- {self.deviation:.2f} (n = {self.n})"


@dataclass(frozen=True)
class Comparison:
    """What a sweep says; any part that it cannot say is None.

    Attributes:
        graphs: Number of graphs, without the complete one.
        seeds: The seeds that all compared graphs share.
        complete: The complete graph's error.
        lowest: The graph of the lowest mean, with that mean.
        cautious: The graph of the lowest mean plus one deviation, with its mean: what the
            paper's table reports as the best graph.
        choice: The best graph, chosen on half of the seeds and judged on the other half.
        beat_complete: Share of graphs whose mean is below the complete graph's.
        beat_interval: That share, were the complete graph's mean at either end of its 95 %
            interval.
        surely_better, surely_worse: Number of graphs better, and worse, than the complete graph
            by a one-tailed t-test at a false discovery rate of 5 %.
        quadratic: Fit of the mean error over the two measures.
        notes: What was left out, and what cannot be said.
    """

    graphs: int
    seeds: tuple[int, ...]
    complete: Mean | None
    lowest: tuple[str, Mean]
    cautious: tuple[str, Mean]
    choice: Choice | None
    beat_complete: float | None
    beat_interval: Interval | None
    surely_better: int | None
    surely_worse: int | None
    quadratic: Quadratic | None
    notes: tuple[str, ...]

    def describe(self) -> str:
        """The summary in plain sentences."""
        lines = [
            f"{plural(self.graphs, 'graph')} and "
            f"{plural(len(self.seeds), 'seed')} ({listing(self.seeds)})."
        ]
        if self.complete is not None:
            lines.append(f"Complete graph: error {self.complete}.")
        lines.append(f"Lowest mean: {self.lowest[1]}, {self.lowest[0]}.")
        if self.choice is not None:
            lines.append(self.choice.describe())
        if self.beat_complete is not None and self.beat_interval is not None:
            low, high = self.beat_interval
            lines.append(
                f"{self.beat_complete:.1%} of the graphs have a lower mean than the complete "
                f"graph ({low:.1%} to {high:.1%} as its mean moves within its 95 % interval)"
                + (
                    f"; {self.surely_better:,} are better and {self.surely_worse:,} worse at a "
                    "false discovery rate of 5 %."
                    if self.surely_better is not None
                    else "."
                )
            )
        if self.quadratic is not None:
            names = " and ".join(SYMBOLS.get(name, name) for name in self.quadratic.names)
            lines.append(
                f"A quadratic over {names} explains {self.quadratic.r2:.0%} of the variance "
                f"between the graphs' means (R2 = {self.quadratic.r2:.2f})."
            )
        return "\n".join([*lines, *self.notes])


def compare_graphs(table: pd.DataFrame, *, error: str = "test_error") -> Comparison:
    """Honest numbers of one task's results.

    Raises:
        ValueError: If a column is missing, no run can be used, or only the complete graph ran.
    """
    return comparison_of(Results.of(table, error=error))


def comparison_of(results: Results) -> Comparison:
    """What :func:`compare_graphs` says of a table."""
    sparse = results.sparse
    if sparse.empty:
        raise ValueError(
            "The table holds only the complete graph; train other graphs to compare it with, or, "
            "where their runs failed, train these again (relmp runs retry FOLDER)."
        )
    notes = [*results.notes]
    if results.gaps:
        notes.append(
            f"{plural(len(results.gaps), 'graph', 'have')} not all of these seeds and "
            f"{'takes' if len(results.gaps) == 1 else 'take'} part with those there are: "
            f"{listing(results.gaps)}."
        )
    complete = results.complete
    if not len(complete):
        notes.append("The complete graph was not run, so nothing is said about gains over it.")
    elif len(complete) < 2:
        notes.append("The complete graph has one seed only, so its mean has no interval.")
    if results.block.shape[1] < 2:
        notes.append(
            "There is only one seed, so the best graph cannot be judged on seeds that did not "
            "choose it, and its error is likely too low."
        )
    share, interval, better, worse = _against_complete(results)
    return Comparison(
        graphs=len(sparse),
        seeds=tuple(int(seed) for seed in results.block.columns),
        complete=mean_of(complete) if len(complete) else None,
        lowest=_graph(results, sparse["mean"]),
        cautious=_graph(results, sparse["mean"] + sparse["deviation"]),
        choice=choose_and_judge(results),
        beat_complete=share,
        beat_interval=interval,
        surely_better=better,
        surely_worse=worse,
        quadratic=fit_surface(results),
        notes=tuple(notes),
    )


def mean_of(values: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]]) -> Mean:
    """Mean, population deviation and n."""
    return Mean(float(np.mean(values)), float(np.std(values)), len(values))


@dataclass(frozen=True)
class Regions:
    """Mean errors of the graphs inside and outside the sweet spot, one value a graph."""

    inside: Mean
    outside: Mean | None


def compare_regions(results: Results, spot: SweetSpot) -> Regions | None:
    """How good the sweet spot is as a whole.

    It was found on the same runs, and flatters itself a little; ``match_controls`` says by how
    much.
    """
    sparse = results.sparse
    inside = spot.contains(sparse[list(spot.measures)].to_numpy(dtype=np.float64))
    means = sparse["mean"].to_numpy(dtype=np.float64)
    if not inside.any():
        return None
    return Regions(mean_of(means[inside]), None if inside.all() else mean_of(means[~inside]))


def _graph(results: Results, order: pd.Series) -> tuple[str, Mean]:
    row = results.graphs.loc[order.sort_values(kind="stable").index[0]]
    return str(row["graph"]), Mean(float(row["mean"]), float(row["deviation"]), int(row["n"]))


def _against_complete(
    results: Results,
) -> tuple[float | None, Interval | None, int | None, int | None]:
    complete, means = results.complete, results.sparse["mean"]
    if not len(complete):
        return None, None, None, None
    share = float((means < complete.mean()).mean())
    if len(complete) < 2:
        return share, None, None, None
    reach = stats.t.ppf(0.975, len(complete) - 1) * stats.sem(complete)
    ends = (
        float((means < complete.mean() - reach).mean()),
        float((means < complete.mean() + reach).mean()),
    )
    block = results.compared.loc[results.compared.index.isin(results.sparse.index)]
    if block.shape[1] < 2 or not np.nanstd(block.to_numpy()) or not np.ptp(complete):
        return share, ends, None, None
    # From means and deviations: graphs whose seeds all agree would upset ttest_ind.
    less = stats.ttest_ind_from_stats(
        block.mean(axis=1).to_numpy(),
        block.std(axis=1).to_numpy(),
        block.count(axis=1).to_numpy(),
        complete.mean(),
        complete.std(ddof=1),
        len(complete),
        alternative="less",
    )
    below = np.asarray(less.pvalue)
    better, worse = (
        int((stats.false_discovery_control(tail) < 0.05).sum()) for tail in (below, 1 - below)
    )
    return share, ends, better, worse
