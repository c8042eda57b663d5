"""Graph sets: a few graphs that cover the plane of C and L evenly.

The paper selects its sets from the design space in three steps. The graphs are shuffled.
The plane is cut into fine bins, nine to a coarse bin along either axis, and the first graph
in each bin stays: the largest set. Of that, the middle and the small set keep the bins in
the centre of every third and every ninth bin. Where such a centre is empty but its
surroundings are not, a bin nearby takes its place, for 64 nodes in the sparse region of high C
only. It may be there already: the middle set of 16 nodes holds two graphs twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from relmp.graphs.generators import check_nodes, create_graph
from relmp.graphs.relational_graph import GeneratorCall, RelationalGraph
from relmp.graphs.space.design_space import (
    PROBABILITIES,
    DesignSpace,
    degrees,
    sweep_design_space,
)

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class GraphSet:
    """How one of the paper's sets is taken from the first graphs in the fine bins.

    Attributes:
        n: Number of nodes.
        size: Number of graphs.
        stride: Every how many fine bins, along either axis, there is a centre.
    """

    n: int
    size: int
    stride: int = 1


PAPER_SETS = (
    GraphSet(64, 52, 9),
    GraphSet(64, 449, 3),
    GraphSet(64, 3942),
    GraphSet(16, 48, 9),
    GraphSet(16, 326, 3),
    GraphSet(16, 2698),
)
"""The six graph sets of the paper."""

COARSE = 9
"""Fine bins to a coarse one, along either axis."""
REPLACED_ABOVE = 0.75
"""Empty centres whose bin reaches above this C are replaced."""
REACH = {True: (1, 3), False: (0, 1)}
"""How far away a replacement may be, in fine bins of C and of L: for the centre of a coarse bin,
and for any other."""

PAPER_BINS = {64: (15 * 9, 4.5), 16: (12 * 9, 2.5)}
"""Number of fine bins along either axis, and the largest L, for 64 and 16 nodes."""


def sample_graphs(n: int = 64, size: int = 52) -> list[RelationalGraph]:
    """A set of connected WS-flex graphs spread over (C, L).

    For (n, size) = (64, 52), (64, 449), (64, 3942), (16, 48), (16, 326) and (16, 2698) it
    is the paper's set, graph for graph and in the same order, generated from a table of
    settings. For 64 or 16 nodes any other size up to the largest set is a selection of that.
    For another n a tenth of the paper's seeds is swept first (cached on disk), and the
    selection is alike: the first graph in each of as many bins as are needed.

    Args:
        n: Number of nodes.
        size: Number of graphs.

    Raises:
        ValueError: If n or size is below its least value, or size above what there is.
    """
    check_nodes(n)
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f"size must be a whole number of graphs, at least 1, but is {size!r}.")
    chosen = next((known for known in PAPER_SETS if (known.n, known.size) == (n, size)), None)
    if n not in PAPER_BINS:
        space = sweep_design_space(n, seeds=3)
        flat = spread(space.C.ravel()[space.shuffled], space.L.ravel()[space.shuffled], size)
        places = np.stack(np.unravel_index(space.shuffled[flat], space.C.shape), axis=1)
        return _drawn(n, space.k, space.p, places)
    table = paper_table(n)
    if chosen is not None:
        rows = select(table[:, 3], table[:, 4], chosen)
    else:
        rows = spread(table[:, 3].astype(float), table[:, 4].astype(float), size)
    return _drawn(n, degrees(n), PROBABILITIES, table[rows, :3])


@cache
def paper_table(n: int) -> Integers:
    """The largest set of the paper for n = 64 or 16, as integers.

    One row a graph, in the paper's order: its place on the grid (degree, probability, seed)
    and its fine bin (C, L), counted from 1. ``first_in_bins(sweep_design_space(n))`` is this
    table.
    """
    with (files("relmp.graphs.space") / "graph_sets.npz").open("rb") as file:
        stored = np.load(file, allow_pickle=False)
        table: Integers = stored[f"n{n}"].astype(np.int64)
    table.setflags(write=False)
    return table


def first_in_bins(space: DesignSpace) -> Integers:
    """The first graph in each non-empty fine bin, in shuffled order: rows as ``paper_table``.

    Raises:
        ValueError: If the space has not 64 or 16 nodes.
    """
    if space.n not in PAPER_BINS:
        raise ValueError(f"The paper's bins are for 64 or 16 nodes, but n is {space.n}.")
    count, longest = PAPER_BINS[space.n]
    C, L = space.C.ravel()[space.shuffled], space.L.ravel()[space.shuffled]
    c = np.digitize(C, np.linspace(0, 1, count + 1))
    length = np.digitize(L, np.linspace(1, longest, count + 1))
    _, first = np.unique(c * (count + 2) + length, return_index=True)
    first.sort()
    places = np.unravel_index(space.shuffled[first], space.C.shape)
    return np.stack([*places, c[first], length[first]], axis=1).astype(np.int64)


def select(c: Integers, length: Integers, chosen: GraphSet) -> Integers:
    """Which rows a set keeps, given the fine bins of C and L: centres, then replacements."""
    count, _ = PAPER_BINS[chosen.n]
    middle = COARSE // 2 + 1
    at = {(int(a), int(b)): row for row, (a, b) in enumerate(zip(c, length, strict=True))}
    stride, centre = chosen.stride, chosen.stride // 2 + 1
    kept: list[int] = []
    replaced: list[int] = []
    for a in range(centre % stride or stride, count + 1, stride):
        for b in range(centre % stride or stride, count + 1, stride):
            if (a, b) in at:
                kept.append(at[a, b])
                continue
            is_coarse = a % COARSE == b % COARSE == middle
            if stride > 1 and (a / count > REPLACED_ABOVE or (chosen.n == 16 and is_coarse)):
                nearby = _first_nearby(at, a, b, REACH[is_coarse])
                replaced += [] if nearby is None else [nearby]
    return np.array(sorted(kept) + replaced, dtype=np.int64)


def _first_nearby(
    at: dict[tuple[int, int], int], a: int, b: int, reach: tuple[int, int]
) -> int | None:
    for da in range(-reach[0], reach[0] + 1):
        for db in range(-reach[1], reach[1] + 1):
            if (a + da, b + db) in at:
                return at[a + da, b + db]
    return None


def spread(C: npt.NDArray[np.float64], L: npt.NDArray[np.float64], size: int) -> Integers:
    """Rows of ``size`` points that cover the plane evenly, in the order in which they come.

    The plane is cut into the fewest bins that leave ``size`` of them non-empty; the first
    point of each is a candidate, and every so many candidates, bin by bin, one is kept.

    Raises:
        ValueError: If there are fewer distinct points.
    """
    connected = np.flatnonzero(np.isfinite(L))
    points = np.stack([C[connected], L[connected]])
    low, high = points.min(axis=1, keepdims=True), points.max(axis=1, keepdims=True)
    scaled = (points - low) / np.where(high > low, high - low, 1)
    for count in range(max(1, math.isqrt(size)), 4097):
        bins = np.minimum((scaled * count).astype(np.int64), count - 1)
        _, first = np.unique(bins[0] * count + bins[1], return_index=True)
        if len(first) >= size:
            kept = first[np.linspace(0, len(first) - 1, size).round().astype(np.int64)]
            return connected[np.sort(kept)]
    raise ValueError(
        f"There are no {size} graphs that differ in C and L here; {len(first)} is the most."
    )


def _drawn(
    n: int,
    k: npt.NDArray[np.float64],
    p: npt.NDArray[np.float64],
    places: Integers,
) -> list[RelationalGraph]:
    """The graphs at these places: by the generator, or compiled where there are many."""
    settings = [(float(k[i]), float(p[j]), int(seed)) for i, j, seed in places]
    if len(settings) <= 100:  # loading the compiled code takes longer
        return [create_graph("ws_flex", n=n, k=k, p=p, seed=seed) for k, p, seed in settings]
    from relmp.graphs import kernels

    graphs = []
    for k_, p_, seed in settings:
        rows = kernels.ws_flex_rows(n, round(k_ * n / 2), p_, seed)
        assert rows is not None, "a sweep keeps connected graphs only"
        name = f"ws_flex(n={n}, k={k_}, p={p_}, seed={seed})"
        call = GeneratorCall("ws_flex", {"n": n, "k": k_, "p": p_, "seed": seed})
        graphs.append(RelationalGraph(n, kernels.unpack(rows), name=name, generator=call))
    return graphs
