"""Is it the measures, or the density and width that come with them?

At a fixed budget a sparser graph is wider, so density and width go together, and both go with
C and L. A claim about the measures needs these controls beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from relmp.analysis.fits import design
from relmp.analysis.results import SYMBOLS, Array, Results
from relmp.analysis.sweet_spot import SweetSpot

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
            f"{name} leaves (p {'< 0.001' if self.p_value < 0.001 else f'= {self.p_value:.3f}'})."
        )


def fit_nested(
    table: pd.DataFrame | Results, control: str = "density", *, seed: int = 0
) -> NestedFit | None:
    """Quadratic fits with and without the measures; None where there is nothing to fit.

    The complete graph takes no part: it would decide the fit alone.

    Args:
        table: Results of one task.
        control: Any numeric column that is constant for a graph.
        seed: Draws the permutations.
    """
    results = Results.of(table)
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
        p_value: One-tailed, by permuting graphs within bands.
        bands: Number of bands that hold both kinds of graphs.
        inside: Number of graphs inside in these bands.
    """

    control: str
    raw: float
    matched: float
    p_value: float
    bands: int
    inside: int

    def __str__(self) -> str:
        p = "< 0.001" if self.p_value < 0.001 else f"= {self.p_value:.3f}"
        return (
            f"Graphs in the sweet spot are {self.raw:.2f} lower in error than those outside; "
            f"against outside graphs of the same {self.control}, {self.matched:.2f} lower "
            f"(p {p}, {self.inside} graphs in {self.bands} bands)."
        )


def match_controls(
    table: pd.DataFrame | Results,
    spot: SweetSpot,
    control: str = "density",
    *,
    bands: int = 20,
    seed: int = 0,
) -> Matched | None:
    """Compare the sweet spot with its outside at equal density or width.

    Args:
        table: The results that ``spot`` was found in.
        spot: What ``find_sweet_spot`` said.
        control: The column to match.
        bands: Number of equally filled bands of the control.
        seed: Draws the permutations.

    Returns:
        None where there is no spot, or no band holds graphs inside and outside.
    """
    results = Results.of(table, measures=spot.measures)
    sparse = results.sparse
    inside = spot.contains(sparse[list(spot.measures)].to_numpy(dtype=np.float64))
    y = sparse["mean"].to_numpy(dtype=np.float64)
    if not inside.any() or inside.all():
        return None
    quantiles = min(bands, max(1, len(sparse) // 5))
    band = pd.qcut(sparse[control], quantiles, labels=False, duplicates="drop")
    codes = np.asarray(band, dtype=np.int64)
    strata = [np.flatnonzero(codes == code) for code in np.unique(codes)]
    strata = [rows for rows in strata if inside[rows].any() and not inside[rows].all()]
    if not strata:
        return None

    def difference(errors: Array) -> float:
        gaps = [errors[r[~inside[r]]].mean() - errors[r[inside[r]]].mean() for r in strata]
        return float(np.average(gaps, weights=[inside[r].sum() for r in strata]))

    rng = np.random.default_rng(seed)
    observed, beyond = difference(y), 0
    for _ in range(PERMUTATIONS):
        drawn = y.copy()
        for rows in strata:
            drawn[rows] = rng.permutation(drawn[rows])
        beyond += difference(drawn) >= observed
    return Matched(
        control,
        float(y[~inside].mean() - y[inside].mean()),
        observed,
        (1 + beyond) / (1 + PERMUTATIONS),
        len(strata),
        int(sum(inside[rows].sum() for rows in strata)),
    )


def _scaled(x: Array) -> Array:
    spread = x.std(axis=0)
    return np.asarray((x - x.mean(axis=0)) / np.where(spread > 0, spread, 1))


def _basis(terms: Array) -> Array:
    """An orthonormal basis of the columns, whatever their rank."""
    u, s, _ = np.linalg.svd(terms, full_matrices=False)
    return np.asarray(u[:, s > 1e-10 * s[0]])


def _left(values: Array, basis: Array) -> float:
    return float((values**2).sum() - ((values @ basis) ** 2).sum())
