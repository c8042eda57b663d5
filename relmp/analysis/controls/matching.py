"""Is it the measures, or the density and width that come with them?

At a fixed budget a sparser graph is wider, so density and width go together, and both go with
C and L. A claim about the measures needs these controls beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from relmp.analysis.controls.fits import design
from relmp.analysis.results import SYMBOLS, Array, Results, p_text
from relmp.analysis.spot.rule import Rule
from relmp.analysis.spot.sweet_spot import SweetSpot

PERMUTATIONS = 1999
"""How many permutations a test draws."""


@dataclass(frozen=True)
class NestedFit:
    """What the measures add to a control, by quadratic fits of the graphs' mean errors.

    Attributes:
        control: The column controlled for.
        n: Number of graphs.
        r2_control: Variance explained by a quadratic in the control alone.
        r2_measures: By a quadratic in the two measures alone.
        r2_both: By a quadratic in all three.
        partial_r2: Share of what the control leaves unexplained that the measures explain.
        p_value: Of the hypothesis that they add nothing (residuals of the control's fit are
            permuted, Freedman and Lane 1983).
    """

    control: str
    n: int
    r2_control: float
    r2_measures: float
    r2_both: float
    partial_r2: float
    p_value: float

    def __str__(self) -> str:
        name = SYMBOLS.get(self.control, self.control)
        return (
            f"{name.capitalize()} alone explains {self.r2_control:.0%} of the variance between "
            f"graphs, the measures alone {self.r2_measures:.0%}, all together "
            f"{self.r2_both:.0%}: the measures explain {self.partial_r2:.0%} of what "
            f"{name} leaves (p {p_text(self.p_value)})."
        )


def fit_nested(results: Results, control: str = "density", *, seed: int = 0) -> NestedFit | None:
    """Quadratic fits with and without the measures; None where there is nothing to fit.

    The complete graph takes no part: it would decide the fit alone.

    Args:
        results: Results of one task.
        control: Any numeric column that is constant for a graph.
        seed: Draws the permutations.
    """
    if control in results.measures:
        return None
    sparse = results.sparse
    y = sparse["mean"].to_numpy(dtype=np.float64)
    z = _scaled(sparse[[control]].to_numpy(dtype=np.float64))
    x = _scaled(sparse[list(results.measures)].to_numpy(dtype=np.float64))
    small, large = design(z), design(np.hstack([z, x]))
    if len(y) < 2 * large.shape[1] or not np.ptp(y) or not np.ptp(z):
        return None
    small, large = _basis(small), _basis(large)
    residual = y - small @ (small.T @ y)

    def added(values: Array) -> Array:
        """Variance that the larger fit explains beyond the smaller one."""
        return np.asarray(((values @ large) ** 2).sum(-1) - ((values @ small) ** 2).sum(-1))

    rng = np.random.default_rng(seed)
    fitted = y - residual
    beyond = 0
    observed = added(y) / _left(y, large)
    for _ in range(PERMUTATIONS):
        drawn = fitted + rng.permutation(residual)
        beyond += bool(added(drawn) / _left(drawn, large) >= observed)
    total = len(y) * float(np.var(y))
    return NestedFit(
        control,
        len(y),
        1 - _left(y, small) / total,
        1 - _left(y, _basis(design(x))) / total,
        1 - _left(y, large) / total,
        1 - _left(y, large) / _left(y, small),
        (1 + beyond) / (1 + PERMUTATIONS),
    )


@dataclass(frozen=True)
class Matched:
    """The sweet spot against graphs of the same density (or width) outside it.

    Attributes:
        control: The column that is matched.
        raw: Mean error outside minus inside, over all graphs.
        matched: The same within bands of the control, weighted by the graphs inside.
        by_chance: What ``matched`` is on average where only the control matters: the rectangle
            was found on the same runs, and flatters itself by as much.
        p_value: One-tailed: how often ``matched`` is as large where only the control matters.
        bands: Number of bands that hold both kinds of graphs.
        inside: Number of graphs inside in these bands.
    """

    control: str
    raw: float
    matched: float
    by_chance: float
    p_value: float
    bands: int
    inside: int

    def __str__(self) -> str:
        p = p_text(self.p_value, digits=2)
        return (
            f"Graphs in the sweet spot are {self.raw:.2f} lower in error than those outside; "
            f"against outside graphs of the same {self.control}, {self.matched:z.2f} lower, where "
            f"{self.by_chance:z.2f} would come by chance (p {p}, {self.inside} graphs in "
            f"{self.bands} bands)."
        )


def match_controls(
    results: Results,
    spot: SweetSpot,
    control: str = "density",
    *,
    bands: int = 20,
    samples: int = 199,
    seed: int = 0,
) -> Matched | None:
    """Compare the sweet spot with its outside at equal density or width.

    The test lets graphs of a band change places and finds the rectangle anew each time, so it
    allows for the rectangle having been found on the runs it is judged by.

    Args:
        results: Those that ``spot`` was found in.
        spot: What ``find_sweet_spot`` said.
        control: The column to match.
        bands: Number of equally filled bands of the control.
        samples: How often the graphs change places.
        seed: Draws the places.

    Returns:
        None where there is no spot, or no band holds graphs inside and outside.
    """
    if spot.ranges is None:
        return None
    block = results.compared
    errors = block.to_numpy(dtype=np.float64)
    points = results.place(block.index)
    sparse = ~results.graphs.loc[block.index, "complete"].to_numpy(dtype=np.bool_)
    strata = _bands(results.graphs.loc[block.index, control][sparse], bands, sparse)
    inside = spot.contains(points)
    means = np.nanmean(errors, axis=1)
    observed = _difference(means, inside, strata)
    if observed is None:
        return None
    rule = Rule.of(results, spot.alpha, spot.correction)
    rng = np.random.default_rng(seed)
    chance = []
    for _ in range(samples):
        order = np.arange(len(errors))
        for rows in strata:
            order[rows] = rng.permutation(rows)
        low, high = rule.corners(rule.kept(errors[order]))
        again = ((points >= low - 1e-9) & (points <= high + 1e-9)).all(axis=1)
        found = _difference(means[order], again, strata)
        chance.append(0.0 if found is None else found)
    used = [rows for rows in strata if inside[rows].any() and not inside[rows].all()]
    return Matched(
        control,
        float(means[sparse & ~inside].mean() - means[sparse & inside].mean()),
        observed,
        float(np.mean(chance)),
        float((1 + (np.array(chance) >= observed).sum()) / (1 + samples)),
        len(used),
        int(sum(inside[rows].sum() for rows in used)),
    )


def _bands(
    values: pd.Series, bands: int, sparse: npt.NDArray[np.bool_]
) -> list[npt.NDArray[np.intp]]:
    """Rows of the graphs in each band of the control, the complete graph left out."""
    quantiles = min(bands, max(1, len(values) // 5))
    codes = np.asarray(pd.qcut(values, quantiles, labels=False, duplicates="drop"))
    rows = np.flatnonzero(sparse)
    return [rows[codes == code] for code in np.unique(codes)]


def _difference(
    means: Array, inside: npt.NDArray[np.bool_], strata: list[npt.NDArray[np.intp]]
) -> float | None:
    """Outside minus inside within bands, weighted by the graphs inside; None without a pair."""
    used = [rows for rows in strata if inside[rows].any() and not inside[rows].all()]
    if not used:
        return None
    gaps = [means[r[~inside[r]]].mean() - means[r[inside[r]]].mean() for r in used]
    return float(np.average(gaps, weights=[inside[r].sum() for r in used]))


def _scaled(x: Array) -> Array:
    spread = x.std(axis=0)
    return np.asarray((x - x.mean(axis=0)) / np.where(spread > 0, spread, 1))


def _basis(terms: Array) -> Array:
    """An orthonormal basis of the columns, whatever their rank."""
    u, s, _ = np.linalg.svd(terms, full_matrices=False)
    return np.asarray(u[:, s > 1e-10 * s[0]])


def _left(values: Array, basis: Array) -> float:
    return float((values**2).sum() - ((values @ basis) ** 2).sum())
