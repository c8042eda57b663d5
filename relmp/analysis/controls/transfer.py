"""Does one set of results tell about another: tasks, epochs, few graphs and many."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from relmp.analysis.results import Results
from relmp.analysis.spot.rule import cells_of


@dataclass(frozen=True)
class Correlation:
    """How two sets of mean errors go together.

    Attributes:
        first, second: What is compared.
        pearson: Pearson's r.
        interval: Its 95 % interval (Fisher's z).
        spearman: Spearman's rank correlation.
        n: Number of points.
    """

    first: str
    second: str
    pearson: float
    interval: tuple[float, float]
    spearman: float
    n: int

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"r = {self.pearson:.3f} ({low:.2f} to {high:.2f}), rank correlation "
            f"{self.spearman:.2f}, n = {self.n}: {self.first} against {self.second}"
        )


def correlate(first: pd.Series, second: pd.Series, names: tuple[str, str]) -> Correlation | None:
    """Correlate two series over what their indices share; None if that says nothing."""
    pairs = pd.concat([first, second], axis=1, join="inner").dropna().to_numpy(dtype=np.float64)
    if len(pairs) < 4 or not np.ptp(pairs, axis=0).all():
        return None
    pearson = stats.pearsonr(pairs[:, 0], pairs[:, 1])
    low, high = pearson.confidence_interval(0.95)
    spearman = stats.spearmanr(pairs[:, 0], pairs[:, 1]).statistic
    return Correlation(
        *names, float(pearson.statistic), (float(low), float(high)), float(spearman), len(pairs)
    )


def bin_means(results: Results, *, complete: bool = True) -> pd.Series:
    """Mean error of the graphs in every bin; the complete graph is a point of its own."""
    sparse = results.sparse
    cells = cells_of(results, results.place(sparse.index))
    keys = [f"{column}, {row}" for column, row in cells]
    means = sparse["mean"].groupby(keys).mean()
    if complete and len(results.complete):
        means["complete"] = results.complete.mean()
    return means


def compare_tasks(first: Results, second: Results) -> dict[str, Correlation | None]:
    """Errors of two tasks against each other, by bin and by graph.

    By bin, a task's value is the mean of all its graphs in the bin, so that a task of 3,942
    graphs can be held against one of 52. By graph, only graphs that both trained count.
    """
    names = (first.task, second.task)
    graphs = (first.graphs["mean"], second.graphs["mean"])
    return {
        "bins_and_complete": correlate(bin_means(first), bin_means(second), names),
        "bins": correlate(
            bin_means(first, complete=False), bin_means(second, complete=False), names
        ),
        "graphs": correlate(*graphs, names),
    }


def compare_subset(results: Results, keys: Iterable[str]) -> Correlation | None:
    """The bins of a few graphs against the same bins' means over all graphs.

    This is how well the few stand for the many; the complete graph takes no part.
    """
    chosen = results.runs[results.runs["graph_key"].isin(list(keys))]
    if chosen.empty:
        return None
    few = Results.of(chosen, measures=results.measures, error=results.error)
    count = len(few.sparse)
    names = (f"bins of {count} graphs", f"the same bins of all {len(results.sparse)} graphs")
    return correlate(bin_means(few, complete=False), bin_means(results, complete=False), names)
