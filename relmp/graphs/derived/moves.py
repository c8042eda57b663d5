"""Compiled kernels that move edges: of null models, and of the search for a graph.

They call kernels of other files; numba's cache on disk does not notice a change there, so change
this file too.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from relmp.graphs.bits import LAST, ONE, Rows, compiled
from relmp.graphs.kernels import linked, mean_clustering, sum_of_distances


@compiled
def exchange(
    source: npt.NDArray[np.int64],
    target: npt.NDArray[np.int64],
    rows: Rows,
    draws: npt.NDArray[np.int64],
    flips: npt.NDArray[np.int64],
    directed: bool,
    connected: bool,
    clustering: float,
    tolerance: float,
) -> int:
    """Try one exchange for each row of ``draws``, in place; how many were made.

    An exchange that breaks a stated condition is made backwards again.
    """
    made = 0
    for step in range(draws.shape[0]):
        e, f = draws[step, 0], draws[step, 1]
        a, b = source[e], target[e]
        c, d = source[f], target[f]
        if not directed and flips[step]:
            c, d = d, c
        if a in (c, d) or b in (c, d) or linked(rows, a, d) or linked(rows, c, b):
            continue
        _exchange(rows, a, b, c, d, directed)
        broken = connected and sum_of_distances(rows) < 0
        if not broken and not np.isnan(clustering):
            broken = abs(mean_clustering(rows) - clustering) > tolerance
        if broken:
            _exchange(rows, a, d, c, b, directed)
            continue
        source[e], target[e] = a, d
        source[f], target[f] = c, b
        made += 1
    return made


@compiled
def _exchange(rows: Rows, a: int, b: int, c: int, d: int, directed: bool) -> None:
    """Replace the arcs a -> b and c -> d by a -> d and c -> b."""
    _toggle(rows, a, b, directed)
    _toggle(rows, c, d, directed)
    _toggle(rows, a, d, directed)
    _toggle(rows, c, b, directed)


@compiled
def _toggle(rows: Rows, i: int, j: int, directed: bool) -> None:
    rows[i, j >> 6] ^= ONE << (np.uint64(j) & LAST)
    if not directed:
        rows[j, i >> 6] ^= ONE << (np.uint64(i) & LAST)


@compiled
def approach(
    rows: Rows,
    draws: npt.NDArray[np.int64],
    C: float,
    L: float,
    keep_size: bool,
) -> None:
    """Change an undirected graph edge by edge so that it comes nearer to C and L.

    Each row of ``draws`` names two pairs of nodes. The first is unlinked if it is linked and
    the other linked if it is not; without ``keep_size`` a single pair may be toggled too. A
    change that disconnects the graph, or leads away, is undone. A NaN is no target.

    Args:
        rows: The neighbour sets, changed in place; the graph is connected.
        draws: ``[steps, 5]``: two pairs of nodes, and 0 or 1 for a single toggle.
        C: The clustering coefficient to reach.
        L: The path length to reach.
        keep_size: Whether the number of edges stays.
    """
    best = distance_to(rows, C, L)
    for step in range(draws.shape[0]):
        a, b, c, d, single = draws[step]
        single = single and not keep_size
        if a == b or c == d or (not single and not (linked(rows, a, b) and not linked(rows, c, d))):
            continue
        _toggle(rows, a, b, False)
        if not single:
            _toggle(rows, c, d, False)
        now = distance_to(rows, C, L)
        if now <= best:
            best = now
            continue
        _toggle(rows, a, b, False)
        if not single:
            _toggle(rows, c, d, False)


@compiled
def distance_to(rows: Rows, C: float, L: float) -> float:
    """Largest deviation of a graph from C and L; infinite where it is disconnected."""
    n = rows.shape[0]
    total = sum_of_distances(rows)
    if total < 0:
        return float(np.inf)
    off: float = 0.0
    if not np.isnan(C):
        off = max(off, abs(mean_clustering(rows) - C))
    if not np.isnan(L):
        off = max(off, abs(total / max(n * (n - 1), 1) - L))
    return off
