"""Graphs from files and from other libraries' objects.

Nothing that is read here can run code: pickles are refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt

from relmp.graphs.relational_graph import RelationalGraph
from relmp.graphs.saving import AS_LISTED, FORMATS, MATRIX

MAX_LISTED = 2**24
"""So far into a text a line that lists the nodes is looked for."""

MAX_BYTES = 2**30
"""So large may a file be that a graph is read from."""

_TEXT = (".txt", ".csv", ".tsv", ".edges", ".edgelist", ".mtx.txt", ".dat")
_HEADER = re.compile(r"(source|from|u|src)\W+(target|to|v|dst)\b", re.IGNORECASE)


def load_graph(
    source: Any,
    *,
    kind: str | None = None,
    directed: bool | None = None,
    edge_attrs: Iterable[str] = (),
    name: str = "",
) -> RelationalGraph:
    """A relational graph from a file, or from another library's object.

    A file may be GraphML (``.graphml``), an adjacency matrix in NumPy's format (``.npy``) or
    as text (numbers apart, or digits 0 and 1 without spaces), or an edge list as text: two
    columns, and numbers as attributes in further ones. An object may be a networkx graph, a
    square array, a PyG ``Data`` or a list of pairs. Everywhere an edge goes from source to
    target: the row of a matrix is the source, its column the target.

    * Self-loops may be there or not: every node hears itself. Their attributes are kept.
    * An edge that is listed twice is an error that names its line. An undirected edge may be
      listed in both directions.
    * Entries of a matrix other than 0 and 1 become edge attributes.
    * Whole numbers that include 0 number the nodes, up to the largest. Any other names of
      nodes become ``labels``, in ascending order if they are numbers and otherwise in the
      order in which they come.
    * A text of two columns is an edge list; any other square table of numbers is a matrix.
      ``kind`` says otherwise.

    Args:
        source: A path, or one of the objects above.
        kind: ``"matrix"`` or ``"edges"``, where a text file is to be read as that.
        directed: Whether an edge of a list is one arc; False by default for edge lists. A
            matrix or ``Data`` is directed where it is not symmetric, a networkx or GraphML
            graph where it says so; True or False is then an error where it is otherwise.
        edge_attrs: Names of networkx or GraphML edge data to carry along.
        name: Name of the result; that of the file by default.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it holds no graph.
    """
    if kind not in (None, "matrix", "edges"):
        raise ValueError(f"kind must be 'matrix' or 'edges', but is {kind!r}.")
    if isinstance(source, (str, os.PathLike)):
        graph = _from_file(Path(source), kind, directed, tuple(edge_attrs), name)
    else:
        graph = _from_object(source, directed, tuple(edge_attrs), name)
    if directed is False and graph.is_directed:
        raise ValueError(
            f"{graph.name or 'The graph'} is directed; leave directed=False out, or take "
            f".undirected() of what is loaded."
        )
    return graph


# Objects --------------------------------------------------------------------------------


def _from_object(
    source: Any, directed: bool | None, edge_attrs: tuple[str, ...], name: str
) -> RelationalGraph:
    if isinstance(source, RelationalGraph):
        return source
    if isinstance(source, nx.Graph):
        return RelationalGraph.from_networkx(source, edge_attrs=edge_attrs, name=name)
    if hasattr(source, "edge_index") and hasattr(source, "num_nodes"):
        return _from_pyg(source, name)
    if isinstance(source, np.ndarray) or (hasattr(source, "numpy") and hasattr(source, "shape")):
        return _from_matrix(np.asarray(source), name)
    try:
        pairs = [(u, v) for u, v in source]
    except (TypeError, ValueError):
        raise ValueError(
            f"A graph cannot be made of {type(source).__name__}; give a path, a networkx graph, "
            f"a square array, a PyG Data or a list of pairs."
        ) from None
    return _from_rows([[str(u), str(v)] for u, v in pairs], bool(directed), name)


def _from_pyg(data: Any, name: str) -> RelationalGraph:
    if data.edge_index is None:
        raise ValueError("The PyG Data holds no edge_index.")
    attr = data.edge_attr
    edges = np.asarray(data.edge_index)
    return RelationalGraph(
        int(data.num_nodes), edges, None if attr is None else np.asarray(attr), name=name
    )


def _from_matrix(matrix: npt.NDArray[Any], name: str) -> RelationalGraph:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise ValueError(
            f"An adjacency matrix must be square, but {name or 'the array'} has shape "
            f"{list(matrix.shape)}."
        )
    if matrix.dtype.kind not in "biuf" or not np.isfinite(matrix).all():
        raise ValueError(f"The entries of {name or 'the matrix'} must be finite numbers.")
    source, target = np.nonzero(matrix)
    values = matrix[source, target].astype(np.float64)
    attr = None if (values == 1).all() else values
    return RelationalGraph(len(matrix), np.stack([source, target]), attr, name=name)


# Files ----------------------------------------------------------------------------------


def _from_file(
    path: Path, kind: str | None, directed: bool | None, edge_attrs: tuple[str, ...], name: str
) -> RelationalGraph:
    name = name or path.stem
    if not path.is_file():
        raise FileNotFoundError(f"There is no file '{path}'.")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(
            f"'{path.name}' has {path.stat().st_size / 2**20:,.0f} MiB; graphs are read from files "
            f"of up to {MAX_BYTES / 2**20:,.0f}."
        )
    if path.suffix in (".pkl", ".pickle", ".gpickle", ".pt", ".pth"):
        raise ValueError(
            f"'{path.name}' may hold code that would run when it is read; save the graph as "
            f"{', '.join(FORMATS)} instead."
        )
    if path.suffix == ".graphml":
        return _from_graphml(path, edge_attrs, name)
    if path.suffix == ".npy":
        return _from_matrix(_read_array(path), name)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(
            f"'{path.name}' is no text; graphs are read from {', '.join((*FORMATS, *_TEXT[2:]))}."
        ) from None
    return _from_text(text, path.name, kind, bool(directed), name)


def _read_array(path: Path) -> npt.NDArray[Any]:
    try:
        with path.open("rb") as file:
            matrix = np.load(file, allow_pickle=False, max_header_size=10_000)
    except Exception as error:  # whatever a broken header makes NumPy raise
        reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        raise ValueError(f"'{path.name}' is no array of numbers: {reason}.") from None
    if not isinstance(matrix, np.ndarray):
        raise ValueError(f"'{path.name}' holds several arrays; save the one that is meant alone.")
    return matrix


def _from_text(
    text: str, file: str, kind: str | None, directed: bool, name: str
) -> RelationalGraph:
    if kind is None and text.startswith(MATRIX):
        kind = "matrix"
    order = re.search(r"^# nodes: (.+)$", text[:MAX_LISTED], re.MULTILINE)
    lines = [line.split("#")[0].split("%")[0].strip() for line in text.splitlines()]
    table = [[cell for cell in re.split(r"[,;\s]+", line) if cell] for line in lines]
    filled = [row for row in table if row]
    if not filled:
        raise ValueError(f"'{file}' holds no graph: it is empty.")
    matrix = None if kind == "edges" else _text_matrix(filled, wanted=kind == "matrix")
    if matrix is not None:
        return _from_matrix(matrix, name)
    if kind == "matrix":
        raise ValueError(f"'{file}' holds no square matrix of numbers.")
    if _HEADER.match(next(line for line in lines if line)):
        first = next(i for i, row in enumerate(table) if row)
        table[first] = []
    numbered = [(i, row) for i, row in enumerate(table, 1) if row]
    width = len(numbered[0][1]) if numbered else 2
    for line, row in numbered:
        if len(row) != width or len(row) < 2:
            raise ValueError(
                f"'{file}' is neither a square matrix nor an edge list: line {line} has "
                f"{len(row)} columns where {max(width, 2)} are needed."
            )
    return _from_rows(
        [row for _, row in numbered],
        directed,
        name,
        [f"line {line} of '{file}'" for line, _ in numbered],
        None if order is None else order[1].split(","),
    )


def _text_matrix(rows: list[list[str]], wanted: bool) -> npt.NDArray[np.float64] | None:
    """The square matrix that the table is, or None."""
    if all(len(row) == 1 and len(row[0]) == len(rows) for row in rows) and len(rows) > 1:
        rows, wanted = [list(row[0]) for row in rows], True  # digits without spaces
    if len(rows[0]) == 2 and not wanted:
        return None  # two edges, rather than a matrix of two nodes
    if any(len(row) != len(rows) for row in rows):
        return None
    try:
        return np.array(rows, dtype=np.float64)
    except ValueError:
        return None


def _from_rows(
    rows: list[list[str]],
    directed: bool,
    name: str,
    places: list[str] | None = None,
    order: list[str] | None = None,
) -> RelationalGraph:
    """From rows of source, target and attributes; ``order`` names the nodes in theirs."""
    places = places or [f"pair {i}" for i in range(1, len(rows) + 1)]
    named = [cell for row in rows for cell in row[:2]]
    labels, number = _numbered(named) if order is None else _ordered(order, named)
    seen: dict[tuple[int, int], list[float]] = {}
    for row, place in zip(rows, places, strict=True):
        edge = number[row[0]], number[row[1]]
        try:
            values = [float(cell) for cell in row[2:]]
        except ValueError:
            raise ValueError(f"The attributes in {place} are no numbers: {row[2:]}.") from None
        if edge in seen:
            raise ValueError(f"Edge {row[0]}, {row[1]} is listed again in {place}.")
        seen[edge] = values
    if not directed:
        for (u, v), values in list(seen.items()):
            if seen.setdefault((v, u), values) != values:
                raise ValueError(
                    f"The two directions of edge {u}, {v} differ in their attributes; "
                    f"give directed=True."
                )
    edges = np.array(list(seen), dtype=np.int64).reshape(-1, 2).T
    attr = np.array(list(seen.values())) if rows and len(rows[0]) > 2 else None
    return RelationalGraph(len(labels), edges, attr, labels=_needed(labels), name=name)


def _numbered(names: Iterable[str]) -> tuple[list[Any], dict[str, int]]:
    """Labels in the order of the nodes, and the number of each name."""
    order = list(dict.fromkeys(names))
    if not order:
        raise ValueError("An edge list needs at least one edge.")
    if not all(re.fullmatch(r"-?\d+", each) for each in order):
        return order, {each: i for i, each in enumerate(order)}
    values = {each: int(each) for each in order}
    distinct = sorted(set(values.values()))
    if distinct[0] == 0:
        if distinct[-1] > 1_000_000:
            raise ValueError(f"Node {distinct[-1]} is too large a number; name nodes from 0 on.")
        distinct = list(range(distinct[-1] + 1))
    place = {value: i for i, value in enumerate(distinct)}
    return distinct, {each: place[value] for each, value in values.items()}


def _ordered(order: list[str], named: list[str]) -> tuple[list[Any], dict[str, int]]:
    """Labels and the number of each name, where the file lists its nodes."""
    unknown = [name for name in named if name not in set(order)]
    if unknown or len(set(order)) != len(order):
        what = f"node '{unknown[0]}' is not among them" if unknown else "one is there twice"
        raise ValueError(f"The line '# nodes: ...' does not list the nodes of the edges: {what}.")
    labels: list[Any] = [int(each) for each in order] if _are_whole(order) else list(order)
    return labels, {each: i for i, each in enumerate(order)}


def _are_whole(names: Iterable[str]) -> bool:
    """Whether all are whole numbers as Python writes them, so that no two become the same."""
    return all(re.fullmatch(r"-?\d{1,18}", name) and str(int(name)) == name for name in names)


def _needed(labels: list[Any]) -> list[Any] | None:
    return None if labels == list(range(len(labels))) else labels


def _from_graphml(path: Path, edge_attrs: tuple[str, ...], name: str) -> RelationalGraph:
    data = path.read_bytes()
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise ValueError(f"'{path.name}' defines entities of its own, which are not read.")
    try:
        graph = nx.parse_graphml(data.decode("utf-8"), force_multigraph=False)
    except Exception as error:  # whatever an XML parser or networkx may raise
        reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        raise ValueError(f"'{path.name}' is no GraphML: {reason}.") from None
    if not len(graph):
        raise ValueError(f"'{path.name}' holds no nodes.")
    if _are_whole(graph):
        graph = nx.relabel_nodes(graph, int)
    if _are_whole(map(str, graph)) and AS_LISTED not in graph.graph:
        ordered = type(graph)()
        ordered.add_nodes_from(sorted(graph))
        ordered.add_edges_from(graph.edges(data=True))
        graph = ordered
    if not edge_attrs:
        columns = {key for _, _, data in graph.edges(data=True) for key in data}
        own = [key for key in columns if re.fullmatch(r"attr_\d+", str(key))]
        edge_attrs = tuple(sorted(own, key=lambda key: int(key[5:])))
    return RelationalGraph.from_networkx(graph, edge_attrs=edge_attrs, name=name)
