"""The sweet spot: the rectangle of measures that the paper's test leaves standing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from relmp.analysis.dependence import dependence
from relmp.analysis.results import MEASURES, SYMBOLS, Array, Results, plural

GRID: dict[str, tuple[float, float]] = {"clustering": (0.0, 1 / 15), "path_length": (1.0, 3.5 / 15)}
"""Lower edge and width of the paper's bins: 15 over C from 0 to 1, 15 over L from 1 to 4.5.
Larger values (rings of many nodes) get further bins of the same width."""

EVIDENCE = 0.01
"""The level at which errors are held to depend on the measures at all."""

Range = tuple[float, float]


@dataclass(frozen=True)
class SweetSpot:
    """Where good graphs lie, or why nothing can be said.

    Attributes:
        measures: Names of the two measures that span the map.
        ranges: Range of each measure, from the lowest to the highest centre of a kept bin;
            None when there is no sweet spot.
        bins: One row a bin: column and row number, the centre (under the measures' names),
            graphs, seeds, ``mean`` error, ``p_value`` of being as good as the best bin
            (corrected, if a correction was asked for), ``kept``, ``best``.
        alpha: A bin is kept unless its p-value is below this.
        correction: Which p-values decide: "none" as in the paper, or "tukey".
        p_dependence: p-value of the hypothesis that errors do not depend on the measures; NaN
            where it could not be tested.
        reason: Why there is no sweet spot; empty if there is one.
    """

    measures: tuple[str, str]
    ranges: tuple[Range, Range] | None
    bins: pd.DataFrame
    alpha: float
    correction: str
    p_dependence: float
    reason: str

    @property
    def clustering(self) -> Range | None:
        """Range of C, or None."""
        return self._range("clustering")

    @property
    def path_length(self) -> Range | None:
        """Range of L, or None."""
        return self._range("path_length")

    @property
    def found(self) -> bool:
        """Whether there is a sweet spot."""
        return self.ranges is not None

    @property
    def best(self) -> pd.Series | None:
        """The bin of the lowest mean error."""
        best = self.bins[self.bins["best"]]
        return None if best.empty else best.iloc[0]

    def contains(self, points: Array) -> npt.NDArray[np.bool_]:
        """Which rows of ``[graphs, 2]`` measures lie in the rectangle of bin centres."""
        points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        if self.ranges is None:
            return np.zeros(len(points), dtype=np.bool_)
        low, high = np.array(self.ranges).T
        inside: npt.NDArray[np.bool_] = ((points >= low - 1e-9) & (points <= high + 1e-9)).all(
            axis=1
        )
        return inside

    def describe(self) -> str:
        """One or two plain sentences."""
        if self.ranges is None:
            return f"No sweet spot can be named: {self.reason}"
        spans = ", ".join(
            f"{SYMBOLS.get(measure, measure)} {low:.2f} to {high:.2f}"
            for measure, (low, high) in zip(self.measures, self.ranges, strict=True)
        )
        rule = "not worse than the best bin" + (
            " after correction for all comparisons" if self.correction == "tukey" else ""
        )
        return (
            f"Sweet spot: {spans}. {self.bins['kept'].sum()} of "
            f"{plural(len(self.bins), 'bin', 'be')} {rule} (one-tailed t-test over "
            f"{plural(int(self.bins['seeds'].max()), 'seed')}, p >= {self.alpha}); errors depend "
            f"on the measures (p {_p(self.p_dependence)})."
        )

    def _range(self, measure: str) -> Range | None:
        if self.ranges is None or measure not in self.measures:
            return None
        return self.ranges[self.measures.index(measure)]


def find_sweet_spot(
    table: pd.DataFrame | Results,
    *,
    measures: Sequence[str] = MEASURES,
    error: str = "test_error",
    alpha: float = 0.05,
    correction: Literal["none", "tukey"] = "none",
) -> SweetSpot:
    """The rectangle of measures in which graphs are not worse than the best, by the paper's rule.

    Graphs are sorted into bins. A bin's value at a seed is the mean error of its graphs at that
    seed. Every bin is compared with the bin of the lowest mean by Student's t-test over the
    seeds, one-tailed; bins with p >= ``alpha`` are kept, and the sweet spot is the bounding
    rectangle of their centres.

    The rule alone always names a rectangle. Here it is named only where errors depend on the
    measures at all: a permutation test (``dependence``) at level ``EVIDENCE``.

    Args:
        table: Results of one task. Graphs that lack one of the seeds are left out.
        measures: Two numeric columns.
        error: The column to compare, lower is better.
        alpha: Level of the t-tests.
        correction: "none" is the paper's rule. "tukey" uses the studentised range, which allows
            for the many comparisons and for the best bin having been picked by its luck.

    Raises:
        ValueError: If a column is missing, no run can be used, or an argument is out of range.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1 (a usual level is 0.05), not {alpha}.")
    if correction not in ("none", "tukey"):
        raise ValueError(f"correction must be 'none' or 'tukey', but is {correction!r}.")
    results = Results.of(table, measures=measures, error=error)
    bins, values, _ = bin_errors(results)
    p_values = compare_with_best(values, correction)
    best = int(np.argmin(values.mean(axis=1)))
    bins = bins.assign(
        mean=values.mean(axis=1),
        p_value=p_values,
        kept=p_values >= alpha,
        best=np.arange(len(bins)) == best,
    )
    p, reason = _evidence(results, bins)
    kept = bins[bins["kept"]]
    first, second = results.measures
    ranges = (
        None
        if reason
        else (
            (float(kept[first].min()), float(kept[first].max())),
            (float(kept[second].min()), float(kept[second].max())),
        )
    )
    return SweetSpot(results.measures, ranges, bins, alpha, correction, p, reason)


def bin_errors(results: Results) -> tuple[pd.DataFrame, Array, npt.NDArray[np.int64]]:
    """The non-empty bins, their mean errors ``[bins, seeds]``, and each graph's bin.

    Graphs are those of ``results.block``, in its order.
    """
    block = results.block
    points = results.place(block.index)
    columns = [
        cell_numbers(results, measure, points[:, axis])
        for axis, measure in enumerate(results.measures)
    ]
    keys = pd.MultiIndex.from_arrays(columns, names=["column", "row"])
    grouped = block.set_axis(keys).groupby(level=["column", "row"])
    values = grouped.mean()
    bins = values.index.to_frame(index=False)
    for name, measure in zip(("column", "row"), results.measures, strict=True):
        low, width = grid_of(results, measure)
        bins[measure] = low + width * (bins[name] + 0.5)
    bins["graphs"] = grouped.size().to_numpy()
    bins["seeds"] = block.shape[1]
    members = grouped.ngroup().to_numpy(dtype=np.int64)
    return bins, np.asarray(values, dtype=np.float64), np.asarray(members, dtype=np.int64)


def cell_numbers(
    results: Results, measure: str, values: Array, fineness: int = 1
) -> npt.NDArray[np.int64]:
    """The number of the cell that each value lies in, ``fineness`` cells a bin.

    A value on an edge belongs to the cell above, whatever its last bit is, but one on the top
    edge of a bounded measure (C = 1) to the last cell.
    """
    low, width = grid_of(results, measure)
    number = np.floor(np.round((values - low) * fineness / width, 9)).astype(np.int64)
    return number if measure == "path_length" else np.minimum(number, 15 * fineness - 1)


def grid_of(results: Results, measure: str) -> tuple[float, float]:
    """Lower edge and width of the bins: the paper's, or a fifteenth of the range."""
    if measure in GRID:
        return GRID[measure]
    values = results.graphs[measure]
    low, span = float(values.min()), float(values.max() - values.min())
    return low, span / 15 if span > 0 else 1.0


def compare_with_best(values: Array, correction: str) -> Array:
    """p-values of "not worse than the best bin", NaN where there is nothing to test with."""
    bins, seeds = values.shape
    best = int(np.argmin(values.mean(axis=1)))
    if seeds < 2 or not values.var(axis=1).any():
        return np.full(bins, np.nan)
    differences = values.mean(axis=1) - values[best].mean()
    variances = values.var(axis=1, ddof=1)
    if correction == "tukey":
        q = differences / np.sqrt(variances.mean() / seeds)
        p_values = stats.studentized_range.sf(q, max(bins, 2), bins * (seeds - 1))
    else:
        pairwise = np.sqrt((variances + variances[best]) / seeds)
        # A pair without any spread differs surely, or not at all.
        surely = np.where(differences > 0, np.inf, 0.0)
        t = np.divide(differences, pairwise, out=surely, where=pairwise > 0)
        p_values = stats.t.sf(t, 2 * (seeds - 1))
    p_values[best] = 1.0
    return np.asarray(p_values, dtype=np.float64)


def _evidence(results: Results, bins: pd.DataFrame) -> tuple[float, str]:
    """p-value of no dependence, and why no sweet spot can be named ("" if one can)."""
    block = results.block
    x, y = results.place(block.index), block.mean(axis=1).to_numpy(dtype=np.float64)
    names = " and ".join(SYMBOLS.get(measure, measure) for measure in results.measures)
    if not np.ptp(block.to_numpy()):
        return float("nan"), f"all errors equal {y[0]:.4g}."
    if block.shape[1] < 2:
        return float("nan"), (
            "there is only one seed, so the luck of a run cannot be told from the graph; "
            "train every graph with at least two seeds."
        )
    if len(block) < 10:
        return float("nan"), (
            f"only {plural(len(block), 'graph')} {'has' if len(block) == 1 else 'have'} "
            f"{block.shape[1]} seeds; at least 10 are needed."
        )
    p = dependence(x, y)
    if p > EVIDENCE:
        return p, (
            f"errors do not depend on {names} beyond chance (permutation test over "
            f"{len(block)} graphs, p {_p(p)}, level {EVIDENCE})."
        )
    if bins["kept"].all():
        return p, f"none of the {len(bins)} bins is worse than the best one."
    return p, ""


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
