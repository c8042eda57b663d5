"""A smooth surface of the error over the two measures, with its uncertainty."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from scipy.spatial import Delaunay, KDTree, QhullError
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from threadpoolctl import threadpool_limits

from relmp.analysis.results import Array, Results
from relmp.analysis.spot.rule import cells_of

_MOST_POINTS = 250  # the fit takes the cube of their number; more graphs are averaged in cells


@dataclass(frozen=True)
class Surface:
    """A Gaussian process of the error, on a grid over the measures.

    Attributes:
        measures: The two measures.
        x, y: The grid's values of each.
        mean: Expected error ``[y, x]`` of a new graph there (over many seeds), NaN away from
            the graphs that were run.
        deviation: Standard deviation of that expectation.
        beats_complete: Probability that the surface lies below the complete graph's mean;
            None without two seeds of the complete graph.
        lowest: Measures of the lowest point of the surface, its mean and deviation.
        points: Number of points that were fitted.
    """

    measures: tuple[str, str]
    x: Array
    y: Array
    mean: Array
    deviation: Array
    beats_complete: Array | None
    lowest: tuple[float, float, float, float]
    points: int

    def at(self, measures: tuple[float, float]) -> tuple[float, float] | None:
        """Mean and deviation at the nearest point of the grid; None away from all graphs."""
        column = int(np.abs(self.x - measures[0]).argmin())
        row = int(np.abs(self.y - measures[1]).argmin())
        mean, deviation = self.mean[row, column], self.deviation[row, column]
        return None if np.isnan(mean) else (float(mean), float(deviation))


def smooth_surface(results: Results, *, resolution: int = 60, seed: int = 0) -> Surface | None:
    """Fit a Gaussian process to the graphs' mean errors over the two measures.

    Its kernel is a constant times a squared exponential with a length for each measure, and
    a white part for what differs between graphs of the same measures; the noise of a mean of
    few seeds is known from the runs. The complete graph takes no part. Where there are more
    than a few hundred graphs, the fit is to the means of small cells.

    Args:
        results: Results of one task.
        resolution: Points of the grid along each measure.
        seed: For the optimiser's restarts.

    Returns:
        None where there are fewer than ten graphs, or no differences.
    """
    points, means, noise = _points(results)
    if len(points) < 10 or not np.ptp(means) or not np.ptp(points, axis=0).all():
        return None
    centre, scale = points.mean(axis=0), points.std(axis=0)
    spread = float(means.std())
    kernel = ConstantKernel(1.0, (1e-3, 1e3)) * RBF([1.0, 1.0], (0.1, 30)) + WhiteKernel(
        0.1, (1e-6, 10)
    )
    process = GaussianProcessRegressor(
        kernel, alpha=noise / spread**2 + 1e-8, n_restarts_optimizer=1, random_state=seed
    )
    # Threads cost more than they gain on matrices this small, most of all on a busy machine.
    with warnings.catch_warnings(), threadpool_limits(1):
        # A flat surface has no length: the optimiser then ends at the bound, as it should.
        warnings.simplefilter("ignore", ConvergenceWarning)
        process.fit((points - centre) / scale, (means - means.mean()) / spread)
    x, y = (np.linspace(points[:, i].min(), points[:, i].max(), resolution) for i in (0, 1))
    grid = np.stack([a.ravel() for a in np.meshgrid(x, y)], axis=1)
    fitted, deviation = process.predict((grid - centre) / scale, return_std=True)
    # predict's deviation is that of one more graph; the surface itself lacks the white part.
    white = float(process.kernel_.k2.noise_level)
    deviation = np.sqrt(np.maximum(deviation**2 - white, 0)) * spread
    fitted = fitted * spread + means.mean()
    away = ~_near(grid, points, scale)
    fitted[away] = deviation[away] = np.nan
    i = int(np.nanargmin(fitted))
    shape = (len(y), len(x))
    return Surface(
        results.measures,
        x,
        y,
        fitted.reshape(shape),
        deviation.reshape(shape),
        _beats(fitted, deviation, results.complete, shape),
        (float(grid[i, 0]), float(grid[i, 1]), float(fitted[i]), float(deviation[i])),
        len(points),
    )


def _points(results: Results) -> tuple[Array, Array, Array]:
    """Measures, mean error and the variance of that mean, of each point to fit."""
    sparse = results.sparse
    places = sparse[list(results.measures)].to_numpy(dtype=np.float64)
    means = sparse["mean"].to_numpy(dtype=np.float64)
    within = results.errors.loc[sparse.index].var(axis=1, ddof=1).mean()
    within = float(within) if np.isfinite(within) else 0.0
    noise = within / sparse["n"].to_numpy(dtype=np.float64)
    if len(sparse) <= _MOST_POINTS:
        return places, means, noise
    cells = _cells(results, places)
    frame = pd.DataFrame({"x": places[:, 0], "y": places[:, 1], "mean": means, "noise": noise})
    grouped = frame.groupby([cells[:, 0], cells[:, 1]])
    centre = grouped.mean()
    # Graphs of a cell differ by more than their seeds' noise, so their own spread is used.
    own = float(grouped["mean"].var(ddof=1).mean())
    return (
        centre[["x", "y"]].to_numpy(dtype=np.float64),
        centre["mean"].to_numpy(dtype=np.float64),
        own / grouped.size().to_numpy(dtype=np.float64),
    )


def _cells(results: Results, places: Array) -> npt.NDArray[np.int64]:
    """The cell of each graph, ``[graphs, 2]``: the smallest cells that are few enough."""
    for fineness in (3, 2, 1):
        cells = cells_of(results, places, fineness)
        if len(np.unique(cells, axis=0)) <= _MOST_POINTS:
            break
    return cells


def _near(grid: Array, points: Array, scale: Array) -> npt.NDArray[np.bool_]:
    """Which points of the grid lie among the graphs, close enough to one of them."""
    gaps = np.asarray(KDTree(points / scale).query(grid / scale, p=np.inf)[0])
    try:
        among = Delaunay(points).find_simplex(grid) >= 0
    except QhullError:  # all on a line
        among = np.ones(len(grid), dtype=np.bool_)
    near: npt.NDArray[np.bool_] = (gaps < 0.5) & among
    return near if near.any() else np.isclose(gaps, gaps.min())


def _beats(mean: Array, deviation: Array, complete: Array, shape: tuple[int, int]) -> Array | None:
    if len(complete) < 2:
        return None
    error = stats.sem(complete) if np.ptp(complete) else 0.0
    spread = np.maximum(np.sqrt(deviation**2 + error**2), 1e-12)
    return np.asarray(stats.t.cdf((complete.mean() - mean) / spread, len(complete) - 1)).reshape(
        shape
    )
