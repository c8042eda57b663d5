"""The paper's rule: bins over the measures, and which of them are not worse than the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from relmp.analysis.results import Array, Results

Grid: TypeAlias = dict[str, tuple[float, float]]
"""Lower edge and width of the bins of each measure."""

GRID: Grid = {"clustering": (0.0, 1 / 15), "path_length": (1.0, 3.5 / 15)}
"""The paper's bins: 15 over C from 0 to 1, 15 over L from 1 to 4.5. Larger values (rings of many
nodes) get further bins of the same width."""
SMALL_GRID: Grid = {"clustering": (0.0, 1 / 12), "path_length": (1.0, 1.5 / 12)}
"""Those of its graphs of 16 nodes: 12 over C, 12 over L from 1 to 2.5."""
SMALL = 16


@dataclass(frozen=True)
class Rule:
    """The rule on the graphs of ``results.compared``, to be applied to other errors of theirs.

    Attributes:
        bins: One row a non-empty bin: column and row number, centre, graphs, seeds.
        centres: ``[bins, 2]``, what the rectangle is drawn around.
        average: ``[bins, graphs]``: takes errors of graphs to means of bins.
        alpha: A bin is kept unless its p-value is below this.
        correction: Which p-values decide: "none" or "tukey".
    """

    bins: pd.DataFrame
    centres: Array
    average: Array
    alpha: float
    correction: str

    @classmethod
    def of(cls, results: Results, alpha: float, correction: str) -> Rule:
        """The bins that the graphs of a sweep fill."""
        block = results.compared
        points = results.place(block.index)
        names = ("column", "row")
        grouped = pd.DataFrame(cells_of(results, points), columns=names).groupby(list(names))
        bins = grouped.size().rename("graphs").reset_index()
        for name, measure in zip(names, results.measures, strict=True):
            low, width = grid_of(results, measure)
            bins[measure] = low + width * (bins[name] + 0.5)
        bins["seeds"] = block.shape[1]
        member = np.zeros((len(bins), len(block)))
        member[grouped.ngroup(), np.arange(len(block))] = 1
        centres = bins[list(results.measures)].to_numpy(dtype=np.float64)
        if _is_small(results) and (bins["graphs"] == 1).all():
            # For these the paper takes the smallest and largest C and L of the graphs it keeps.
            centres = points[member.argmax(axis=1)]
        return cls(
            bins,
            centres,
            member / member.sum(axis=1, keepdims=True),
            alpha,
            correction,
        )

    def p_values(self, errors: Array) -> Array:
        """Of each bin being as good as the best, from errors ``[graphs, seeds]``."""
        return compare_with_best(self.values(errors), self.correction)

    def values(self, errors: Array) -> Array:
        """``[bins, seeds]``: means over the graphs of each bin that have the seed, else NaN."""
        if np.isfinite(errors).all():
            return np.asarray(self.average @ errors)
        member = (self.average > 0).astype(np.float64)
        there = member @ np.isfinite(errors)
        total = member @ np.nan_to_num(errors)
        return np.asarray(np.divide(total, there, out=np.full_like(total, np.nan), where=there > 0))

    def kept(self, errors: Array) -> npt.NDArray[np.bool_]:
        """Which bins are not worse than the best."""
        return self.p_values(errors) >= self.alpha

    def corners(self, kept: npt.NDArray[np.bool_]) -> Array:
        """``[2, 2]``: the lowest and the highest centre of the kept bins, in each measure."""
        return np.array([self.centres[kept].min(axis=0), self.centres[kept].max(axis=0)])


def cells_of(results: Results, points: Array, fineness: int = 1) -> npt.NDArray[np.int64]:
    """The cell that each of the ``points [m, 2]`` of the map lies in, ``[m, 2]``.

    There are ``fineness`` cells a bin along each measure.
    """
    columns = [
        cell_numbers(results, measure, points[:, axis], fineness)
        for axis, measure in enumerate(results.measures)
    ]
    return np.stack(columns, axis=1)


def cell_numbers(
    results: Results, measure: str, values: Array, fineness: int = 1
) -> npt.NDArray[np.int64]:
    """The number of the cell that each value of one measure lies in.

    A value on an edge belongs to the cell above, whatever its last bit is, but one on the top
    edge of a bounded measure (C = 1) to the last cell.
    """
    low, width = grid_of(results, measure)
    number = np.floor(np.round((values - low) * fineness / width, 9)).astype(np.int64)
    if measure == "path_length":
        return number
    count = round(1 / width) if measure == "clustering" else 15
    return np.minimum(number, count * fineness - 1)


def grid_of(results: Results, measure: str) -> tuple[float, float]:
    """Lower edge and width of the bins: the paper's, or a fifteenth of the range."""
    grid = SMALL_GRID if _is_small(results) else GRID
    if measure in grid:
        return grid[measure]
    values = results.graphs[measure]
    low, span = float(values.min()), float(values.max() - values.min())
    return low, span / 15 if span > 0 else 1.0


def _is_small(results: Results) -> bool:
    """Whether all graphs have as many nodes as those of the paper's EfficientNet."""
    frame = results.graphs
    return "num_nodes" in frame.columns and bool((frame["num_nodes"] == SMALL).all())


def compare_with_best(values: Array, correction: str) -> Array:
    """p-values of "not worse than the best bin", NaN where there is nothing to test with."""
    bins, seeds = values.shape
    if seeds < 2 or not np.nanvar(values, axis=1).any():
        return np.full(bins, np.nan)
    counts, means = np.isfinite(values).sum(axis=1), np.nanmean(values, axis=1)
    best = int(np.argmin(means))
    differences = means - means[best]
    variances = np.nanvar(values, axis=1, ddof=1)
    freedom = counts - 1
    # For equal numbers of seeds both are the usual forms; Kramer's and Student's for others.
    share = 1 / counts + 1 / counts[best]
    if correction == "tukey":
        pooled = (freedom * variances).sum() / freedom.sum()
        q = differences / np.sqrt(pooled * share / 2)
        p_values = stats.studentized_range.sf(q, max(bins, 2), freedom.sum())
    else:
        both = freedom + freedom[best]
        spread = (freedom * variances + freedom[best] * variances[best]) / both
        pairwise = np.sqrt(spread * share)
        # A pair without any spread differs surely, or not at all.
        surely = np.where(differences > 0, np.inf, 0.0)
        t = np.divide(differences, pairwise, out=surely, where=pairwise > 0)
        p_values = stats.t.sf(t, both)
    p_values[best] = 1.0
    return np.asarray(p_values, dtype=np.float64)
