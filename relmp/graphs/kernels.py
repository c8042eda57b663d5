"""Compiled kernels: C and L on bit sets, WS-flex graphs by the hundred thousand, rewiring.

Every node's neighbours are the bits of a few 64-bit words. Whether two nodes are joined is
then one ``and``, how many neighbours they share is one population count, and one round of
breadth-first search is an ``or`` for each node.

The WS-flex generator draws from ``random.Random(seed)``, the Mersenne Twister. What that
object draws depends on its stream of 32-bit words alone, so the kernel is handed the
stream and reads it as Python does: ``random()`` takes 53 bits of two words, ``choice()``
the upper bits of as many words as it takes to fall below n.

This module imports numba, so it is imported where it is needed. All kernels live in this
one file because numba's cache on disk notices a change only in the file of the kernel that
is called.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
import numpy.typing as npt
from numba.core import types
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])

Words = npt.NDArray[np.uint32]
"""A stream of random words."""

Rows = npt.NDArray[np.uint64]
"""``[n, words]``: bit j of row i says whether i and j are neighbours."""


def compiled(function: F) -> F:
    """Compile a kernel that releases the interpreter lock, cached on disk where that works."""
    try:
        kernel: F = numba.njit(function, cache=True, nogil=True)
    except RuntimeError:  # no folder that a cache may be written to
        kernel = numba.njit(function, nogil=True)
    return kernel


def random_words(seed: int, count: int) -> Words:
    """The first ``count`` 32-bit words that ``random.Random(seed)`` draws."""
    return np.frombuffer(random.Random(seed).randbytes(4 * count), dtype="<u4")


def pack(n: int, sources: npt.NDArray[np.int64], targets: npt.NDArray[np.int64]) -> Rows:
    """The neighbour sets of the undirected graph with these edges; self-loops are left out."""
    rows = np.zeros((n, (n + 63) // 64), dtype=np.uint64)
    _set_bits(rows, sources, targets)
    return rows


@intrinsic  # type: ignore[untyped-decorator]
def bit_count(typing_context: Any, word: Any) -> Any:
    """How many bits of a word are set."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def lowest_bit(typing_context: Any, word: Any) -> Any:
    """The place of the lowest set bit of a word that is not zero."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], context.get_constant(types.boolean, True))

    return types.uint64(types.uint64), codegen


ONE = np.uint64(1)
LAST = np.uint64(63)
DISCONNECTED = -1


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
            while at >= 0 and not nobody_left and (new == i or _linked(rows, i, new)):
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
def _linked(rows: Rows, i: int, j: int) -> bool:
    return bool((rows[i, j >> 6] >> (np.uint64(j) & LAST)) & ONE)


@compiled
def _link(rows: Rows, degree: npt.NDArray[np.int64], i: int, j: int) -> None:
    if i != j and not _linked(rows, i, j):
        rows[i, j >> 6] |= ONE << (np.uint64(j) & LAST)
        rows[j, i >> 6] |= ONE << (np.uint64(i) & LAST)
        degree[i] += 1
        degree[j] += 1


@compiled
def _unlink(rows: Rows, degree: npt.NDArray[np.int64], i: int, j: int) -> None:
    if _linked(rows, i, j):
        rows[i, j >> 6] ^= ONE << (np.uint64(j) & LAST)
        rows[j, i >> 6] ^= ONE << (np.uint64(i) & LAST)
        degree[i] -= 1
        degree[j] -= 1


def pack_arcs(n: int, source: npt.NDArray[np.int64], target: npt.NDArray[np.int64]) -> Rows:
    """Bit j of row i says whether i -> j is an arc."""
    rows = np.zeros((n, (n + 63) // 64), dtype=np.uint64)
    bits = np.uint64(1) << (target.astype(np.uint64) & LAST)
    np.bitwise_or.at(rows, (source, target >> 6), bits)
    return rows


def ws_flex_rows(n: int, num_edges: int, p: float, seed: int, tries: int = 100) -> Rows | None:
    """The WS-flex graph that ``ws_flex_graph`` draws, or None where no try was connected."""
    rows = np.zeros((n, (n + 63) // 64), dtype=np.uint64)
    C, L = np.empty(1), np.empty(1)
    edges, ps = np.array([num_edges]), np.array([p], dtype=np.float64)
    count = 1 << 15
    while not measure_ws_flex(edges, ps, random_words(seed, count), tries, rows, C, L):
        count *= 4
    return None if np.isnan(C[0]) else rows


def unpack(rows: Rows) -> npt.NDArray[np.int64]:
    """``[2, E]``: both directions of every edge of these neighbour sets."""
    bits = np.unpackbits(rows.astype("<u8").view(np.uint8), axis=1, bitorder="little")
    return np.stack(np.nonzero(bits)).astype(np.int64)


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
        if a in (c, d) or b in (c, d) or _linked(rows, a, d) or _linked(rows, c, b):
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
        if (
            a == b
            or c == d
            or (not single and not (_linked(rows, a, b) and not _linked(rows, c, d)))
        ):
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
