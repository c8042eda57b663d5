"""Graphs with given properties."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from relmp.checks import check_whole
from relmp.graphs.generators import check_range
from relmp.graphs.relational_graph import RelationalGraph

_PROBABILITIES = np.linspace(0, 1, 100) ** 2
_ROUNDS, _STEPS = 20, 5_000


def find_graph(
    n: int,
    clustering: float | None = None,
    path_length: float | None = None,
    density: float | None = None,
    *,
    tolerance: float = 0.01,
    seed: int = 0,
) -> RelationalGraph:
    """A connected graph with given C, L and density.

    First the WS-flex graphs are searched for the one that comes nearest. Where it is not
    near enough, its edges are moved one by one, keeping what leads nearer.

    Args:
        n: Number of nodes.
        clustering: C to reach, or None where it does not matter.
        path_length: L to reach, or None.
        density: Edges with self-loops over n squared, or None. The nearest possible number
            of edges is taken.
        tolerance: How far C and L may lie from what is asked for.
        seed: Seed of the search; no global random state is read or changed.

    Raises:
        ValueError: If an argument is out of range, or no such graph was found; then the
            nearest point that was reached is named.
    """
    check_whole("n", n, 3, meaning="nodes")
    check_range("tolerance", tolerance, 0, math.inf, "how far C and L may be off")
    check_whole("seed", seed, 0, meaning="the seed of the search")
    C = _target("clustering", clustering, 0, 1)
    L = _target("path_length", path_length, 1, (n + 1) / 3)
    sizes = _sizes(n, density)
    if math.isnan(C) and math.isnan(L) and density is None:
        raise ValueError("find_graph needs clustering, path_length or density to look for.")

    from relmp.graphs import kernels
    from relmp.graphs.derived import moves

    rows = _nearest_ws_flex(n, sizes, C, L, seed)
    rng = np.random.default_rng(seed)
    for _ in range(_ROUNDS):
        if moves.distance_to(rows, C, L) <= tolerance:
            break
        draws = rng.integers(0, n, size=(_STEPS, 5))
        draws[:, 4] = rng.integers(0, 2, size=_STEPS)
        moves.approach(rows, _with_links_first(rows, draws, rng), C, L, len(sizes) == 1)
    found = RelationalGraph(n, kernels.unpack(rows))
    point = f"C={found.clustering:.4f}, L={found.path_length:.4f}, density={found.density:.4f}"
    if moves.distance_to(rows, C, L) > tolerance:
        wanted = {"clustering": clustering, "path_length": path_length, "density": density}
        asked = ", ".join(f"{name}={value}" for name, value in wanted.items() if value is not None)
        raise ValueError(
            f"No connected graph of {n} nodes with {asked} was found within {tolerance}; the "
            f"nearest that was reached has {point}."
        )
    return RelationalGraph(n, found.edges, name=f"found({point})")


def _target(name: str, value: float | None, low: float, high: float) -> float:
    if value is None:
        return math.nan
    check_range(name, value, low, high, "what a connected graph can have")
    return float(value)


def _sizes(n: int, density: float | None) -> npt.NDArray[np.int64]:
    """The numbers of edges to try."""
    least, most = n - 1, n * (n - 1) // 2
    if density is None:
        spaced = np.linspace(math.sqrt(max(least, n)), math.sqrt(most), 60) ** 2
        return np.unique(spaced.round().astype(np.int64))
    check_range("density", density, (n + 2 * least) / n**2, 1, "what a connected graph can have")
    return np.array([round((density * n * n - n) / 2)])


def _nearest_ws_flex(
    n: int, sizes: npt.NDArray[np.int64], C: float, L: float, seed: int
) -> npt.NDArray[np.uint64]:
    """Neighbour sets of the WS-flex graph nearest to C and L; a path where there is none."""
    from relmp.graphs import kernels

    edges = np.repeat(sizes, len(_PROBABILITIES))
    p = np.tile(_PROBABILITIES, len(sizes))
    found_C, found_L = np.full(len(p), np.nan), np.full(len(p), np.inf)
    room = np.zeros((n, (n + 63) // 64), dtype=np.uint64)
    # Twenty tries and a bounded stream: a setting that needs more is passed over.
    words = kernels.random_words(seed, 40 * n * n + (1 << 16))
    done = 0
    while done < len(p):
        done += kernels.measure_ws_flex(
            edges[done:], p[done:], words, 20, room, found_C[done:], found_L[done:]
        )
        done += done < len(p)
    off_C = np.zeros(len(p)) if math.isnan(C) else np.abs(found_C - C)
    off_L = np.zeros(len(p)) if math.isnan(L) else np.abs(found_L - L)
    off = np.where(np.isfinite(found_L), np.fmax(off_C, off_L), np.inf)
    best = int(off.argmin())
    if math.isfinite(off[best]):
        rows = kernels.ws_flex_rows(n, int(edges[best]), float(p[best]), seed, tries=20)
        if rows is not None:
            return rows
    return _path_and_more(n, int(sizes[0]))


def _path_and_more(n: int, size: int) -> npt.NDArray[np.uint64]:
    """A path, and edges from its beginning on: connected with as few edges as there may be."""
    from relmp.graphs import kernels

    pairs = [(i, i + step) for step in range(1, n) for i in range(n - step)][:size]
    source, target = np.array(pairs, dtype=np.int64).T
    return kernels.pack(n, source, target)


def _with_links_first(
    rows: npt.NDArray[np.uint64], draws: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Let the first pair of most moves be an edge: random pairs seldom are, in sparse graphs."""
    from relmp.graphs import kernels

    edges = kernels.unpack(rows)
    moves = (draws[:, 4] == 0) | (rng.random(len(draws)) < 0.5)
    chosen = rng.integers(0, edges.shape[1], size=len(draws))
    draws[moves, 0], draws[moves, 1] = edges[0, chosen[moves]], edges[1, chosen[moves]]
    return draws
