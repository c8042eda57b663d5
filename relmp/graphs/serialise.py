"""Graphs as plain values that JSON can hold, and as text that a person can type."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from relmp.graphs.edges import links
from relmp.graphs.generators import create_graph
from relmp.graphs.layers.mapping import LayerGraphs
from relmp.graphs.relational_graph import RelationalGraph


def graph_to_dict(graph: RelationalGraph | LayerGraphs) -> dict[str, Any]:
    """Name, key, number of nodes and edges ``[[source, target], ...]``, self-loops left out.

    An undirected graph lists every pair once, the smaller node first. With edge attributes, and
    where a node does not hear itself (``"self_loops": False``), every edge is listed,
    self-loops included. Graphs of layers are listed by their patterns, as ``"layers"``.
    """
    if isinstance(graph, LayerGraphs):
        layers = {name: one and graph_to_dict(one) for name, one in graph.items()}
        return {"name": graph.name, "key": graph.key, "layers": layers}
    attr, full = graph.edge_attr, graph.num_self_loops == graph.num_nodes
    listed = attr is not None or not full
    edges = graph.edges if listed else graph.edges[:, links(graph, graph.is_directed)]
    return {
        "name": graph.name,
        "key": graph.key,
        "num_nodes": graph.num_nodes,
        "directed": graph.is_directed or listed,
        "edges": edges.T.tolist(),
        "edge_attr": None if attr is None else attr.tolist(),
        **({} if full else {"self_loops": False}),
    }


def graphs_from_dict(values: dict[str, Any]) -> RelationalGraph | LayerGraphs:
    """The graph, or the graphs of layers, that :func:`graph_to_dict` was given.

    Raises:
        ValueError: If the edges do not give the key that is written beside them.
    """
    if not isinstance(values, dict) or "layers" not in values:
        return graph_from_dict(values)
    with _described():
        layers = values["layers"].items()
        graphs = LayerGraphs({name: one and graph_from_dict(one) for name, one in layers})
    _check_key(graphs, values)
    return graphs


def graph_from_dict(values: dict[str, Any]) -> RelationalGraph:
    """The graph that :func:`graph_to_dict` was given.

    Raises:
        ValueError: If the edges do not give the key that is written beside them.
    """
    with _described():
        edges = np.array(values["edges"], dtype=np.int64).reshape(-1, 2).T
        if not values["directed"]:
            edges = np.concatenate([edges, edges[::-1]], axis=1)
        graph = RelationalGraph(
            values["num_nodes"], edges, values["edge_attr"],
            self_loops=values.get("self_loops", True), name=str(values["name"]),
        )  # fmt: skip
    _check_key(graph, values)
    return graph


@contextmanager
def _described() -> Iterator[None]:
    """What a description lacks, or holds instead, in words."""
    try:
        yield
    except (AttributeError, KeyError, OverflowError, TypeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ValueError(f"This describes no graph: {reason}.") from error


def _check_key(graph: RelationalGraph | LayerGraphs, values: dict[str, Any]) -> None:
    if graph.key != values.get("key"):
        raise ValueError(
            f"The edges of graph '{values.get('name')}' give the key {graph.key}, but "
            f"{values.get('key')} is written beside them; the file was changed."
        )


def graph_from_text(text: str) -> RelationalGraph:
    """A graph from the call that makes it: ``"ws_flex(n=64, k=8.5, p=0.2, seed=3)"``.

    This is also what generated graphs have as their name. Nothing in the text is executed:
    it is a generator's name, and numbers or words for its arguments.

    Raises:
        ValueError: If the text is no such call, or the generator does not accept it.
    """
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if isinstance(call, ast.Name):
            call = ast.Call(call, [], [])
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
            raise ValueError("not a call with named arguments")
        if any(word.arg in (None, "generator", "name") for word in call.keywords):
            raise ValueError("not a call with arguments of the generator")
        if len({word.arg for word in call.keywords}) < len(call.keywords):
            raise ValueError("an argument is there twice")
        params = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    except (SyntaxError, TypeError, ValueError, MemoryError, RecursionError) as error:
        raise ValueError(
            f"'{text}' is no graph ({error}); write a generator and its arguments, such as "
            f'"ws_flex(n=64, k=8.5, p=0.2, seed=3)".'
        ) from error
    return create_graph(call.func.id, **params)
