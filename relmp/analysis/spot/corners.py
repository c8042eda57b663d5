"""How firm the sweet spot's corners are: a bootstrap of the runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from relmp.analysis.results import SYMBOLS, Results
from relmp.analysis.spot.rule import Rule
from relmp.analysis.spot.sweet_spot import SweetSpot

SAMPLES = 500
"""How many bootstrap samples are drawn."""


@dataclass(frozen=True)
class Corners:
    """Bootstrap of the sweet spot.

    Attributes:
        measures: The two measures.
        intervals: For each measure, the 95 % intervals of its lower and its upper end.
        kept: Share of the samples in which each bin is kept, in the order of ``spot.bins``.
        samples: Number of bootstrap samples.
    """

    measures: tuple[str, str]
    intervals: tuple[tuple[tuple[float, float], tuple[float, float]], ...]
    kept: tuple[float, ...]
    samples: int

    def describe(self) -> str:
        """One plain sentence."""
        ends = "; ".join(
            f"{SYMBOLS.get(measure, measure)} from {low[0]:.2f}-{low[1]:.2f} to "
            f"{high[0]:.2f}-{high[1]:.2f}"
            for measure, (low, high) in zip(self.measures, self.intervals, strict=True)
        )
        return (
            f"Were the runs repeated, the rectangle's ends would lie at {ends} "
            f"(95 % bootstrap intervals, {self.samples} samples)."
        )


def bootstrap_corners(
    results: Results, spot: SweetSpot, *, samples: int = SAMPLES, seed: int = 0
) -> Corners | None:
    """Repeat the sweep in the computer: the same graphs and seeds, other luck.

    Every run's error becomes its graph's mean plus a residual drawn from all graphs' (scaled
    for the mean they were taken from), and the rule is applied anew.

    Returns:
        None where no sweet spot was found.
    """
    if spot.ranges is None:
        return None
    block = results.compared.to_numpy(dtype=np.float64)
    there = np.isfinite(block)
    seeds = there.sum(axis=1, keepdims=True)
    means = np.nanmean(block, axis=1, keepdims=True)
    residuals = ((block - means) * np.sqrt(seeds / (seeds - 1)))[there]
    rule = Rule.of(results, spot.alpha, spot.correction)
    rng = np.random.default_rng(seed)
    gaps = np.where(there, 0.0, np.nan)
    kept = [rule.kept(means + gaps + rng.choice(residuals, block.shape)) for _ in range(samples)]
    ends = np.array([rule.corners(one) for one in kept])
    low, high = np.percentile(ends, [2.5, 97.5], axis=0)
    return Corners(
        spot.measures,
        tuple(
            (
                (float(low[0, axis]), float(high[0, axis])),
                (float(low[1, axis]), float(high[1, axis])),
            )
            for axis in (0, 1)
        ),
        tuple(np.mean(kept, axis=0).tolist()),
        samples,
    )
