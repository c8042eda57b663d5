"""Expanders: sparse graphs in which every set of nodes has many neighbours.

The eigenvalues of the adjacency matrix tell how good one is. A d-regular graph is called
Ramanujan when none of them, apart from d and -d, exceeds 2 sqrt(d - 1) in absolute value.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from typing import Any

import networkx as nx
import numpy as np

from relmp.checks import check_whole
from relmp.graphs.generators.create import (
    GENERATORS,
    Seed,
    check_node_count,
    generator_of,
    until_connected,
)

Matrix = tuple[int, int, int, int]


@GENERATORS.register("random_regular")
def random_regular_graph(n: int, d: int, seed: Seed = None, *, tries: int = 100) -> nx.Graph[Any]:
    """A graph drawn among those in which every node has d neighbours; connected.

    From d = 3 on nearly all of them are expanders.

    Args:
        n: Number of nodes.
        d: Degree; n times d is even, d < n, and d >= 2 where n > 2.
        seed: An integer, or a ``random.Random`` to go on with.
        tries: How many graphs are drawn before giving up on a connected one.

    Raises:
        ValueError: If there is no such graph, or no try was connected.

    Reference:
        Friedman, *A proof of Alon's second eigenvalue conjecture*, 2008.
    """
    _check_regular(n, d)
    call = f"random_regular(n={n}, d={d}, seed={seed})"
    return until_connected(lambda rng: nx.random_regular_graph(d, n, seed=rng), seed, tries, call)


@GENERATORS.register("ramanujan")
def ramanujan_graph(n: int, d: int, seed: Seed = None, *, tries: int = 1000) -> nx.Graph[Any]:
    """A d-regular Ramanujan graph: random regular graphs are drawn until one is.

    For the explicit construction, which exists for few n, see ``lps_graph``.

    Args:
        n: Number of nodes.
        d: Degree; n times d is even, 2 <= d < n.
        seed: An integer, or a ``random.Random`` to go on with.
        tries: How many graphs are drawn.

    Raises:
        ValueError: If there is no such graph, or no try was Ramanujan.

    Reference:
        Lubotzky, Phillips, Sarnak, *Ramanujan graphs*, Combinatorica 1988.
    """
    _check_regular(n, d)
    check_whole("tries", tries, 1, meaning="how many graphs are drawn")
    rng = generator_of(seed)
    for _ in range(tries):
        graph: nx.Graph[Any] = nx.random_regular_graph(d, n, seed=rng)
        if nx.is_connected(graph) and is_ramanujan(graph):
            return graph
    raise ValueError(
        f"ramanujan(n={n}, d={d}, seed={seed}) drew no Ramanujan graph in {tries} tries; "
        f"raise tries or take another seed."
    )


def is_ramanujan(graph: nx.Graph[Any]) -> bool:
    """Whether a connected d-regular graph meets the bound 2 sqrt(d - 1)."""
    values = np.abs(np.linalg.eigvalsh(nx.to_numpy_array(graph)))
    d = graph.number_of_edges() * 2 / len(graph)
    others = values[values < d - 1e-9]
    return bool((others <= 2 * math.sqrt(max(d - 1, 0)) + 1e-9).all())


@GENERATORS.register("margulis")
def margulis_graph(n: int) -> nx.Graph[Any]:
    """The Margulis-Gabber-Galil expander on the pairs (x, y) modulo sqrt(n).

    (x, y) is joined to (x + 2y, y), (x + 2y + 1, y), (x, y + 2x), (x, y + 2x + 1) and back.
    Parallel edges are merged and loops dropped, so degrees are at most 8.

    Args:
        n: Number of nodes, a square.

    Raises:
        ValueError: If n is no square.

    Reference:
        Gabber and Galil, *Explicit constructions of linear-sized superconcentrators*, 1981.
    """
    check_node_count(n, lambda m: math.isqrt(m) ** 2 == m, "A Margulis graph has a square of nodes")
    multiple = nx.margulis_gabber_galil_graph(math.isqrt(n))
    graph: nx.Graph[Any] = nx.empty_graph(n)
    number = {node: i for i, node in enumerate(sorted(multiple))}
    graph.add_edges_from((number[u], number[v]) for u, v in multiple.edges() if u != v)
    return graph


@GENERATORS.register("paley")
def paley_graph(n: int) -> nx.Graph[Any]:
    """Numbers modulo n, joined where their difference is a square; n prime, n = 1 modulo 4.

    Every node has (n - 1) / 2 neighbours; the graph looks random in every count and is
    Ramanujan.

    Args:
        n: Number of nodes, a prime that leaves 1 when divided by 4.

    Raises:
        ValueError: If n is no such prime.

    Reference:
        Paley, *On orthogonal matrices*, 1933.
    """
    check_node_count(n, _is_paley, "A Paley graph has 5, 13, 17, 29, ... nodes")
    graph: nx.Graph[Any] = nx.empty_graph(n)
    graph.add_edges_from(nx.paley_graph(n).edges)
    return graph


@GENERATORS.register("lps")
def lps_graph(n: int, d: int) -> nx.Graph[Any]:
    """The Ramanujan graph of Lubotzky, Phillips and Sarnak, where it exists.

    The nodes are the 2 x 2 matrices over the field of q elements up to a factor; the p + 1
    ways to write p as a sum of four squares (the first odd and positive) are the matrices
    by which a node is multiplied to give its neighbours. d is p + 1, and n is q(q^2 - 1), or
    half of it where p is a square modulo q.

    Args:
        n: Number of nodes: 2184 (d = 6), 2448 (d = 14), 4896 (d = 6), ...
        d: Degree.

    Raises:
        ValueError: If there is no such graph with n nodes and degree d.

    Reference:
        Lubotzky, Phillips, Sarnak, *Ramanujan graphs*, Combinatorica 1988.
    """
    check_whole("n", n, 1, meaning="nodes")
    check_whole("d", d, 2, n, "the degree")
    p = d - 1
    fits = [q for q in range(5, 2 + round((2 * n) ** (1 / 3)) + 1) if _lps_size(p, q) == n]
    if not fits:
        sizes = [f"{_lps_size(p, q)}" for q in range(5, 60) if _lps_size(p, q)][:3]
        known = (
            f"with d={d} there is n = {', '.join(sizes)}" if sizes else "d - 1 must be 5, 13, .."
        )
        raise ValueError(f"There is no LPS graph with n={n} and d={d}; {known}.")
    return _cayley_graph(_four_squares(p), fits[0])


def _lps_size(p: int, q: int) -> int:
    """Number of nodes for the primes p and q; 0 where there is no such graph."""
    if not (_is_paley(p) and _is_paley(q)) or p == q or q <= 2 * math.sqrt(p):
        return 0
    square = pow(p, (q - 1) // 2, q) == 1
    return q * (q * q - 1) // (2 if square else 1)


def _four_squares(p: int) -> list[Matrix]:
    r = math.isqrt(p)
    odd = range(1, r + 1, 2)
    even = range(-(r - r % 2), r + 1, 2)
    sums = itertools.product(odd, even, even, even)
    return [a for a in sums if a[0] ** 2 + a[1] ** 2 + a[2] ** 2 + a[3] ** 2 == p]


def _cayley_graph(squares: list[Matrix], q: int) -> nx.Graph[Any]:
    root = next(x for x in range(q) if x * x % q == q - 1)  # its square is -1
    steps = [(a + root * b, c + root * d, -c + root * d, a - root * b) for a, b, c, d in squares]

    def times(x: Matrix, y: Matrix) -> Matrix:
        product = (
            (x[0] * y[0] + x[1] * y[2]) % q,
            (x[0] * y[1] + x[1] * y[3]) % q,
            (x[2] * y[0] + x[3] * y[2]) % q,
            (x[2] * y[1] + x[3] * y[3]) % q,
        )
        scale = pow(next(entry for entry in product if entry), -1, q)  # up to a factor
        a, b, c, d = (entry * scale % q for entry in product)
        return a, b, c, d

    one = (1, 0, 0, 1)
    number = {one: 0}
    graph: nx.Graph[Any] = nx.Graph()
    waiting = deque([one])
    while waiting:
        x = waiting.popleft()
        for step in steps:
            y = times(x, step)
            if y not in number:
                number[y] = len(number)
                waiting.append(y)
            graph.add_edge(number[x], number[y])
    return graph


def _is_paley(n: int) -> bool:
    return n > 1 and n % 4 == 1 and all(n % x for x in range(3, math.isqrt(n) + 1, 2))


def _check_regular(n: int, d: int) -> None:
    check_whole("n", n, 1, meaning="nodes")
    check_whole("d", d, min(2, n - 1), n - 1, "the degree of a connected graph")
    if n * d % 2:
        raise ValueError(f"n times d must be even, but n={n} and d={d} are both odd.")
