"""Graph generators: functions ``*_graph(n, ..., seed) -> networkx.Graph``, also by name."""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import Callable
from typing import Any

import networkx as nx

from relmp.graphs.relational_graph import GeneratorCall, RelationalGraph
from relmp.registry import Registry

Generator = Callable[..., "nx.Graph[Any]"]

generators: Registry[Generator] = Registry("graph generator")


def create_graph(generator: str | Generator, *, name: str = "", **params: Any) -> RelationalGraph:
    """A relational graph from a generator and its parameters.

    ``create_graph("ws_flex", n=64, k=8.5, p=0.2, seed=3)``

    Args:
        generator: A registered name (``relmp.graphs.generators.names()``), or any function
            that returns a networkx graph.
        name: Name of the result; the call itself by default.
        **params: The generator's own arguments. Its ``seed`` alone decides what is drawn:
            no global random state is read or changed.

    Raises:
        ValueError: If the name is unknown, or an argument is missing, unknown or out of range.
    """
    function = generators[generator] if isinstance(generator, str) else generator
    label = generator if isinstance(generator, str) else getattr(generator, "__name__", "graph")
    signature = inspect.signature(function)
    try:
        signature.bind(**params)
    except TypeError as error:
        accepted = ", ".join(signature.parameters)
        raise ValueError(
            f"Graph generator '{label}' cannot be called so: {error}; it takes {accepted}."
        ) from None
    graph = function(**params)
    call = ", ".join(f"{key}={value}" for key, value in params.items())
    return RelationalGraph.from_networkx(
        graph, name=name or f"{label}({call})", generator=GeneratorCall(label, params)
    )


@generators.register("complete")
def complete_graph(n: int) -> nx.Graph[Any]:
    """Every node is joined to every other: the ordinary dense layer, the baseline."""
    check_nodes(n)
    graph: nx.Graph[Any] = nx.complete_graph(n)
    return graph


@generators.register("ws_flex")
def ws_flex_graph(
    n: int, k: float, p: float, seed: int | random.Random | None = None, *, tries: int = 100
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
    if tries < 1:
        raise ValueError(f"tries must be at least 1, but is {tries}.")
    rng = seed if isinstance(seed, random.Random) else random.Random(seed)
    for _ in range(tries):
        graph = _ws_flex_once(n, k, p, rng)
        if nx.is_connected(graph):
            return graph
    raise ValueError(
        f"ws_flex(n={n}, k={k}, p={p}, seed={seed}) drew no connected graph in {tries} tries; "
        f"raise k, lower p or take another seed."
    )


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


def check_nodes(n: int) -> None:
    """Raise ``ValueError`` unless n counts nodes."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"n must be a whole number of nodes, at least 1, but is {n!r}.")


def check_range(name: str, value: float, low: float, high: float, meaning: str) -> None:
    """Raise ``ValueError`` unless ``low <= value <= high`` (NaN never is)."""
    if not isinstance(value, (int, float)) or math.isnan(value) or not low <= value <= high:
        raise ValueError(f"{name} must lie between {low} and {high} ({meaning}), but is {value!r}.")
