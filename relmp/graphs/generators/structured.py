"""Graphs of structured layers: groups, cliques, butterflies."""

from __future__ import annotations

import itertools
import math
from typing import Any

import networkx as nx

from relmp.checks import check_whole
from relmp.graphs.generators.create import (
    GENERATORS,
    check_node_count,
    check_nodes,
)


@GENERATORS.register("group")
def group_graph(n: int, groups: int) -> nx.Graph[Any]:
    """Separate cliques of equal size: the blocks of a group convolution.

    With more than one group the graph falls apart, and what a group knows stays in it.

    Args:
        n: Number of nodes.
        groups: Number of groups; it divides n.

    Raises:
        ValueError: If groups does not divide n.
    """
    size = _size_of_part(n, groups, "groups")
    graph: nx.Graph[Any] = nx.empty_graph(n)
    for first in range(0, n, size):
        graph.add_edges_from(itertools.combinations(range(first, first + size), 2))
    return graph


@GENERATORS.register("caveman")
def caveman_graph(n: int, caves: int) -> nx.Graph[Any]:
    """Cliques in a ring: one edge of each is replaced by an edge to the next clique.

    Args:
        n: Number of nodes.
        caves: Number of cliques; it divides n and leaves at least 3 nodes each.

    Raises:
        ValueError: If there are no such cliques.

    Reference:
        Watts, *Networks, dynamics, and the small-world phenomenon*, Am. J. Sociology 1999.
    """
    size = _size_of_part(n, caves, "caves")
    if size < 3:
        raise ValueError(f"A cave needs at least 3 nodes, but {n} nodes in {caves} leave {size}.")
    if caves == 1:
        clique: nx.Graph[Any] = nx.complete_graph(n)
        return clique
    graph: nx.Graph[Any] = nx.connected_caveman_graph(caves, size)
    return graph


@GENERATORS.register("monarch")
def monarch_graph(n: int, rows: int | None = None) -> nx.Graph[Any]:
    """Nodes in a rectangle; all of a row are joined, and all of a column.

    A Monarch layer multiplies by two block-diagonal matrices with a transposition between
    them: cliques along the rows, then along the columns. This is their union, so that one
    graph can serve every round, and any node hears any other within two.

    Args:
        n: Number of nodes.
        rows: Number of rows; it divides n. By default n is a square, and rows its root.

    Raises:
        ValueError: If rows does not divide n, or n is no square and no rows are given.

    Reference:
        Dao et al., *Monarch: Expressive structured matrices*, ICML 2022.
    """
    if rows is None:
        check_node_count(
            n, lambda m: math.isqrt(m) ** 2 == m, "A square needs 1, 4, 9, ... nodes, or rows"
        )
        rows = math.isqrt(n)
    columns = _size_of_part(n, rows, "rows")
    graph: nx.Graph[Any] = nx.empty_graph(n)
    for first in range(0, n, columns):
        graph.add_edges_from(itertools.combinations(range(first, first + columns), 2))
    for first in range(columns):
        graph.add_edges_from(itertools.combinations(range(first, n, columns), 2))
    return graph


@GENERATORS.register("flat_butterfly")
def flat_butterfly_graph(n: int, levels: int | None = None, hubs: int = 0) -> nx.Graph[Any]:
    """Node i is joined to i xor 1, i xor 2, i xor 4, ...; hubs are joined to all.

    All levels of a butterfly at once, instead of one after another: with all log2(n) of
    them a hypercube, with fewer a row of separate smaller ones, which hubs tie together.
    Hubs stand for the low-rank part that is added to such a layer.

    Args:
        n: Number of nodes, a power of two.
        levels: How many levels, from the nearest; all log2(n) by default.
        hubs: The first so many nodes are joined to every node.

    Raises:
        ValueError: If n is no power of two, or an argument is out of range.

    Reference:
        Dao, Chen et al., *Pixelated Butterfly*, ICLR 2022.
    """
    check_node_count(n, lambda m: m.bit_count() == 1, "A butterfly has 1, 2, 4, 8, ... nodes")
    depth = n.bit_length() - 1
    levels = depth if levels is None else levels
    check_whole("levels", levels, 0, depth, "levels of the butterfly")
    check_whole("hubs", hubs, 0, n, "nodes joined to all")
    graph: nx.Graph[Any] = nx.empty_graph(n)
    graph.add_edges_from((i, i ^ (1 << level)) for level in range(levels) for i in range(n))
    graph.add_edges_from((hub, i) for hub in range(hubs) for i in range(n) if i != hub)
    return graph


def _size_of_part(n: int, parts: int, name: str) -> int:
    check_nodes(n)
    check_whole(name, parts, 1, n, "a number that divides n")
    if n % parts:
        raise ValueError(f"{name} must divide n, but {parts} does not divide {n}.")
    return n // parts
