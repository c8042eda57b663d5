"""Graphs side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relmp.graphs.relational_graph import RelationalGraph


def disjoint_union(graphs: Sequence[RelationalGraph]) -> RelationalGraph:
    r"""All graphs side by side, no edge between them:
    :math:`A = \mathrm{diag}(A_1, A_2, \dots)`.

    The nodes of a graph follow those of the graphs before it, and so do its edges. Self-loops stay
    as they are. Attributes are kept where all graphs have as many of them.

    Args:
        graphs: Relational graphs, at least one.

    Raises:
        ValueError: If there are none.
    """
    if not graphs:
        raise ValueError("A disjoint union needs at least one graph, but none was given.")
    counts = [graph.num_nodes for graph in graphs]
    starts = np.cumsum([0, *counts[:-1]])
    edges = [graph.edges + start for graph, start in zip(graphs, starts, strict=True)]
    given = [graph.edge_attr for graph in graphs]
    attr = [found.numpy() for found in given if found is not None]
    alike = len(attr) == len(graphs) and len({found.shape[1:] for found in attr}) == 1
    return RelationalGraph(
        sum(counts),
        np.concatenate(edges, axis=1),
        np.concatenate(attr) if alike else None,
        self_loops=False,
        name=f"union of {len(graphs)} graphs",
    )
