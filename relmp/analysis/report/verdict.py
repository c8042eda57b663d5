"""What a busy person reads: three sentences, and the numbers that they rest on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from relmp.analysis.controls.matching import Matched, NestedFit
from relmp.analysis.controls.power import Noise, needed_seeds
from relmp.analysis.report.comparison import Comparison, Mean, Regions
from relmp.analysis.results import SYMBOLS, Results, p_text, plural
from relmp.analysis.spot.sweet_spot import SweetSpot

LEVEL = 0.05
EFFECT = 0.5
"""Points of error that are taken for worth seeing where nothing was seen."""
MANY_SEEDS = 3


@dataclass(frozen=True)
class Verdict:
    """Three sentences, and the numbers.

    Attributes:
        differ: Which graphs differ.
        holds: Whether it holds at equal density, and at each graph's own learning rate.
        further: What to do next.
        numbers: One row a mean: ``what``, ``error``, ``deviation``, ``n``, ``graph`` (a short
            name), ``call`` (its whole name).
    """

    differ: str
    holds: str
    further: str
    numbers: pd.DataFrame

    @property
    def lines(self) -> tuple[str, str, str]:
        """The three sentences."""
        return self.differ, self.holds, self.further

    def __str__(self) -> str:
        shown = self.numbers.drop(columns="call").assign(
            error=self.numbers["error"].map("{:.2f}".format),
            deviation=self.numbers["deviation"].map(
                lambda value: "" if np.isnan(value) else f"{value:.2f}"
            ),
        )
        return "\n".join([*self.lines, "", shown.to_string(index=False)])


def verdict_of(
    results: Results,
    comparison: Comparison,
    spot: SweetSpot,
    regions: Regions | None,
    nested: Sequence[NestedFit],
    matched: Sequence[Matched],
    noise: Noise | None,
    own: str | None,
) -> Verdict:
    """The verdict of one task.

    Args:
        results: The results.
        comparison, spot, regions, nested, matched, noise: What was concluded from them.
        own: The setting at whose own value each graph is compared ("training.lr").
    """
    density = _at_equal_density(spot, nested, matched)
    return Verdict(
        _differ(comparison, spot),
        f"{_density(density)} {_rate(own)}",
        _further(comparison, noise, density, own),
        _numbers(results, comparison, regions),
    )


def _gain(comparison: Comparison) -> tuple[float, float, float] | None:
    """What the best graph gains on seeds that did not choose it, and the interval of that."""
    choice = comparison.choice
    if choice is None or np.isnan(choice.gain) or np.isnan(choice.interval[0]):
        return None
    return choice.gain, *choice.interval


def _is_better(comparison: Comparison) -> bool:
    """Whether some graph beats the complete one: by itself among all, or as the one chosen.

    The two tests ask differently. With few seeds the interval of the one chosen is wide, while
    many graphs may pass the test against the complete one.
    """
    gain = _gain(comparison)
    return bool(comparison.surely_better) or (gain is not None and gain[1] > 0)


def _differ(comparison: Comparison, spot: SweetSpot) -> str:
    count = plural(comparison.graphs, "graph")
    better, worse = comparison.surely_better or 0, comparison.surely_worse or 0
    gain = _gain(comparison)
    if comparison.complete is None:
        said = f"{count} differ by luck or not: the complete graph was not run to compare them with"
    elif gain is None:
        said = (
            f"Whether any of {count} beats the complete graph cannot be said from "
            f"{plural(len(comparison.seeds), 'seed')}"
        )
    else:
        if better or worse:
            said = (
                f"Of {count} {_are(better)} better than the complete one and {_are(worse)} worse "
                "(at a false discovery rate of 5 %)"
            )
        elif _is_better(comparison):
            said = f"The best of {count} beats the complete one"
        else:
            said = f"None of {count} can be told from the complete one"
        said += (
            f"; the best gains {gain[0]:.2f} points on seeds that did not choose it "
            f"({gain[1]:.2f} to {gain[2]:.2f})"
        )
    if spot.ranges is None:
        return f"{said}. No region of the map stands out."
    where = ", ".join(
        f"{SYMBOLS.get(measure, measure)} {low:.2f} to {high:.2f}"
        for measure, (low, high) in zip(spot.measures, spot.ranges, strict=True)
    )
    return f"{said}. Good graphs lie at {where}."


def _are(count: int) -> str:
    return "none is" if count == 0 else "1 is" if count == 1 else f"{count:,} are"


@dataclass(frozen=True)
class _AtEqualDensity:
    """Whether the measures matter among graphs of one density, and by which test."""

    holds: bool
    said: str


def _at_equal_density(
    spot: SweetSpot, nested: Sequence[NestedFit], matched: Sequence[Matched]
) -> _AtEqualDensity | None:
    """None where that cannot be said."""
    names = " and ".join(SYMBOLS.get(measure, measure) for measure in spot.measures)
    tests, said = [], []
    for fit in nested:
        if fit.control == "density":
            tests.append(fit.p_value)
            seen = f"{fit.partial_r2:.0%} of what density leaves"
            told = seen if fit.p_value < LEVEL else "nothing more"
            said.append(f"{names} explain {told} (p {p_text(fit.p_value)})")
    for one in matched:
        if one.control == "density":
            tests.append(one.p_value)
            told = "better" if one.p_value < LEVEL else "no better"
            said.append(
                f"graphs of the sweet spot are {told} than others "
                f"(p {p_text(one.p_value, digits=2)})"
            )
    # Both ask for the same; the fit takes all graphs, the bands those near the rectangle.
    return _AtEqualDensity(tests[0] < LEVEL, ", and ".join(said)) if tests else None


def _density(found: _AtEqualDensity | None) -> str:
    if found is None:
        return "Whether graphs differ at equal density cannot be said."
    if found.holds:
        return f"At equal density graphs still differ: {found.said}."
    return f"Density may be all there is to it: at equal density {found.said}."


def _rate(own: str | None) -> str:
    if own is None:
        return "Each graph's own learning rate was not tried."
    return f"Each graph was compared at its own {own}."


def _further(
    comparison: Comparison,
    noise: Noise | None,
    density: _AtEqualDensity | None,
    own: str | None,
) -> str:
    if comparison.complete is None:
        return "Next: run the complete graph as well, with the same seeds."
    seeds = len(comparison.seeds)
    if seeds < MANY_SEEDS:
        return f"Next: more seeds; {seeds} cannot tell graphs from luck, {MANY_SEEDS} or more can."
    if not (_is_better(comparison) or comparison.surely_worse):
        if noise is None or not noise.within:
            return "Next: a task on which seeds differ."
        wanted = needed_seeds(EFFECT, noise.within)
        return (
            f"Next: a harder task, or more seeds: to see that one graph is {EFFECT} points better "
            f"takes {wanted} of each, and there are {seeds}."
        )
    if own is None:
        return (
            'Next: several learning rates with validation images ("training.lr" as an axis, '
            "validation=0.1), then --best-over training.lr."
        )
    if density is None or not density.holds:
        return "Next: graphs of equal density that differ in the measures (relmp graphs find)."
    return "Next: the same graphs on another task or at another width (relmp analyse A B)."


def _numbers(results: Results, comparison: Comparison, regions: Regions | None) -> pd.DataFrame:
    rows: list[tuple[str, float, float, str, str, str]] = []

    def add(what: str, mean: Mean | None, of: str, name: str = "") -> None:
        if mean is not None:
            short = results.short_of(name)
            deviation = mean.deviation if mean.n > 1 else float("nan")
            rows.append((what, mean.mean, deviation, plural(mean.n, of), short, name))

    add("complete graph", comparison.complete, "seed")
    add("lowest mean", comparison.lowest[1], "seed", comparison.lowest[0])
    if comparison.choice is not None:
        of = plural(comparison.choice.splits, "split")
        what = "chosen on half of the seeds, judged on the others"
        rows.append((what, comparison.choice.honest, float("nan"), of, "", ""))
    if regions is not None:
        add("inside the sweet spot", regions.inside, "graph")
        add("outside", regions.outside, "graph")
    return pd.DataFrame(rows, columns=["what", "error", "deviation", "n", "graph", "call"])
