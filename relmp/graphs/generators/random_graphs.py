"""Random graphs. Where one may fall apart, it is drawn again until it is connected."""

from __future__ import annotations

from typing import Any

import networkx as nx

from relmp.checks import check_whole
from relmp.graphs.generators.create import (
    GENERATORS,
    Seed,
    check_nodes,
    check_range,
    generator_of,
    until_connected,
)


@GENERATORS.register("erdos_renyi")
def erdos_renyi_graph(n: int, p: float, seed: Seed = None, *, tries: int = 100) -> nx.Graph[Any]:
    """Every pair of nodes is joined with probability p; connected.

    Args:
        n: Number of nodes.
        p: Probability of an edge.
        seed: An integer, or a ``random.Random`` to go on with.
        tries: How many graphs are drawn before giving up on a connected one.

    Raises:
        ValueError: If an argument is out of range, or no try was connected.

    Reference:
        Gilbert, *Random graphs*, 1959; Erdos and Renyi, *On random graphs I*, 1959.
    """
    check_nodes(n)
    check_range("p", p, 0, 1, "the probability of an edge")
    call = f"erdos_renyi(n={n}, p={p}, seed={seed})"
    return until_connected(lambda rng: nx.gnp_random_graph(n, p, seed=rng), seed, tries, call)


@GENERATORS.register("barabasi_albert")
def barabasi_albert_graph(n: int, m: int, seed: Seed = None) -> nx.Graph[Any]:
    """Nodes arrive one by one and link to m that are there, preferring those with many links.

    Args:
        n: Number of nodes.
        m: Links of an arriving node, 1 <= m < n.
        seed: An integer, or a ``random.Random`` to go on with.

    Raises:
        ValueError: If an argument is out of range.

    Reference:
        Barabasi and Albert, *Emergence of scaling in random networks*, Science 1999.
    """
    check_whole("n", n, 2, meaning="nodes")
    check_whole("m", m, 1, n - 1, "links of an arriving node")
    graph: nx.Graph[Any] = nx.barabasi_albert_graph(n, m, seed=generator_of(seed))
    return graph


@GENERATORS.register("powerlaw_cluster")
def powerlaw_cluster_graph(n: int, m: int, p: float, seed: Seed = None) -> nx.Graph[Any]:
    """Barabasi-Albert with triangles: a link is followed by one to a neighbour of its end.

    Args:
        n: Number of nodes.
        m: Links of an arriving node, 1 <= m < n.
        p: Probability that a link is followed by one that closes a triangle.
        seed: An integer, or a ``random.Random`` to go on with.

    Raises:
        ValueError: If an argument is out of range.

    Reference:
        Holme and Kim, *Growing scale-free networks with tunable clustering*, Phys. Rev. E 2002.
    """
    check_whole("n", n, 2, meaning="nodes")
    check_whole("m", m, 1, n - 1, "links of an arriving node")
    check_range("p", p, 0, 1, "the probability of a triangle")
    graph: nx.Graph[Any] = nx.powerlaw_cluster_graph(n, m, p, seed=generator_of(seed))
    return graph


@GENERATORS.register("stochastic_block")
def stochastic_block_graph(
    n: int, blocks: int, p_in: float, p_out: float, seed: Seed = None, *, tries: int = 100
) -> nx.Graph[Any]:
    """Communities: pairs in the same block are joined with p_in, others with p_out; connected.

    Args:
        n: Number of nodes.
        blocks: Number of blocks; their sizes differ by one at most.
        p_in: Probability of an edge inside a block.
        p_out: Probability of an edge between blocks.
        seed: An integer, or a ``random.Random`` to go on with.
        tries: How many graphs are drawn before giving up on a connected one.

    Raises:
        ValueError: If an argument is out of range, or no try was connected.

    Reference:
        Holland, Laskey, Leinhardt, *Stochastic blockmodels*, Social Networks 1983.
    """
    check_nodes(n)
    check_whole("blocks", blocks, 1, n, "blocks of nodes")
    check_range("p_in", p_in, 0, 1, "the probability of an edge inside a block")
    check_range("p_out", p_out, 0, 1, "the probability of an edge between blocks")
    sizes = [n // blocks + (block < n % blocks) for block in range(blocks)]
    p = [[p_in if a == b else p_out for b in range(blocks)] for a in range(blocks)]

    # Below this networkx divides by the logarithm of a number that is 1 to all its digits.
    p = [[0.0 if chance < 1e-15 else chance for chance in row] for row in p]

    def draw(rng: Any) -> nx.Graph[Any]:
        # A plain copy: networkx keeps the partition, as sets, among the graph's data.
        graph: nx.Graph[Any] = nx.Graph()
        graph.add_nodes_from(range(n))
        graph.add_edges_from(nx.stochastic_block_model(sizes, p, seed=rng).edges)
        return graph

    call = f"stochastic_block(n={n}, blocks={blocks}, p_in={p_in}, p_out={p_out}, seed={seed})"
    return until_connected(draw, seed, tries, call)


@GENERATORS.register("random_geometric")
def random_geometric_graph(
    n: int, radius: float, seed: Seed = None, *, tries: int = 100
) -> nx.Graph[Any]:
    """Points in the unit square, joined where they are no further apart than radius; connected.

    Args:
        n: Number of nodes.
        radius: Largest distance of an edge, 0 < radius <= 1.5 (the square's diagonal is 1.41).
        seed: An integer, or a ``random.Random`` to go on with.
        tries: How many graphs are drawn before giving up on a connected one.

    Raises:
        ValueError: If an argument is out of range, or no try was connected.

    Reference:
        Penrose, *Random Geometric Graphs*, 2003.
    """
    check_nodes(n)
    check_range("radius", radius, 0, 1.5, "the largest distance of an edge")
    call = f"random_geometric(n={n}, radius={radius}, seed={seed})"
    return until_connected(
        lambda rng: nx.random_geometric_graph(n, radius, seed=rng), seed, tries, call
    )


@GENERATORS.register("random_directed")
def random_directed_graph(
    n: int, p: float, seed: Seed = None, *, tries: int = 100
) -> nx.DiGraph[Any]:
    """Every ordered pair of nodes is an arc with probability p; strongly connected.

    Args:
        n: Number of nodes.
        p: Probability of an arc.
        seed: An integer, or a ``random.Random`` to go on with.
        tries: How many graphs are drawn before giving up on a strongly connected one.

    Raises:
        ValueError: If an argument is out of range, or no try was strongly connected.
    """
    check_nodes(n)
    check_range("p", p, 0, 1, "the probability of an arc")
    call = f"random_directed(n={n}, p={p}, seed={seed})"
    graph = until_connected(
        lambda rng: nx.gnp_random_graph(n, p, seed=rng, directed=True), seed, tries, call
    )
    assert isinstance(graph, nx.DiGraph)
    return graph


@GENERATORS.register("random_in_regular")
def random_in_regular_graph(n: int, k: int, seed: Seed = None) -> nx.DiGraph[Any]:
    """Every node hears k others, drawn at random: a directed graph of constant fan-in.

    Args:
        n: Number of nodes.
        k: How many others a node hears, 0 <= k < n.
        seed: An integer, or a ``random.Random`` to go on with.

    Raises:
        ValueError: If an argument is out of range.

    Reference:
        Lasby et al., *Dynamic Sparse Training with Structured Sparsity*, ICLR 2024, use such
        layers.
    """
    check_nodes(n)
    check_whole("k", k, 0, n - 1, "how many others a node hears")
    rng = generator_of(seed)
    graph: nx.DiGraph[Any] = nx.DiGraph()
    graph.add_nodes_from(range(n))
    for i in range(n):
        chosen = rng.sample(range(n - 1), k)  # of the others, which skip i
        graph.add_edges_from((j + (j >= i), i) for j in chosen)
    return graph
