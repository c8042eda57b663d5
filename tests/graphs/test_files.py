"""Files and objects: what is read, what is written, and what is refused."""

from __future__ import annotations

import pickle

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relmp.graphs import RelationalGraph, create_graph, load_graph, save_graph
from relmp.graphs.saving import FORMATS

ENDINGS = sorted(FORMATS)


@st.composite
def graphs(draw):
    n = draw(st.integers(2, 12))
    pairs = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))
    edges = draw(st.sets(pairs, min_size=1, max_size=3 * n))
    if draw(st.booleans()):
        edges |= {(v, u) for u, v in edges}
    array = np.array(sorted(edges), dtype=np.int64).T
    attr = None
    if draw(st.booleans()):
        values = st.floats(-9, 9).filter(lambda x: x not in (0, 1))
        attr = draw(st.lists(values, min_size=len(edges), max_size=len(edges)))
    return RelationalGraph(n, array, attr, self_loop_attr=2.5)


@pytest.mark.parametrize("ending", ENDINGS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=graphs())
def test_what_is_saved_is_loaded_again(ending, tmp_path, graph):
    path = tmp_path / f"graph{ending}"
    save_graph(graph, path)
    kind = {".txt": "matrix", ".csv": "edges"}.get(ending)
    directed = True if ending == ".csv" else None
    again = load_graph(path, kind=kind, directed=directed)
    assert again == graph
    assert again.name == "graph"


@pytest.mark.parametrize("ending", [".csv", ".graphml"])
def test_labels_and_several_attributes_travel(ending, tmp_path):
    graph = RelationalGraph(2, [[0, 1], [1, 0]], [[2, 3], [4, 5]], labels=["V1", "MT"])
    save_graph(graph, tmp_path / f"g{ending}")
    again = load_graph(tmp_path / f"g{ending}", directed=True)
    assert again == graph
    assert again.labels == ("V1", "MT")


def write(tmp_path, text, name="graph.txt"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "0 1 0\n1 0 1\n0 1 0\n",
        "0,1,0\n1,0,1\n0,1,0",
        "010\n101\n010\n",
        "# a path\n0 1 0\n\n1 0 1  # its middle\n0 1 0\n",
        "1 1 0\n1 1 1\n0 1 1\n",  # self-loops may be there
        "0 1\n1 2\n",
        "0,1\n1,2\n",
        "0 1\n1 0\n1 2\n2 1\n",  # both directions
        "source,target\n0,1\n1,2\n",
        "0\t1\n1\t2\n2\t2\n",
        "\ufeff0;1\n1;2\n",
    ],
)
def test_texts_that_are_a_path_of_three(text, tmp_path):
    assert load_graph(write(tmp_path, text)) == create_graph("path", n=3)


def test_the_row_is_the_source(tmp_path):
    graph = load_graph(write(tmp_path, "011\n000\n000\n"))
    assert graph.in_degrees.tolist() == [1, 2, 2]
    assert load_graph(write(tmp_path, "0 1\n0 2\n"), directed=True) == graph


def test_two_columns_are_edges_and_other_squares_matrices(tmp_path):
    path = write(tmp_path, "0 1\n1 2\n")
    assert load_graph(path, kind="matrix").edge_attr.tolist() == [[1], [1], [1], [2]]
    assert load_graph(path) == create_graph("path", n=3)
    square = write(tmp_path, "0 1 2\n1 2 4\n2 4 5\n", "square.txt")
    assert load_graph(square).num_nodes == 3
    assert load_graph(square, kind="edges").num_nodes == 5


def test_numbers_of_nodes(tmp_path):
    assert load_graph(write(tmp_path, "0 5\n0 2\n0 1\n")).num_nodes == 6  # 3 and 4 are alone
    graph = load_graph(write(tmp_path, "10 20\n10 5\n5 7\n"))
    assert graph.labels == (5, 7, 10, 20)
    graph = load_graph(write(tmp_path, "MT V1\nV1 V2\nMT V4\n"))
    assert graph.labels == ("MT", "V1", "V2", "V4")


def test_attributes_of_a_list(tmp_path):
    graph = load_graph(write(tmp_path, "0 1 2.5\n1 2 4\n2 3 1\n0 3 1\n"))
    assert graph.edge_attr.shape == (graph.num_edges, 1)
    assert not graph.is_directed


def test_objects():
    path = create_graph("path", n=3)
    matrix = nx.to_numpy_array(nx.path_graph(3))
    for given_ in (path, nx.path_graph(3), matrix, torch.tensor(matrix), [(0, 1), (1, 2)]):
        assert load_graph(given_) == path
    assert load_graph(path.to_pyg()) == path
    assert load_graph(nx.DiGraph([(0, 1)])).is_directed
    weighted = nx.Graph()
    weighted.add_edge(0, 1, length=3)
    assert load_graph(weighted, edge_attrs=["length"]).edge_attr.tolist() == [[1], [3], [3], [1]]


def test_graphml_of_others(tmp_path):
    named = nx.Graph([("b", "a"), ("a", "c")])
    nx.set_edge_attributes(named, 2.0, "length")
    nx.write_graphml(named, tmp_path / "g.graphml")
    assert load_graph(tmp_path / "g.graphml").labels == ("b", "a", "c")
    assert load_graph(tmp_path / "g.graphml", edge_attrs=["length"]).edge_attr is not None
    nx.write_graphml(nx.relabel_nodes(nx.path_graph(3), {0: 2, 2: 0}), tmp_path / "h.graphml")
    assert load_graph(tmp_path / "h.graphml") == create_graph("path", n=3)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("code ran while a graph was loaded",))


@pytest.mark.parametrize("ending", ["pkl", "gpickle", "pt", "npy", "txt", "graphml"])
def test_loading_never_runs_code(ending, tmp_path):
    path = tmp_path / f"bomb.{ending}"
    if ending == "npy":
        np.save(path, np.array([Bomb()], dtype=object), allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="bomb"):
        load_graph(path)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "it is empty"),
        ("# only a comment\n", {}, "it is empty"),
        ("0 1\n0 1\n1 2\n", {}, "listed again in line 2"),
        ("0 1\n\n1 2\n0 1\n", {}, "listed again in line 4"),
        ("0 1 2\n1 0 3\n1 2 1\n2 3 1\n", {}, "differ in their attributes"),
        ("0 1\n1\n2 3\n", {}, "line 2 has 1 columns"),
        ("0 1 2\n1 2\n", {}, "line 2 has 2 columns where 3"),
        ("0 1 x\n1 2 y\n", {}, "no numbers"),
        ("hello\n", {}, "neither a square matrix nor an edge list"),
        ("0 1 1\n0 1\n", {"kind": "matrix"}, "no square matrix"),
        ("0 nan\n1 0\n", {"kind": "matrix"}, "finite"),
        ("0 1\n0 2\n", {"kind": "graph"}, "kind must be"),
        ("0 99999999\n1 2\n2 3\n", {}, "too large"),
        ("source,target\n", {}, "at least one edge"),
        ("011\n000\n000\n", {"directed": False}, "is directed"),
    ],
)
def test_texts_that_are_no_graph(text, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        load_graph(write(tmp_path, text), **options)


def test_other_bad_input(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        load_graph(tmp_path / "missing.txt")
    with pytest.raises(FileNotFoundError, match="no file"):
        load_graph(tmp_path)
    with pytest.raises(ValueError, match="must be square"):
        load_graph(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="must be finite numbers"):
        load_graph(np.array([["a"]]))
    with pytest.raises(ValueError, match="cannot be made of int"):
        load_graph(7)
    with pytest.raises(ValueError, match="cannot be made of list"):
        load_graph([1, 2, 3])
    with pytest.raises(ValueError, match="no array of numbers"):
        load_graph(write(tmp_path, "text", "a.npy"))
    with pytest.raises(ValueError, match="no GraphML"):
        load_graph(write(tmp_path, "<graph>", "a.graphml"))
    with pytest.raises(ValueError, match="entities"):
        load_graph(write(tmp_path, '<!DOCTYPE x [<!ENTITY a "b">]><graphml/>', "b.graphml"))
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is no text"):
        load_graph(tmp_path / "a.txt")


def test_what_cannot_be_written(tmp_path):
    graph = create_graph("path", n=3)
    with pytest.raises(ValueError, match=r"choose \.npy"):
        save_graph(graph, tmp_path / "graph.gpickle")
    two = RelationalGraph(2, [[0], [1]], [[1, 2]])
    with pytest.raises(ValueError, match="one attribute an edge"):
        save_graph(two, tmp_path / "graph.npy")
    spaced = RelationalGraph(2, [[0], [1]], labels=["a b", "c"])
    with pytest.raises(ValueError, match="Labels with spaces"):
        save_graph(spaced, tmp_path / "graph.csv")
