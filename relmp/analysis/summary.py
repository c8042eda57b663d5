"""Honest numbers: what a search for a good graph found, and what of it is luck.

The lowest of many noisy means is low by luck. Here graphs are chosen on some of the seeds and
reported on the others, and everything stands beside the complete graph's mean, deviation and n.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from relmp.analysis.fits import Quadratic, fit_surface
from relmp.analysis.results import SYMBOLS, Results, listing, plural
from relmp.analysis.sweet_spot import SweetSpot

Interval = tuple[float, float]


@dataclass(frozen=True)
class Mean:
    """A mean with its population deviation (over n, as in the paper) and n."""

    mean: float
    deviation: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.2f} +- {self.deviation:.2f} (n = {self.n})"


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


@dataclass(frozen=True)
class Summary:
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
        surely_better: Number of graphs better than the complete graph by a one-tailed t-test
            at a false discovery rate of 5 %.
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
            lines.append(_describe_choice(self.choice))
        if self.beat_complete is not None and self.beat_interval is not None:
            low, high = self.beat_interval
            lines.append(
                f"{self.beat_complete:.1%} of the graphs have a lower mean than the complete "
                f"graph ({low:.1%} to {high:.1%} as its mean moves within its 95 % interval)"
                + (
                    f"; {self.surely_better:,} are better at a false discovery rate of 5 %."
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


def summarise(table: pd.DataFrame | Results, *, error: str = "test_error") -> Summary:
    """Honest numbers of one task's results.

    Raises:
        ValueError: If a column is missing, no run can be used, or only the complete graph ran.
    """
    results = Results.of(table, error=error)
    sparse = results.sparse
    if sparse.empty:
        raise ValueError(
            "The table holds only the complete graph; train other graphs to compare it with."
        )
    notes = [*results.notes]
    if results.gaps:
        notes.append(
            f"{plural(len(results.gaps), 'graph')} without all of these seeds left out of what "
            f"compares seeds: {listing(results.gaps)}."
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
    share, interval, surely = _against_complete(results)
    return Summary(
        graphs=len(sparse),
        seeds=tuple(int(seed) for seed in results.block.columns),
        complete=mean_of(complete) if len(complete) else None,
        lowest=_graph(results, sparse["mean"]),
        cautious=_graph(results, sparse["mean"] + sparse["deviation"]),
        choice=choose_and_judge(results),
        beat_complete=share,
        beat_interval=interval,
        surely_better=surely,
        quadratic=fit_surface(results),
        notes=tuple(notes),
    )


def choose_and_judge(
    table: pd.DataFrame | Results,
    *,
    top: int = 1,
    choosing: Iterable[int] | None = None,
    splits: int = 200,
    seed: int = 0,
) -> Choice | None:
    """Choose the best graphs on half of the seeds, and judge them on the other half.

    Args:
        table: Results of one task.
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
    results = Results.of(table)
    block = results.block
    candidates = block[block.index.isin(results.sparse.index)]
    seeds = [int(column) for column in block.columns]
    if len(seeds) < 2 or candidates.empty:
        return None
    halves = [tuple(choosing)] if choosing is not None else _halves(seeds, splits, seed)
    baseline = block[block.index.isin(results.graphs.index[results.graphs["complete"]])].mean()
    shown, honest, gain = [], [], []
    for half in halves:
        others = [s for s in seeds if s not in half]
        means = candidates[list(half)].mean(axis=1)
        chosen = means.nsmallest(top).index
        shown.append(float(means[chosen].mean()))
        honest.append(float(candidates.loc[chosen, others].to_numpy().mean()))
        gain.append(float(baseline[others].mean()) - honest[-1])
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


def mean_of(values: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]]) -> Mean:
    """Mean, population deviation and n."""
    return Mean(float(np.mean(values)), float(np.std(values)), len(values))


@dataclass(frozen=True)
class Regions:
    """Mean errors of the graphs inside and outside the sweet spot, one value a graph."""

    inside: Mean
    outside: Mean | None


def compare_regions(results: Results, spot: SweetSpot) -> Regions | None:
    """How good the sweet spot is as a whole: no graph of it is picked, so no luck is either."""
    sparse = results.sparse
    inside = spot.contains(sparse[list(spot.measures)].to_numpy(dtype=np.float64))
    means = sparse["mean"].to_numpy(dtype=np.float64)
    if not inside.any():
        return None
    return Regions(mean_of(means[inside]), None if inside.all() else mean_of(means[~inside]))


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


def _graph(results: Results, order: pd.Series) -> tuple[str, Mean]:
    row = results.graphs.loc[order.sort_values(kind="stable").index[0]]
    return str(row["graph"]), Mean(float(row["mean"]), float(row["deviation"]), int(row["n"]))


def _against_complete(
    results: Results,
) -> tuple[float | None, Interval | None, int | None]:
    complete, means = results.complete, results.sparse["mean"]
    if not len(complete):
        return None, None, None
    share = float((means < complete.mean()).mean())
    if len(complete) < 2:
        return share, None, None
    reach = stats.t.ppf(0.975, len(complete) - 1) * stats.sem(complete)
    ends = (
        float((means < complete.mean() - reach).mean()),
        float((means < complete.mean() + reach).mean()),
    )
    block = results.block.loc[results.block.index.isin(results.sparse.index)]
    if block.shape[1] < 2 or not np.ptp(block.to_numpy()) or not np.ptp(complete):
        return share, ends, None
    # From means and deviations: graphs whose seeds all agree would upset ttest_ind.
    tests = stats.ttest_ind_from_stats(
        block.mean(axis=1),
        block.std(axis=1),
        block.shape[1],
        complete.mean(),
        complete.std(ddof=1),
        len(complete),
        alternative="less",
    )
    discovered = stats.false_discovery_control(np.asarray(tests.pvalue)) < 0.05
    return share, ends, int(discovered.sum())


def _describe_choice(choice: Choice) -> str:
    low, high = choice.interval
    sentence = (
        f"Chosen on half of the seeds, the best graph shows {choice.shown:.2f} there and "
        f"{choice.honest:.2f} on the other half (mean of {plural(choice.splits, 'split')})"
    )
    if np.isnan(choice.gain):
        return f"{sentence}."
    sign = "lower" if choice.gain >= 0 else "higher"
    verdict = "" if low > 0 else "; this does not tell it from the complete graph"
    return (
        f"{sentence}, {abs(choice.gain):.2f} {sign} than the complete graph on the same seeds "
        f"(95 % interval of the gain {low:.2f} to {high:.2f}){verdict}."
    )
