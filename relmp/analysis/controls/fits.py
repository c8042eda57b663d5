"""Quadratic fits of the error: over the two measures, and over one in a slice of the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from relmp.analysis.results import Array, Results


@dataclass(frozen=True)
class Quadratic:
    """A least-squares fit of second order.

    Attributes:
        names: The variables.
        coefficients: By term: "1", "C", "C^2", "C L", ...
        r2: Share of the variance of the graphs' mean errors that it explains.
        n: Number of graphs.
        vertex: Where the fit is lowest; None if it has no minimum.
    """

    names: tuple[str, ...]
    coefficients: dict[str, float]
    r2: float
    n: int
    vertex: tuple[float, ...] | None

    def __call__(self, *values: Array | float) -> Array:
        """The fitted error at the given values of the variables."""
        columns = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in values))
        flat = np.stack([column.ravel() for column in columns], axis=1)
        fitted = design(flat) @ np.array(list(self.coefficients.values()))
        return np.asarray(fitted.reshape(columns[0].shape))


def design(x: Array) -> Array:
    """``[rows, terms]``: 1, the variables, and their products of second order."""
    rows, variables = x.shape
    upper = [(i, j) for i in range(variables) for j in range(i, variables)]
    return np.column_stack([np.ones(rows), x, *(x[:, i] * x[:, j] for i, j in upper)])


def fit_quadratic(x: Array, y: Array, names: tuple[str, ...]) -> Quadratic | None:
    """Fit ``y`` over the columns of ``x``; None where there are too few different points."""
    terms = design(x)
    if len(y) <= terms.shape[1] or np.linalg.matrix_rank(terms) < terms.shape[1] or not np.ptp(y):
        return None
    beta: Array = np.linalg.lstsq(terms, y, rcond=None)[0].astype(np.float64)
    upper = [(i, j) for i in range(len(names)) for j in range(i, len(names))]
    labels = [
        f"{a}^2" if a == b else f"{a} {b}" for a, b in ((names[i], names[j]) for i, j in upper)
    ]
    return Quadratic(
        names,
        dict(zip(["1", *names, *labels], beta.tolist(), strict=True)),
        float(1 - np.var(y - terms @ beta) / np.var(y)),
        len(y),
        _minimum(beta, len(names)),
    )


def fit_surface(results: Results) -> Quadratic | None:
    """Mean error of the graphs, without the complete one, over the two measures."""
    sparse = results.sparse
    x = sparse[list(results.measures)].to_numpy(dtype=np.float64)
    return fit_quadratic(x, sparse["mean"].to_numpy(dtype=np.float64), results.measures)


SLICES: dict[str, tuple[float, float]] = {"clustering": (0.4, 0.6), "path_length": (2.0, 2.5)}
"""The paper's slices: error over L where C is within the first, over C where L is in the second."""


def fit_slice(
    results: Results,
    over: str,
    within: dict[str, tuple[float, float]] | None = None,
) -> Quadratic | None:
    """Mean error over one measure, among the graphs whose other measure lies in a slice.

    Args:
        results: Results of one task.
        over: The measure on the axis.
        within: Slice of each measure; the paper's by default, and the middle half of the
            graphs for other measures.
    """
    chosen = slice_of(results, over, within)
    x = chosen[[over]].to_numpy(dtype=np.float64)
    return fit_quadratic(x, chosen["mean"].to_numpy(dtype=np.float64), (over,))


def slice_of(
    results: Results, over: str, within: dict[str, tuple[float, float]] | None = None
) -> pd.DataFrame:
    """The graphs, without the complete one, that ``fit_slice`` fits."""
    if over not in results.measures:
        raise ValueError(
            f"The axis of a slice is one of the map's measures, {' or '.join(results.measures)}, "
            f"but is '{over}'."
        )
    (other,) = [measure for measure in results.measures if measure != over]
    values = results.sparse[other]
    low, high = (within or SLICES).get(other, tuple(values.quantile([0.25, 0.75])))
    return results.sparse[values.between(low, high)]


def _minimum(beta: Array, variables: int) -> tuple[float, ...] | None:
    hessian = np.zeros((variables, variables))
    upper = [(i, j) for i in range(variables) for j in range(i, variables)]
    for (i, j), value in zip(upper, beta[1 + variables :], strict=True):
        hessian[i, j] += value
        hessian[j, i] += value
    if np.linalg.eigvalsh(hessian).min() <= 0:
        return None
    return tuple(np.linalg.solve(hessian, -beta[1 : 1 + variables]).tolist())
