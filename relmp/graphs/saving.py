"""Graphs to files."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt

from relmp.files import atomic_write, write_text
from relmp.graphs.edges import adjacency
from relmp.graphs.relational_graph import RelationalGraph

FORMATS = {
    ".npy": "adjacency matrix, entry [source, target]",
    ".txt": "adjacency matrix as text (or an edge list)",
    ".csv": "edge list: source,target and attributes",
    ".graphml": "GraphML",
}
"""What ``save_graph`` writes, by the ending of the file."""


def save_graph(graph: RelationalGraph, path: str | os.PathLike[str]) -> None:
    """Write a graph to ``.npy``, ``.txt`` (matrices), ``.csv`` (edges) or ``.graphml``.

    ``load_graph`` gives an equal graph back. Self-loops are written only where the edges
    carry attributes. Labels travel in ``.csv`` and ``.graphml``.

    Args:
        graph: Any relational graph.
        path: Where to; the ending says how.

    Raises:
        ValueError: If the ending is unknown, a matrix cannot hold the attributes, or a node does
            not hear itself, which files do not tell.
    """
    path = Path(path)
    deaf = graph.num_nodes - graph.num_self_loops
    if deaf:
        raise ValueError(
            f"{deaf} of {graph.num_nodes} nodes do not hear themselves, and a graph that is read "
            f"from a file gets all self-loops; keep its edges (numpy.save of graph.edges), and "
            f"make it again with RelationalGraph(..., self_loops=False)."
        )
    if path.suffix not in FORMATS:
        known = ", ".join(f"{ending} ({what})" for ending, what in FORMATS.items())
        raise ValueError(f"A graph cannot be written to '{path.name}'; choose {known}.")
    if path.suffix == ".npy":
        matrix = _matrix_of(graph)
        atomic_write(path, lambda part: _save_array(part, matrix))
    elif path.suffix == ".txt":
        write_text(path, _matrix_text_of(graph))
    elif path.suffix == ".csv":
        write_text(path, _edge_list_of(graph))
    else:
        atomic_write(path, lambda part: nx.write_graphml(_labelled_networkx(graph), part))


def _save_array(path: Path, array: npt.NDArray[Any]) -> None:
    with path.open("wb") as file:  # given a path, NumPy adds an ending
        np.save(file, array, allow_pickle=False)


def _attributes(graph: RelationalGraph) -> npt.NDArray[np.float64] | None:
    attr = graph.edge_attr
    return None if attr is None else np.asarray(attr)


def _matrix_of(graph: RelationalGraph) -> npt.NDArray[np.float64]:
    attr = _attributes(graph)
    if attr is None:
        return adjacency(graph).T.astype(np.float64)
    if attr.shape[1] != 1 or not attr.all() or (attr == 1).all():
        raise ValueError(
            "A matrix holds one attribute an edge, none of them 0 and not all of them 1; "
            "save the graph as .csv or .graphml."
        )
    matrix = np.zeros((graph.num_nodes, graph.num_nodes))
    matrix[graph.edges[0], graph.edges[1]] = attr[:, 0]
    return matrix


AS_LISTED = "nodes_as_listed"
"""Set in GraphML whose nodes have numbers for names that are not in their order."""
MATRIX = "# matrix"
"""First line of a matrix of two nodes as text, since two columns are an edge list otherwise."""


def _matrix_text_of(graph: RelationalGraph) -> str:
    lines = [MATRIX] if graph.num_nodes == 2 else []
    lines += [" ".join(f"{value:.17g}" for value in row) for row in _matrix_of(graph)]
    return "\n".join(lines) + "\n"


def _edge_list_of(graph: RelationalGraph) -> str:
    """All arcs, so that it is to be loaded as directed where the graph is."""
    attr = _attributes(graph)
    names = graph.labels or range(graph.num_nodes)
    if any(re.search(r"[,;\s#%]", str(name)) for name in names):
        raise ValueError(
            "Labels with spaces, commas, # or % cannot be written to .csv; take .graphml."
        )
    lonely = set(range(graph.num_nodes)) - set(
        graph.edges[:, graph.edges[0] != graph.edges[1]].ravel()
    )
    lines = []
    for e, (u, v) in enumerate(graph.edges.T.tolist()):
        if u != v or attr is not None or u in lonely:
            values = [] if attr is None else [f"{value:.17g}" for value in attr[e]]
            lines.append(",".join([str(names[u]), str(names[v]), *values]))
    if graph.labels is not None:  # which node comes first is not to be seen from the edges
        lines.insert(0, f"# nodes: {','.join(map(str, graph.labels))}")
    columns = [] if attr is None else [f"attr_{d}" for d in range(attr.shape[1])]
    return "\n".join([",".join(["source", "target", *columns]), *lines]) + "\n"


def _labelled_networkx(graph: RelationalGraph) -> nx.Graph[Any]:
    """As ``to_networkx``, with self-loops where they carry attributes."""
    result = graph.to_networkx()
    attr = _attributes(graph)
    names = graph.labels or range(graph.num_nodes)
    numbers = [int(name) for name in map(str, names) if re.fullmatch(r"-?\d{1,18}", name)]
    if numbers != sorted(numbers):
        result.graph[AS_LISTED] = True
    if attr is not None:
        for e, (u, v) in enumerate(graph.edges.T.tolist()):
            if u == v:
                result.add_edge(
                    names[u], names[u], **{f"attr_{d}": float(x) for d, x in enumerate(attr[e])}
                )
    return result
