"""Edges as they are given: checked, completed, made read-only."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Protocol

import networkx as nx
import numpy as np
import numpy.typing as npt


def checked_edges(num_nodes: int, edge_index: Any) -> npt.NDArray[np.int64]:
    """Edges ``[2, E]`` as int64; ``ValueError`` if they are none of so many nodes."""
    edges = np.asarray(edge_index)
    if edges.size == 0:
        edges = np.empty((2, 0), dtype=np.int64)
    if edges.ndim != 2 or edges.shape[0] != 2 or not np.issubdtype(edges.dtype, np.integer):
        raise ValueError(
            f"edge_index must be integers of shape [2, E] (sources, targets), but "
            f"{edges.dtype} of shape {list(edges.shape)} was given."
        )
    edges = edges.astype(np.int64)
    if edges.size and (edges.min() < 0 or edges.max() >= num_nodes):
        raise ValueError(
            f"Edges must join nodes 0 to {num_nodes - 1}, but node "
            f"{edges.min() if edges.min() < 0 else edges.max()} was given."
        )
    codes, counts = np.unique(edges[0] * num_nodes + edges[1], return_counts=True)
    if (counts > 1).any():
        u, v = divmod(int(codes[counts > 1][0]), num_nodes)
        raise ValueError(f"Edge ({u}, {v}) was given more than once; list every edge once.")
    return edges


def checked_attributes(num_edges: int, edge_attr: Any) -> npt.NDArray[np.float64] | None:
    """Attributes ``[E, D]`` as float64; ``ValueError`` if they do not match the edges."""
    if edge_attr is None:
        return None
    try:
        given = np.asarray(edge_attr)
        attr = given.astype(np.float64) if given.dtype.kind in "biuf" else np.array(None)
    except (TypeError, ValueError):  # lists of unequal lengths
        attr = np.array(None)
    if attr.dtype == np.object_:
        raise ValueError(
            f"edge_attr must be numbers of shape [E] or [E, D], but a "
            f"{type(edge_attr).__name__} of something else was given."
        )
    attr = attr[:, None] if attr.ndim == 1 else attr
    if attr.ndim != 2 or attr.shape[0] != num_edges:
        raise ValueError(
            f"edge_attr must have shape [E] or [E, D] with E = {num_edges} edges as given, "
            f"but has shape {list(attr.shape)}."
        )
    if not np.isfinite(attr).all():
        raise ValueError("edge_attr must be finite, but holds NaN or infinite values.")
    return attr


def checked_labels(num_nodes: int, labels: Iterable[Hashable]) -> tuple[Hashable, ...]:
    """Labels, one a node; ``ValueError`` if they are not, or no names."""
    try:
        found = tuple(labels)
        different = len(set(found))
    except TypeError as error:
        raise ValueError(
            f"labels are names of the nodes, such as words or numbers, but cannot be used: {error}."
        ) from None
    if len(found) != num_nodes:
        raise ValueError(f"{len(found)} labels were given for {num_nodes} nodes.")
    if different != num_nodes:
        raise ValueError("Two nodes have the same label; give every node its own.")
    return found


def with_self_loops(
    num_nodes: int,
    edges: npt.NDArray[np.int64],
    attr: npt.NDArray[np.float64] | None,
    value: float,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64] | None]:
    """Edges and attributes with the self-loops that are missing."""
    missing = np.setdiff1d(np.arange(num_nodes), edges[0, edges[0] == edges[1]])
    edges = np.concatenate([edges, np.stack([missing, missing])], axis=1)
    if attr is not None:
        attr = np.concatenate([attr, np.full((len(missing), attr.shape[1]), value)])
    return edges, attr


def frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array, contiguous and read-only."""
    array = np.ascontiguousarray(array)
    array.setflags(write=False)
    return array


def edges_of_networkx(
    graph: nx.Graph[Any], attrs: tuple[str, ...]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64] | None, dict[Hashable, int]]:
    """Edges and attributes of a networkx graph, and the number of each of its nodes.

    Raises:
        ValueError: For a multigraph, or missing edge data.
    """
    if graph.is_multigraph():
        raise ValueError(
            "A relational graph has at most one edge from a node to another, but a networkx "
            "multigraph was given; merge its parallel edges first (nx.Graph(graph))."
        )
    index = {node: i for i, node in enumerate(graph)}
    rows: list[tuple[int, int]] = []
    values: list[list[float]] = []
    for u, v, data in graph.edges(data=True):
        missing = [key for key in attrs if key not in data]
        if missing:
            raise ValueError(f"Edge ({u}, {v}) has no attribute '{missing[0]}'.")
        value = [float(data[key]) for key in attrs]
        rows.append((index[u], index[v]))
        values.append(value)
        if not graph.is_directed() and u != v:
            rows.append((index[v], index[u]))
            values.append(value)
    edges = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    attr = np.array(values, dtype=np.float64).reshape(len(rows), len(attrs)) if attrs else None
    return edges, attr, index


def networkx_of(
    names: Sequence[Hashable],
    edges: npt.NDArray[np.int64],
    attr: npt.NDArray[np.float64] | None,
    *,
    directed: bool,
    name: str,
) -> nx.Graph[Any]:
    """A networkx graph with these nodes and edges, self-loops left out."""
    graph: nx.Graph[Any] = nx.DiGraph() if directed else nx.Graph()
    graph.add_nodes_from(names)
    for e, (u, v) in enumerate(edges.T):
        if u != v:
            values = () if attr is None else attr[e]
            data = {f"attr_{d}": float(value) for d, value in enumerate(values)}
            graph.add_edge(names[u], names[v], **data)
    if name:
        graph.graph["name"] = name
    return graph


def in_both_directions(
    n: int, edges: npt.NDArray[np.int64], attr: npt.NDArray[np.float64] | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64] | None]:
    """Edges and their opposites, each once; one that was there twice gets its mean attributes."""
    codes = np.concatenate([edges[0] * n + edges[1], edges[1] * n + edges[0]])
    kept, place, counts = np.unique(codes, return_inverse=True, return_counts=True)
    if attr is not None:
        total = np.zeros((len(kept), attr.shape[1]))
        np.add.at(total, place, np.concatenate([attr, attr]))
        attr = total / counts[:, None]
    return np.stack(np.divmod(kept, n)), attr


class HasEdges(Protocol):
    """A graph, as far as its edges say."""

    @property
    def num_nodes(self) -> int: ...

    @property
    def edges(self) -> npt.NDArray[np.int64]: ...


def adjacency(graph: HasEdges) -> npt.NDArray[np.bool_]:
    """``[n, n]``: whether node i (row) listens to node j (column), self-loops left out.

    The same way round as the weights of a layer: rows are targets.
    """
    matrix = np.zeros((graph.num_nodes, graph.num_nodes), dtype=np.bool_)
    source, target = graph.edges
    matrix[target, source] = source != target
    return matrix


def links(graph: HasEdges, directed: bool) -> npt.NDArray[np.bool_]:
    """``[E]``: which edges are left when self-loops go and, unless ``directed``, one of the two
    directions of each pair."""
    source, target = graph.edges
    return source != target if directed else source < target
