"""Graphs as plain values that JSON can hold."""

from __future__ import annotations

from typing import Any

import numpy as np

from relmp.graphs.relational_graph import RelationalGraph


def graph_to_dict(graph: RelationalGraph) -> dict[str, Any]:
    """Name, key, number of nodes and edges ``[[source, target], ...]``, self-loops left out.

    An undirected graph lists every pair once, the smaller node first. With edge attributes
    every edge is listed, self-loops included.
    """
    source, target = graph.edges
    attr = graph.edge_attr
    keep = source != target if graph.is_directed else source < target
    edges = graph.edges if attr is not None else graph.edges[:, keep]
    return {
        "name": graph.name,
        "key": graph.key,
        "num_nodes": graph.num_nodes,
        "directed": graph.is_directed or attr is not None,
        "edges": edges.T.tolist(),
        "edge_attr": None if attr is None else attr.tolist(),
    }


def graph_from_dict(values: dict[str, Any]) -> RelationalGraph:
    """The graph that :func:`graph_to_dict` was given.

    Raises:
        ValueError: If the edges do not give the key that is written beside them.
    """
    edges = np.array(values["edges"], dtype=np.int64).reshape(-1, 2).T
    if not values["directed"]:
        edges = np.concatenate([edges, edges[::-1]], axis=1)
    graph = RelationalGraph(values["num_nodes"], edges, values["edge_attr"], name=values["name"])
    if graph.key != values["key"]:
        raise ValueError(
            f"The edges of graph '{values['name']}' give the key {graph.key}, but "
            f"{values['key']} is written beside them; the file was changed."
        )
    return graph
