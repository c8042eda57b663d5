"""Compiled kernels: C and L on bit sets, WS-flex graphs by the hundred thousand, rewiring.

Every node's neighbours are the bits of a few 64-bit words. Whether two nodes are joined is
then one ``and``, how many neighbours they share is one population count, and one round of
breadth-first search is an ``or`` for each node.

The WS-flex generator draws from ``random.Random(seed)``, the Mersenne Twister. What that
object draws depends on its stream of 32-bit words alone, so the kernel is handed the
stream and reads it as Python does: ``random()`` takes 53 bits of two words, ``choice()``
the upper bits of as many words as it takes to fall below n.

This module imports numba, so it is imported where it is needed. All kernels live in this
one file but for those that rewire, because numba's cache on disk notices a change only in the
file of the kernel that is called.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from relmp.graphs.bits import (
    DISCONNECTED,
    LAST,
    ONE,
    Rows,
    Words,
    bit_count,
    compiled,
    lowest_bit,
    pack_arcs,
    random_words,
    unpack,
)

__all__ = [
    "DISCONNECTED",
    "compiled",
    "mean_clustering",
    "measure_ws_flex",
    "pack",
    "pack_arcs",
    "random_words",
    "sum_of_distances",
    "unpack",
    "ws_flex_rows",
]


def pack(n: int, sources: npt.NDArray[np.int64], targets: npt.NDArray[np.int64]) -> Rows:
    """The neighbour sets of the undirected graph with these edges; self-loops are left out."""
    rows = np.zeros((n, (n + 63) // 64), dtype=np.uint64)
    _set_bits(rows, sources, targets)
    return rows


@compiled
def _set_bits(rows: Rows, sources: npt.NDArray[np.int64], targets: npt.NDArray[np.int64]) -> None:
    for e in range(sources.size):
        u, v = sources[e], targets[e]
        if u != v:
            rows[u, v >> 6] |= ONE << (np.uint64(v) & LAST)
            rows[v, u >> 6] |= ONE << (np.uint64(u) & LAST)


@compiled
def mean_clustering(rows: Rows) -> float:
    """C: the share of a node's pairs of neighbours that are joined, averaged over nodes.

    The shares are summed in ascending order, so that the result does not depend on how the
    nodes are numbered, and equals the published values to the last bit.
    """
    n, words = rows.shape
    shares = np.zeros(n)
    for i in range(n):
        degree = np.uint64(0)
        joined = np.uint64(0)  # every joined pair counts twice
        for word in range(words):
            bits = rows[i, word]
            degree += bit_count(bits)
            while bits:
                j = np.int64(lowest_bit(bits)) + (word << 6)
                bits &= bits - ONE
                for w in range(words):
                    joined += bit_count(rows[i, w] & rows[j, w])
        if joined:
            shares[i] = np.int64(joined) / np.int64(degree * (degree - ONE))
    shares.sort()
    total: float = 0.0
    for share in shares:
        total += share
    return float(total / n)


@compiled
def sum_of_distances(rows: Rows) -> int:
    """The distances of all ordered pairs of nodes, summed; negative for a disconnected graph."""
    n, words = rows.shape
    if words == 1:
        return _sum_of_distances_one_word(rows[:, 0])
    reached = np.empty(words, np.uint64)
    frontier = np.empty(words, np.uint64)
    found = np.empty(words, np.uint64)
    total: Any = 0
    for source in range(n):
        reached[:] = 0
        reached[source >> 6] = ONE << (np.uint64(source) & LAST)
        frontier[:] = reached
        count: Any = 1
        while count < n:
            total += n - count  # all that are not reached yet are one step further away
            found[:] = 0
            for word in range(words):
                bits = frontier[word]
                while bits:
                    j = np.int64(lowest_bit(bits)) + (word << 6)
                    bits &= bits - ONE
                    for w in range(words):
                        found[w] |= rows[j, w]
            new = np.uint64(0)
            for w in range(words):
                frontier[w] = found[w] & ~reached[w]
                reached[w] |= found[w]
                new += bit_count(frontier[w])
            if new == 0:
                return DISCONNECTED
            count += np.int64(new)
    return int(total)


@compiled
def _sum_of_distances_one_word(row: npt.NDArray[np.uint64]) -> int:
    n = row.size
    everyone = ~np.uint64(0) >> np.uint64(64 - n)
    total: Any = 0
    for source in range(n):
        reached = ONE << np.uint64(source)
        frontier = reached
        while reached != everyone:
            total += n - np.int64(bit_count(reached))
            found = reached
            while frontier:
                found |= row[lowest_bit(frontier)]
                if found == everyone:
                    break
                frontier &= frontier - ONE
            frontier = found & ~reached
            if frontier == 0:
                return DISCONNECTED
            reached = found
    return int(total)


@compiled
def measure_ws_flex(
    num_edges: npt.NDArray[np.int64],
    p: npt.NDArray[np.float64],
    words: Words,
    tries: int,
    rows: Rows,
    C: npt.NDArray[np.float64],
    L: npt.NDArray[np.float64],
) -> int:
    """C and L of the WS-flex graphs with ``num_edges[g]`` and ``p[g]``, all of one seed.

    Args:
        num_edges: ``round(k * n / 2)``, one a graph.
        p: Rewiring probabilities, one a graph.
        words: The random words of the seed.
        tries: How many draws a graph has to come out connected.
        rows: Neighbour sets to work in; they are left holding the last graph.
        C: Filled with the clustering coefficients; NaN where no try was connected.
        L: Filled with the path lengths; infinite where no try was connected.

    Returns:
        How many graphs were done: fewer than asked for where the words ran out.
    """
    n = rows.shape[0]
    degree = np.empty(n, np.int64)
    for g in range(num_edges.size):
        total: int = DISCONNECTED
        at = 0
        for _ in range(tries):
            at = _draw(num_edges[g], p[g], words, at, rows, degree)
            if at < 0:
                return g
            total = sum_of_distances(rows)
            if total != DISCONNECTED:
                break
        if total == DISCONNECTED:
            C[g] = np.nan
            L[g] = np.inf
        else:
            C[g] = mean_clustering(rows)
            L[g] = total / (n * (n - 1)) if n > 1 else 0.0
    return num_edges.size


@compiled
def _draw(
    num_edges: int,
    p: float,
    words: Words,
    at: int,
    rows: Rows,
    degree: npt.NDArray[np.int64],
) -> int:
    """One draw of the generator, reading from ``words[at]``; the place after it, or -1."""
    n = rows.shape[0]
    each, more = num_edges // n, num_edges % n
    rows[:] = 0
    degree[:] = 0
    for i in range(n):
        for step in range(1, each + 1 + (i < more)):
            _link(rows, degree, i, (i + step) % n)
    for i in range(n):
        for step in range(1, each + 1 + (i < more)):
            if at + 2 > words.size:
                return -1
            high, low = np.int64(words[at] >> 5), np.int64(words[at + 1] >> 6)
            at += 2
            if (high * 67108864.0 + low) / 9007199254740992.0 >= p:
                continue
            new, at = _choice(n, words, at)
            nobody_left = False
            while at >= 0 and not nobody_left and (new == i or linked(rows, i, new)):
                new, at = _choice(n, words, at)
                nobody_left = degree[i] >= n - 1
            if at < 0:
                return -1
            if not nobody_left:
                _unlink(rows, degree, i, (i + step) % n)
                _link(rows, degree, i, new)
    return at


@compiled
def _choice(n: int, words: Words, at: int) -> tuple[int, int]:
    """A number below n as ``random.choice`` draws it, and the next place (-1 at the end)."""
    bits = 0
    while (n >> bits) > 0:
        bits += 1
    while at < words.size:
        drawn: Any = np.int64(words[at]) >> (32 - bits)
        at += 1
        if drawn < n:
            return drawn, at
    return 0, -1


@compiled
def linked(rows: Rows, i: int, j: int) -> bool:
    return bool((rows[i, j >> 6] >> (np.uint64(j) & LAST)) & ONE)


@compiled
def _link(rows: Rows, degree: npt.NDArray[np.int64], i: int, j: int) -> None:
    if i != j and not linked(rows, i, j):
        rows[i, j >> 6] |= ONE << (np.uint64(j) & LAST)
        rows[j, i >> 6] |= ONE << (np.uint64(i) & LAST)
        degree[i] += 1
        degree[j] += 1


@compiled
def _unlink(rows: Rows, degree: npt.NDArray[np.int64], i: int, j: int) -> None:
    if linked(rows, i, j):
        rows[i, j >> 6] ^= ONE << (np.uint64(j) & LAST)
        rows[j, i >> 6] ^= ONE << (np.uint64(i) & LAST)
        degree[i] -= 1
        degree[j] -= 1


def ws_flex_rows(n: int, num_edges: int, p: float, seed: int, tries: int = 100) -> Rows | None:
    """The WS-flex graph that ``ws_flex_graph`` draws, or None where no try was connected."""
    rows = np.zeros((n, (n + 63) // 64), dtype=np.uint64)
    C, L = np.empty(1), np.empty(1)
    edges, ps = np.array([num_edges]), np.array([p], dtype=np.float64)
    count = 1 << 15
    while not measure_ws_flex(edges, ps, random_words(seed, count), tries, rows, C, L):
        count *= 4
    return None if np.isnan(C[0]) else rows
