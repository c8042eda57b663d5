"""Classic graphs, all of them without a random number."""

from __future__ import annotations

import math
from typing import Any

import networkx as nx

from relmp.checks import check_whole
from relmp.graphs.generators.create import (
    GENERATORS,
    check_node_count,
    check_nodes,
    check_range,
)


@GENERATORS.register("complete")
def complete_graph(n: int) -> nx.Graph[Any]:
    """Every node is joined to every other: the ordinary dense layer, the baseline."""
    check_nodes(n)
    graph: nx.Graph[Any] = nx.complete_graph(n)
    return graph


@GENERATORS.register("cycle")
def cycle_graph(n: int) -> nx.Graph[Any]:
    """A ring: every node is joined to the next, the last to the first. n >= 3."""
    check_whole("n", n, 3, meaning="nodes of a ring")
    graph: nx.Graph[Any] = nx.cycle_graph(n)
    return graph


@GENERATORS.register("path")
def path_graph(n: int) -> nx.Graph[Any]:
    """A chain: every node is joined to the next."""
    check_nodes(n)
    graph: nx.Graph[Any] = nx.path_graph(n)
    return graph


@GENERATORS.register("star")
def star_graph(n: int) -> nx.Graph[Any]:
    """Node 0 is joined to all others, and they to nobody else."""
    check_nodes(n)
    graph: nx.Graph[Any] = nx.star_graph(n - 1)
    return graph


@GENERATORS.register("grid")
def grid_graph(n: int, rows: int | None = None) -> nx.Graph[Any]:
    """A rectangle of nodes, each joined to the next on its four sides.

    Args:
        n: Number of nodes.
        rows: How many rows; it divides n. By default the rectangle is as square as n allows.

    Raises:
        ValueError: If rows does not divide n, or n is prime and no rows are given.
    """
    rows = _rows(n, rows, least=1)
    grid: nx.Graph[Any] = nx.grid_2d_graph(rows, n // rows)
    return nx.convert_node_labels_to_integers(grid)


@GENERATORS.register("torus")
def torus_graph(n: int, rows: int | None = None) -> nx.Graph[Any]:
    """A rectangle of nodes whose opposite sides are joined, so that all have four neighbours.

    Args:
        n: Number of nodes.
        rows: How many rows; it divides n, and there are 3 rows and columns or more. By
            default the rectangle is as square as n allows.

    Raises:
        ValueError: If there are no such rows.
    """
    rows = _rows(n, rows, least=3)
    torus: nx.Graph[Any] = nx.grid_2d_graph(rows, n // rows, periodic=True)
    return nx.convert_node_labels_to_integers(torus)


def _rows(n: int, rows: int | None, least: int) -> int:
    check_nodes(n)
    if rows is None:
        rows = next(r for r in range(math.isqrt(n), 0, -1) if n % r == 0)
        if rows < max(least, 2) and (least > 1 or n > 3):
            raise ValueError(
                f"{n} nodes make no rectangle of {max(least, 2)} rows or more; choose another n"
                + ("." if least > 1 else ", or give rows=1 for a path.")
            )
        return rows
    check_whole("rows", rows, least, n // least, "rows of the rectangle")
    if n % rows:
        raise ValueError(f"rows must divide n, but {rows} does not divide {n}.")
    return rows


@GENERATORS.register("hypercube")
def hypercube_graph(n: int) -> nx.Graph[Any]:
    """Nodes are joined when their numbers differ in one binary digit. n is a power of two."""
    check_node_count(n, lambda m: m.bit_count() == 1, "A hypercube has 2, 4, 8, ... nodes")
    if n == 1:
        return complete_graph(1)
    cube: nx.Graph[Any] = nx.hypercube_graph(n.bit_length() - 1)
    return nx.convert_node_labels_to_integers(cube)


@GENERATORS.register("tree")
def tree_graph(n: int, branching: int = 2) -> nx.Graph[Any]:
    """A tree filled row by row, every node with up to ``branching`` children."""
    check_nodes(n)
    check_whole("branching", branching, 1, meaning="children of a node")
    graph: nx.Graph[Any] = nx.full_rary_tree(branching, n)
    return graph


@GENERATORS.register("harary")
def harary_graph(n: int, k: float) -> nx.Graph[Any]:
    """The graph of mean degree k that takes the most removals of nodes to fall apart.

    It has ``round(k * n / 2)`` edges, and its connectivity is the largest that so many
    edges allow.

    Args:
        n: Number of nodes.
        k: Mean degree, 2 - 2 / n <= k <= n - 1.

    Raises:
        ValueError: If an argument is out of range.

    Reference:
        Harary, *The maximum connectivity of a graph*, PNAS 1962.
    """
    check_whole("n", n, 2, meaning="nodes")
    check_range("k", k, 0, n - 1, "the mean degree, at most n - 1")
    edges = round(k * n / 2)
    if edges < n - 1:
        raise ValueError(
            f"A connected graph of {n} nodes has at least {n - 1} edges, but k={k} gives {edges}."
        )
    graph: nx.Graph[Any] = nx.hnm_harary_graph(n, edges)
    return graph
