"""Null models of a brain: graphs that keep something of it and are random otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from relmp.checks import check_whole, did_you_mean
from relmp.graphs.brains.scaling import weight_matrix
from relmp.graphs.derived.null_models import degree_preserving_rewire, same_size_graph
from relmp.graphs.relational_graph import RelationalGraph, require_graph

Edges = npt.NDArray[np.int64]
_SWAPS = 10  # exchanges tried for every edge


def null_model(graph: RelationalGraph, kind: str = "shuffled", seed: int = 0) -> RelationalGraph:
    """A random graph that keeps of a brain what ``kind`` says, self-loops included.

    - ``"shuffled"``: the entries of its matrix off the diagonal change places (of an undirected
      graph those below it, so that it stays undirected). Density and weights stay.
    - ``"degrees"``: edges exchange their ends, :func:`relmp.degree_preserving_rewire`. Every node
      keeps how many it hears and how many hear it.
    - ``"reciprocity"``: the same, but pairs that hear each other exchange ends among themselves and
      one-way edges among themselves: every node keeps its numbers of both, in and out.
    - ``"random"``: a graph of as many edges, all being equally likely, and with
      weights uniform between 0 and the largest of the brain's.

    With ``"degrees"`` and ``"reciprocity"`` the weights of the brain are dealt out anew at random.

    Args:
        graph: The brain, with at most one weight an edge.
        kind: What is kept.
        seed: Decides what is drawn; no global random state is read or changed.

    Raises:
        ValueError: If the kind is unknown, a number is out of its range, or edges have several
            attributes.

    Reference:
        Goulas, Damicelli, Hilgetag, *Bio-instantiated recurrent neural networks*, Neural Networks
        2021, section 2.2 (``"shuffled"``); Maslov, Sneppen, *Specificity and stability in topology
        of protein networks*, Science 2002 (the others).
    """
    require_graph(graph)
    check_whole("seed", seed, 0, meaning="the seed of the draw")
    if kind not in NULLS:
        raise ValueError(
            f"Unknown null model '{kind}'; choose one of {', '.join(NULLS)}."
            f"{did_you_mean(kind, NULLS)}"
        )
    weights = weight_matrix(graph)
    rng = np.random.default_rng(seed)
    matrix = NULLS[kind](graph, weights, seed, rng)
    np.fill_diagonal(matrix, np.diag(weights))
    source, target = np.nonzero(matrix)
    weighted = graph.edge_attr is not None
    return RelationalGraph(
        graph.num_nodes,
        np.stack([source, target]),
        matrix[source, target] if weighted else None,
        labels=graph.labels,
        name=f"{kind} of {graph.name or graph.key}, seed {seed}",
        self_loops=False,
    )


def null_graphs(
    graph: RelationalGraph, kinds: Iterable[str] = (), seeds: int | Iterable[int] = 1
) -> dict[tuple[str, int], RelationalGraph]:
    """The null models of a brain by kind and seed, all kinds by default."""
    numbers = range(seeds) if isinstance(seeds, int) else list(seeds)
    chosen = list(kinds) or list(NULLS)
    return {(kind, seed): null_model(graph, kind, seed) for kind in chosen for seed in numbers}


def _shuffled(graph: RelationalGraph, weights: Any, seed: int, rng: np.random.Generator) -> Any:
    n = graph.num_nodes
    symmetric = np.array_equal(weights, weights.T)
    places = np.tril_indices(n, -1) if symmetric else np.nonzero(~np.eye(n, dtype=np.bool_))
    matrix = np.zeros_like(weights)
    matrix[places] = rng.permutation(weights[places])
    return matrix + matrix.T if symmetric else matrix


def _degrees(graph: RelationalGraph, weights: Any, seed: int, rng: np.random.Generator) -> Any:
    edges = degree_preserving_rewire(graph, seed=seed).edges
    return _dealt(edges[:, edges[0] != edges[1]], weights, rng)


def _random(graph: RelationalGraph, weights: Any, seed: int, rng: np.random.Generator) -> Any:
    edges = same_size_graph(graph, seed=seed).edges
    edges = edges[:, edges[0] != edges[1]]
    matrix = np.zeros((graph.num_nodes,) * 2)
    # Above zero, so that the edge is there.
    drawn: npt.NDArray[np.float64] = 1 - rng.random((edges.shape[1],))
    if not graph.is_directed:
        lower = edges[0] > edges[1]
        matrix[tuple(edges[:, lower])] = drawn[lower]
        matrix += matrix.T
    else:
        matrix[tuple(edges)] = drawn
    return matrix * weights.max()


def _reciprocity(graph: RelationalGraph, weights: Any, seed: int, rng: np.random.Generator) -> Any:
    there = np.asarray(weights != 0)
    np.fill_diagonal(there, False)
    mutual, single = there & there.T, there & ~there.T
    pairs = np.stack(np.nonzero(np.triu(mutual)))
    arcs = np.stack(np.nonzero(single))
    joined = set(map(tuple, np.sort(np.concatenate([pairs, arcs], axis=1), axis=0).T.tolist()))
    _exchange(pairs, joined, rng, both_ways=True)
    _exchange(arcs, joined, rng, both_ways=False)
    edges = np.concatenate([pairs, pairs[::-1], arcs], axis=1)
    return _dealt(edges, weights, rng)


def _exchange(
    edges: Edges, joined: set[tuple[int, int]], rng: np.random.Generator, *, both_ways: bool
) -> None:
    """Exchange the ends of edges in place; no two nodes are joined twice in any way."""
    count = edges.shape[1]
    if count < 2:
        return
    tried = _SWAPS * count
    draws = rng.integers(0, count, size=(tried, 2)).tolist()
    flips = (rng.random(tried) < 0.5).tolist() if both_ways else [False] * tried
    ends = [list(pair) for pair in edges.T.tolist()]
    for (e, f), flip in zip(draws, flips, strict=True):
        a, b = ends[e]
        c, d = reversed(ends[f]) if flip else ends[f]
        if a == d or b == c:
            continue
        new = (min(a, d), max(a, d)), (min(c, b), max(c, b))
        if new[0] == new[1] or new[0] in joined or new[1] in joined:
            continue
        joined -= {(min(a, b), max(a, b)), (min(c, d), max(c, d))}
        joined |= set(new)
        ends[e], ends[f] = [a, d], [c, b]
    edges[:] = np.array(ends).T


def _dealt(edges: Edges, weights: Any, rng: np.random.Generator) -> Any:
    """A matrix with the weights off the diagonal dealt out to these edges."""
    matrix = np.zeros_like(weights)
    off = ~np.eye(len(weights), dtype=np.bool_)
    given = weights[off & (weights != 0)]
    symmetric = np.array_equal(weights, weights.T)
    if symmetric:
        given = weights[np.tril(weights, -1) != 0]
        lower = edges[:, edges[0] > edges[1]]
        matrix[tuple(lower)] = rng.permutation(given)
        return matrix + matrix.T
    matrix[tuple(edges)] = rng.permutation(given)
    return matrix


NULLS: dict[str, Callable[[RelationalGraph, Any, int, np.random.Generator], Any]] = {
    "shuffled": _shuffled,
    "degrees": _degrees,
    "reciprocity": _reciprocity,
    "random": _random,
}
"""Kinds of null models, by name."""

__all__ = ["NULLS", "null_graphs", "null_model"]
