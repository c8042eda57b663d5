"""Small worlds: rings whose links are rewired."""

from __future__ import annotations

import random
from typing import Any

import networkx as nx

from relmp.checks import check_whole
from relmp.graphs.generators.create import (
    GENERATORS,
    Seed,
    check_nodes,
    check_range,
    until_connected,
)


@GENERATORS.register("ws_flex")
def ws_flex_graph(
    n: int, k: float, p: float, seed: Seed = None, *, tries: int = 100
) -> nx.Graph[Any]:
    """Watts-Strogatz with a real-valued degree: a connected ring lattice, rewired.

    The graph has ``round(k * n / 2)`` edges. They are dealt out to the nodes as evenly as
    possible, the first nodes taking one more; a node with c of them links to the c nodes
    after it on a ring. Then every such link (i, v), node by node, is with probability p
    replaced by (i, w), w drawn uniformly among the nodes that i is not yet linked to. A
    disconnected result is thrown away and drawn anew, with the random numbers going on.
    Given the same arguments this is the graph of the paper, edge for edge.

    Args:
        n: Number of nodes.
        k: Mean degree, 2 <= k <= n (the paper's sparsity is k / n).
        p: Probability of rewiring, 0 <= p <= 1.
        seed: An integer, or a ``random.Random`` to go on with.
        tries: How many graphs are drawn before giving up on a connected one.

    Raises:
        ValueError: If an argument is out of range, or no try was connected.

    Reference:
        You, Leskovec, He, Xie, *Graph Structure of Neural Networks*, ICML 2020, algorithm 1.
    """
    check_nodes(n)
    check_range("k", k, 2 if n > 1 else 0, n, "the mean degree, between 2 and n")
    check_range("p", p, 0, 1, "the probability of rewiring an edge")
    call = f"ws_flex(n={n}, k={k}, p={p}, seed={seed})"
    return until_connected(lambda rng: _ws_flex_once(n, k, p, rng), seed, tries, call)


def _ws_flex_once(n: int, k: float, p: float, rng: random.Random) -> nx.Graph[Any]:
    each, more = divmod(round(k * n / 2), n)
    nodes = list(range(n))
    links = [(i, (i + step) % n) for i in nodes for step in range(1, each + (i < more) + 1)]
    graph: nx.Graph[Any] = nx.Graph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(links)
    for i, old in links:
        if rng.random() >= p:
            continue
        new = rng.choice(nodes)
        while new == i or graph.has_edge(i, new):
            new = rng.choice(nodes)
            if graph.degree(i) >= n - 1:  # nobody is left to link to
                break
        else:
            # A link may be gone already where two nodes held it (k near n).
            if graph.has_edge(i, old):
                graph.remove_edge(i, old)
            graph.add_edge(i, new)
    return graph


@GENERATORS.register("ring_lattice")
def ring_lattice_graph(n: int, k: float) -> nx.Graph[Any]:
    """A ring in which every node is joined to the k / 2 nodes on either side.

    For a k that is no even number this is ``ws_flex_graph`` without rewiring: some nodes
    have one link more than others.

    Args:
        n: Number of nodes.
        k: Mean degree, 2 <= k <= n - 1.

    Raises:
        ValueError: If an argument is out of range.
    """
    check_whole("n", n, 3, meaning="nodes of a ring")
    check_range("k", k, 2, n - 1, "the mean degree, between 2 and n - 1")
    return ws_flex_graph(n, k, 0, 0)


@GENERATORS.register("watts_strogatz")
def watts_strogatz_graph(
    n: int, k: int, p: float, seed: Seed = None, *, tries: int = 100
) -> nx.Graph[Any]:
    """A ring lattice of even degree k, each link rewired with probability p; connected.

    Args:
        n: Number of nodes.
        k: Degree of the lattice: an even number, 2 <= k < n.
        p: Probability of rewiring a link.
        seed: An integer, or a ``random.Random`` to go on with.
        tries: How many graphs are drawn before giving up on a connected one.

    Raises:
        ValueError: If an argument is out of range, or no try was connected.

    Reference:
        Watts and Strogatz, *Collective dynamics of small-world networks*, Nature 1998.
    """
    check_whole("n", n, 3, meaning="nodes of a ring")
    check_whole("k", k, 2, n - 1, "the degree of the lattice")
    if k % 2:
        raise ValueError(f"k must be even in watts_strogatz, but is {k}; ws_flex takes any k.")
    check_range("p", p, 0, 1, "the probability of rewiring a link")
    call = f"watts_strogatz(n={n}, k={k}, p={p}, seed={seed})"
    return until_connected(
        lambda rng: nx.watts_strogatz_graph(n, k, p, seed=rng), seed, tries, call
    )
