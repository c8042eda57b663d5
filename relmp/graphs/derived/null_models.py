"""Null models: random graphs that share something with a given one.

If a brain's graph works well, is it the brain or its degree sequence? Compare it with
graphs of the same degrees (``degree_preserving_rewire``), of the same degrees and
clustering (``clustering_preserving_rewire``), or of the same size only (``same_size_graph``).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from relmp.checks import check_whole
from relmp.graphs.edges import links
from relmp.graphs.generators import check_range
from relmp.graphs.relational_graph import RelationalGraph

_PIECE = 1 << 16  # how many steps' random numbers are drawn at once


def degree_preserving_rewire(
    graph: RelationalGraph,
    steps: int | None = None,
    seed: int = 0,
    *,
    connected: bool = False,
) -> RelationalGraph:
    """Exchange the ends of pairs of edges: the degrees stay, all else becomes random.

    A step draws two edges (a, b) and (c, d) and makes them (a, d) and (c, b), unless that
    would repeat an edge or make a self-loop. In a directed graph every node keeps its number
    of in-edges and of out-edges. Self-loops and edge attributes do not take part: the
    result has no attributes.

    Args:
        graph: The graph to start from.
        steps: How many exchanges are tried, ten for every edge by default.
        seed: Seed of the draws; no global random state is read or changed.
        connected: Whether exchanges that leave an undirected graph disconnected are undone.

    Raises:
        ValueError: If an argument is out of range, or connectivity is asked for a graph
            that has none to keep.

    Reference:
        Maslov and Sneppen, *Specificity and stability in topology of protein networks*,
        Science 2002.
    """
    _check(graph, steps, seed, connected)
    return _rewired(graph, steps, seed, connected, math.nan, math.inf)


def clustering_preserving_rewire(
    graph: RelationalGraph,
    steps: int | None = None,
    seed: int = 0,
    *,
    tolerance: float = 0.01,
    connected: bool = False,
) -> RelationalGraph:
    """As ``degree_preserving_rewire``, but exchanges that move C too far are undone.

    Args:
        graph: The graph to start from, undirected.
        steps: How many exchanges are tried, ten for every edge by default.
        seed: Seed of the draws.
        tolerance: How far C may lie from that of ``graph``.
        connected: Whether exchanges that leave the graph disconnected are undone.

    Raises:
        ValueError: If an argument is out of range, or the graph is directed.
    """
    _check(graph, steps, seed, connected)
    check_range("tolerance", tolerance, 0, 1, "how far C may move")
    if graph.is_directed:
        raise ValueError(
            "clustering_preserving_rewire needs an undirected graph; take graph.undirected()."
        )
    return _rewired(graph, steps, seed, connected, graph.clustering, tolerance)


def same_size_graph(graph: RelationalGraph, seed: int = 0) -> RelationalGraph:
    """A random graph with as many nodes and edges, all such graphs being equally likely.

    Args:
        graph: The graph whose size is taken; a directed one gives a directed one.
        seed: Seed of the draw.
    """
    check_whole("seed", seed, 0, meaning="the seed of the draw")
    n, loops = graph.num_nodes, graph.num_self_loops
    rng = np.random.default_rng(seed)
    if graph.is_directed:
        chosen = rng.choice(n * (n - 1), size=graph.num_edges - loops, replace=False)
        source, target = np.divmod(chosen, n - 1)
        target = target + (target >= source)  # skips the node itself
        edges = np.stack([source, target])
    else:
        source, target = np.triu_indices(n, 1)
        chosen = rng.choice(len(source), size=(graph.num_edges - loops) // 2, replace=False)
        edges = np.stack([source[chosen], target[chosen]])
        edges = np.concatenate([edges, edges[::-1]], axis=1)
    name = f"same size as {graph.name or graph.key}, seed {seed}"
    return RelationalGraph(n, _with_loops_of(graph, edges), self_loops=False, name=name)


def _check(graph: RelationalGraph, steps: int | None, seed: int, connected: bool) -> None:
    if steps is not None:
        check_whole("steps", steps, 0, meaning="exchanges that are tried")
    check_whole("seed", seed, 0, meaning="the seed of the draws")
    if connected and (graph.is_directed or not math.isfinite(graph.path_length)):
        raise ValueError("connected=True needs an undirected, connected graph to start from.")


def _rewired(
    graph: RelationalGraph,
    steps: int | None,
    seed: int,
    connected: bool,
    clustering: float,
    tolerance: float,
) -> RelationalGraph:
    from relmp.graphs import kernels
    from relmp.graphs.derived import moves

    source, target = _single_edges(graph)
    if graph.is_directed:
        rows = kernels.pack_arcs(graph.num_nodes, source, target)
    else:
        rows = kernels.pack(graph.num_nodes, source, target)
    rng = np.random.default_rng(seed)
    left = 10 * len(source) if steps is None else steps
    while left > 0 and len(source) > 1:
        count = min(left, _PIECE)
        draws = rng.integers(0, len(source), size=(count, 2))
        flips = rng.integers(0, 2, size=count)
        moves.exchange(
            source, target, rows, draws, flips, graph.is_directed, connected, clustering, tolerance
        )
        left -= count
    edges = np.stack([source, target])
    if not graph.is_directed:
        edges = np.concatenate([edges, edges[::-1]], axis=1)
    name = f"{graph.name or graph.key} rewired, seed {seed}"
    edges = _with_loops_of(graph, edges)
    return RelationalGraph(graph.num_nodes, edges, self_loops=False, labels=graph.labels, name=name)


def _with_loops_of(graph: RelationalGraph, edges: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The edges, and the self-loops that a graph has."""
    loops = graph.edges[:, graph.edges[0] == graph.edges[1]]
    return np.concatenate([edges, loops], axis=1)


def _single_edges(
    graph: RelationalGraph,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Sources and targets without self-loops, an undirected edge only once."""
    source, target = graph.edges
    kept = links(graph, graph.is_directed)
    return source[kept].copy(), target[kept].copy()
