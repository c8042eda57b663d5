"""The mean of paired differences over graphs and seeds, with an interval that holds for both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from relmp.analysis.results import Array

LEVEL = 0.05


@dataclass(frozen=True)
class Paired:
    """A mean difference.

    Attributes:
        mean: The mean over graphs and seeds.
        interval: Its 95 % interval; NaN where there is one pair only.
        p_value: Of no difference, two-sided.
        graphs, seeds: How many of each.
    """

    mean: float
    interval: tuple[float, float]
    p_value: float
    graphs: int
    seeds: int


def paired_difference(differences: pd.DataFrame) -> Paired | None:
    r"""The mean of differences, graphs (rows) x seeds (columns), for graphs and seeds as drawn.

    Runs of one graph have its luck in common, runs of one seed have theirs. With G graphs and S
    seeds, the variance of the mean is estimated by
    :math:`(MS_{graph} + MS_{seed} - MS_{rest}) / (G S)`, the mean squares of a two-way analysis of
    variance without repetition (never less than any of them alone says), with Satterthwaite's
    degrees of freedom. With one graph, or one seed, it is a plain t-interval over the others, and
    holds for that graph or seed.

    Args:
        differences: ``[G, S]``; graphs that lack a seed take no part.

    Returns:
        None where there is no complete graph.

    Reference:
        Searle, Casella, McCulloch, *Variance Components*, Wiley 1992, section 4.3.
    """
    values = differences.dropna().to_numpy(dtype=np.float64)
    if not values.size:
        return None
    graphs, seeds = values.shape
    mean = float(values.mean())
    variance, freedom = _variance_of_mean(values)
    if not freedom:
        return Paired(mean, (float("nan"),) * 2, float("nan"), graphs, seeds)
    error = variance**0.5
    half = float(stats.t.ppf(1 - LEVEL / 2, freedom)) * error
    if error == 0:
        p = 1.0 if mean == 0 else 0.0
    else:
        p = float(2 * stats.t.sf(abs(mean) / error, freedom))
    return Paired(mean, (mean - half, mean + half), p, graphs, seeds)


def _variance_of_mean(values: Array) -> tuple[float, float]:
    """The variance of the grand mean, and its degrees of freedom; 0 of them where unknown."""
    graphs, seeds = values.shape
    if graphs == 1 or seeds == 1:
        flat = values.ravel()
        return (float(flat.var(ddof=1)) / len(flat), len(flat) - 1) if len(flat) > 1 else (0.0, 0)
    rows, columns = values.mean(axis=1), values.mean(axis=0)
    rest = values - rows[:, None] - columns + values.mean()
    squares = {
        "graph": (seeds * float(rows.var(ddof=1)), graphs - 1),
        "seed": (graphs * float(columns.var(ddof=1)), seeds - 1),
        "rest": (float((rest**2).sum()) / ((graphs - 1) * (seeds - 1)), (graphs - 1) * (seeds - 1)),
    }
    signs = {"graph": 1, "seed": 1, "rest": -1}
    total = sum(signs[name] * square for name, (square, _) in squares.items())
    largest, freedom = max(squares.values())
    if total <= largest:
        return largest / values.size, float(freedom)
    spread = sum(square**2 / count for square, count in squares.values())
    return total / values.size, total**2 / spread


def holm(p_values: Array) -> Array:
    """p-values that allow for so many comparisons (Holm 1979)."""
    order = np.argsort(p_values)
    count = len(p_values)
    adjusted = np.empty(count)
    stepped = (count - np.arange(count)) * p_values[order]
    adjusted[order] = np.minimum(1, np.maximum.accumulate(stepped))
    return adjusted
