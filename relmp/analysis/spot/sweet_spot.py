"""The sweet spot: the rectangle of measures that the paper's test leaves standing."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from relmp.analysis.results import MEASURES, SYMBOLS, Array, Results, p_text, plural
from relmp.analysis.spot.dependence import dependence
from relmp.analysis.spot.rule import Rule

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
            f"on the measures (p {p_text(self.p_dependence)})."
        )

    def _repr_html_(self) -> str:
        shown = self.bins.drop(columns=["column", "row"], errors="ignore")
        table = shown.to_html(index=False, float_format="{:.3f}".format)
        return (
            f"<p>{html.escape(self.describe())}</p><details><summary>{len(shown)} bins</summary>"
            f"{table}</details>"
        )

    def _range(self, measure: str) -> Range | None:
        if self.ranges is None or measure not in self.measures:
            return None
        return self.ranges[self.measures.index(measure)]


def find_sweet_spot(
    table: pd.DataFrame,
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
        table: Results of one task. Graphs that lack some of the seeds take part with those that
            they have, at least two.
        measures: Two numeric columns.
        error: The column to compare, lower is better.
        alpha: Level of the t-tests.
        correction: "none" is the paper's rule. "tukey" uses the studentised range, which allows
            for the many comparisons and for the best bin having been picked by its luck.

    Raises:
        ValueError: If a column is missing, no run can be used, or an argument is out of range.
    """
    return spot_of(Results.of(table, measures=measures, error=error), alpha, correction)


def spot_of(
    results: Results,
    alpha: float = 0.05,
    correction: Literal["none", "tukey"] = "none",
) -> SweetSpot:
    """What :func:`find_sweet_spot` says of a table."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1 (a usual level is 0.05), not {alpha}.")
    if correction not in ("none", "tukey"):
        raise ValueError(f"correction must be 'none' or 'tukey', but is {correction!r}.")
    rule = Rule.of(results, alpha, correction)
    errors = results.compared.to_numpy(dtype=np.float64)
    means = np.nanmean(rule.values(errors), axis=1)
    p_values = rule.p_values(errors)
    bins = rule.bins.assign(
        mean=means,
        p_value=p_values,
        kept=p_values >= alpha,
        best=np.arange(len(means)) == int(np.argmin(means)),
    )
    p, reason = _evidence(results, bins)
    ranges = None
    if not reason:
        (left, low), (right, high) = rule.corners(rule.kept(errors)).tolist()
        ranges = ((left, right), (low, high))
    return SweetSpot(results.measures, ranges, bins, alpha, correction, p, reason)


def _evidence(results: Results, bins: pd.DataFrame) -> tuple[float, str]:
    """p-value of no dependence, and why no sweet spot can be named ("" if one can)."""
    block = results.compared
    x, y = results.place(block.index), block.mean(axis=1).to_numpy(dtype=np.float64)
    names = " and ".join(SYMBOLS.get(measure, measure) for measure in results.measures)
    if not np.ptp(y) and not np.ptp(results.block.to_numpy()):
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
            f"{len(block)} graphs, p {p_text(p)}, level {EVIDENCE})."
        )
    if bins["kept"].all():
        return p, f"none of the {len(bins)} bins is worse than the best one."
    return p, ""
