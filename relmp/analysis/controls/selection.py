"""Choosing on some seeds and judging on others: the lowest of many noisy means is low by luck."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from relmp.analysis.results import Results, plural

Interval = tuple[float, float]


@dataclass(frozen=True)
class Choice:
    """Graphs chosen on some seeds and judged on others.

    Attributes:
        shown: Mean error of the chosen graphs on the seeds that chose them.
        honest: Their mean error on the other seeds.
        gain: How much lower than the complete graph that is, on the same other seeds; NaN
            without a complete graph.
        interval: 95 % interval of ``gain`` over the splits (of ``honest`` without a complete
            graph); NaN where there is a single split.
        splits: How many ways of splitting the seeds were averaged.
        top: How many graphs each of them chose.
    """

    shown: float
    honest: float
    gain: float
    interval: Interval
    splits: int
    top: int

    def describe(self) -> str:
        """One plain sentence."""
        low, high = self.interval
        sentence = (
            f"Chosen on half of the seeds, the best graph shows {self.shown:.2f} there and "
            f"{self.honest:.2f} on the other half (mean of {plural(self.splits, 'split')})"
        )
        if np.isnan(self.gain):
            return f"{sentence}."
        sign = "lower" if self.gain >= 0 else "higher"
        verdict = "" if low > 0 else "; this does not tell it from the complete graph"
        return (
            f"{sentence}, {abs(self.gain):.2f} {sign} than the complete graph on the same seeds "
            f"(95 % interval of the gain {low:.2f} to {high:.2f}){verdict}."
        )


def choose_and_judge(
    results: Results,
    *,
    top: int = 1,
    choosing: Iterable[int] | None = None,
    splits: int = 200,
    seed: int = 0,
) -> Choice | None:
    """Choose the best graphs on half of the seeds, and judge them on the other half.

    Args:
        results: Results of one task.
        top: How many graphs to choose.
        choosing: The seeds that choose. By default every half of the seeds does in turn (a
            random ``splits`` of the halves where there are more), and the results are averaged.
        splits: The largest number of splits.
        seed: Draws the halves.

    Returns:
        None where there are fewer than two seeds. The interval is that of the corrected
        resampled t-test, which allows for splits that share seeds.

    Reference:
        Nadeau, Bengio, *Inference for the Generalization Error*, Machine Learning 52, 2003.
    """
    block = results.compared
    candidates = block[block.index.isin(results.sparse.index)]
    seeds = [int(column) for column in block.columns]
    if len(seeds) < 2 or candidates.empty:
        return None
    halves = [tuple(choosing)] if choosing is not None else _halves(seeds, splits, seed)
    baseline = block[block.index.isin(results.graphs.index[results.graphs["complete"]])].mean()
    shown, honest, gain = [], [], []
    for half in halves:
        others = [s for s in seeds if s not in half]
        judged = candidates[candidates[others].notna().any(axis=1)]
        means = judged[list(half)].mean(axis=1)
        chosen = means.nsmallest(top).index
        shown.append(float(means[chosen].mean()))
        errors = judged.loc[chosen, others]
        honest.append(float(np.nanmean(errors)))
        # Where a graph lacks a seed, it is compared on those that it has.
        gains = baseline[others].to_numpy() - errors.to_numpy()
        gain.append(float(np.nanmean(gains)) if np.isfinite(gains).any() else float("nan"))
    told = gain if np.isfinite(gain).all() else honest
    ratio = (len(seeds) - len(halves[0])) / len(halves[0])
    return Choice(
        float(np.mean(shown)),
        float(np.mean(honest)),
        float(np.mean(gain)),
        _resampled_interval(told, ratio),
        len(halves),
        top,
    )


def _halves(seeds: list[int], splits: int, seed: int) -> list[tuple[int, ...]]:
    halves = list(itertools.islice(itertools.combinations(seeds, len(seeds) // 2), 10 * splits))
    if len(halves) <= splits:
        return halves
    rng = np.random.default_rng(seed)
    return [tuple(rng.choice(seeds, len(seeds) // 2, replace=False)) for _ in range(splits)]


def _resampled_interval(values: list[float], ratio: float) -> Interval:
    count = len(values)
    if count < 2:
        return (float("nan"), float("nan"))
    spread = np.sqrt((1 / count + ratio) * np.var(values, ddof=1))
    reach = float(stats.t.ppf(0.975, count - 1) * spread)
    return (float(np.mean(values)) - reach, float(np.mean(values)) + reach)
