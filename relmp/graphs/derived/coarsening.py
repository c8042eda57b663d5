"""Fewer nodes: neighbouring nodes are merged."""

from __future__ import annotations

import numpy as np

from relmp.checks import check_whole
from relmp.graphs.relational_graph import RelationalGraph


def coarsen(graph: RelationalGraph, n: int) -> RelationalGraph:
    """A graph of n nodes, each standing for a group of neighbouring nodes of ``graph``.

    The lightest group is merged with the neighbour that it shares the most edges with, in
    proportion to their sizes, until n are left; groups so stay of similar size. A group
    hears another if any of its nodes did; the edge attribute counts the arcs between them
    (the number inside, self-loops included, on the self-loop). Groups are numbered by their
    first node and labelled by the nodes in them. Nothing is drawn at random.

    Args:
        graph: Any relational graph, directed or not.
        n: Number of nodes of the result, between 1 and ``graph.num_nodes``.

    Raises:
        ValueError: If n is out of range.
    """
    check_whole("n", n, 1, graph.num_nodes, "nodes of the coarser graph")
    count = graph.num_nodes
    arcs = np.zeros((count, count))
    arcs[graph.edges[0], graph.edges[1]] = 1
    groups: list[list[int]] = [[i] for i in range(count)]
    while len(groups) > n:
        sizes = np.array([len(group) for group in groups])
        lightest = int(sizes.argmin())
        ties = (arcs[lightest] + arcs[:, lightest]) / (sizes[lightest] * sizes)
        # Without any neighbour, the next lightest group has to do.
        ties[lightest] = -1
        partner = int(ties.argmax()) if ties.max() > 0 else int(np.argsort(sizes, kind="stable")[1])
        kept, gone = sorted((lightest, partner))
        arcs[kept] += arcs[gone]
        arcs[:, kept] += arcs[:, gone]
        arcs = np.delete(np.delete(arcs, gone, axis=0), gone, axis=1)
        groups[kept] += groups.pop(gone)
    order = np.argsort([min(group) for group in groups])
    arcs = arcs[np.ix_(order, order)]
    names = graph.labels or tuple(range(count))
    labels = [tuple(names[i] for i in sorted(groups[g])) for g in order]
    source, target = np.nonzero(arcs)
    return RelationalGraph(
        n,
        np.stack([source, target]),
        arcs[source, target],
        labels=labels,
        name=f"{graph.name or graph.key} coarsened to {n}",
    )
