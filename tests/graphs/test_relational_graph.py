"""RelationalGraph: a frozen value of nodes and directed edges."""

from __future__ import annotations

import math
import pickle

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relmp.graphs import RelationalGraph, create_graph


@st.composite
def graphs(draw, directed=None, largest=12):
    n = draw(st.integers(1, largest))
    pairs = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))
    edges = draw(st.sets(pairs, max_size=3 * n))
    one_way = draw(st.booleans()) if directed is None else directed
    if not one_way:
        edges |= {(v, u) for u, v in edges}
    array = np.array(sorted(edges), dtype=np.int64).reshape(-1, 2).T
    attr = draw(st.lists(st.floats(-9, 9), min_size=len(edges), max_size=len(edges)))
    with_attr = draw(st.booleans()) and len(edges) > 0
    return RelationalGraph(n, array, attr if with_attr else None)


@given(graphs())
def test_edges_are_sorted_by_target_then_source_with_all_self_loops(graph):
    source, target = graph.edges
    codes = target * graph.num_nodes + source
    assert (np.diff(codes) > 0).all()
    assert set(range(graph.num_nodes)) <= set(source[source == target].tolist())
    assert graph.num_edges == len(source)
    for i in range(graph.num_nodes):
        assert (target[graph.ptr[i] : graph.ptr[i + 1]] == i).all()
    assert graph.in_degrees.sum() == graph.num_edges
    assert graph.density == graph.num_edges / graph.num_nodes**2


@given(graphs(), st.randoms(use_true_random=False))
def test_the_order_of_the_edges_does_not_matter(graph, random):
    order = list(range(graph.num_edges))
    random.shuffle(order)
    attr = None if graph.edge_attr is None else graph.edge_attr[order]
    again = RelationalGraph(graph.num_nodes, graph.edge_index[:, order], attr)
    assert again == graph
    assert hash(again) == hash(graph)
    assert again.key == graph.key


@given(graphs())
def test_clustering_and_path_length_are_those_of_networkx(graph):
    plain = nx.Graph()
    plain.add_nodes_from(range(graph.num_nodes))
    plain.add_edges_from((u, v) for u, v in graph.edges.T.tolist() if u != v)
    assert graph.clustering == pytest.approx(nx.average_clustering(plain), abs=1e-14)
    if nx.is_connected(plain):
        assert graph.path_length == nx.average_shortest_path_length(plain)
    else:
        assert graph.path_length == math.inf


@pytest.mark.parametrize("n", [63, 64, 65, 130])
def test_clustering_and_path_length_where_a_word_ends(n):
    plain = nx.connected_watts_strogatz_graph(n, 6, 0.3, seed=1)
    graph = RelationalGraph.from_networkx(plain)
    assert graph.clustering == pytest.approx(nx.average_clustering(plain), abs=1e-14)
    assert graph.path_length == nx.average_shortest_path_length(plain)


@given(graphs())
def test_networkx_gives_an_equal_graph_back(graph):
    there = graph.to_networkx()
    assert RelationalGraph.from_networkx(there).num_edges == graph.num_edges
    if graph.edge_attr is None:
        assert RelationalGraph.from_networkx(there) == graph


@given(graphs())
def test_pickle_and_pyg_give_an_equal_graph_back(graph):
    assert pickle.loads(pickle.dumps(graph)) == graph
    data = graph.to_pyg()
    assert RelationalGraph(data.num_nodes, data.edge_index, data.edge_attr) == graph
    assert data.edge_index.dtype == torch.int64


@given(graphs())
def test_undirected_goes_both_ways(graph):
    both = graph.undirected()
    assert not both.is_directed
    arcs = set(map(tuple, both.edges.T.tolist()))
    assert arcs == {pair for u, v in graph.edges.T.tolist() for pair in ((u, v), (v, u))}
    assert both.undirected() == both
    if not graph.is_directed and graph.edge_attr is None:
        assert both is graph


def test_undirected_takes_the_mean_of_two_attributes():
    graph = RelationalGraph(3, [[0, 1, 2], [1, 0, 1]], [2.0, 4.0, 5.0])
    attr = dict(
        zip(
            map(tuple, graph.undirected().edges.T.tolist()),
            graph.undirected().edge_attr,
            strict=True,
        )
    )
    assert attr[0, 1] == attr[1, 0] == 3
    assert attr[1, 2] == attr[2, 1] == 5


def test_an_edge_goes_from_source_to_target():
    graph = RelationalGraph.from_networkx(nx.DiGraph([(0, 1), (0, 2)]))
    assert graph.is_directed
    assert graph.in_degrees.tolist() == [1, 2, 2]
    assert graph.edge_index.tolist() == [[0, 0, 1, 0, 2], [0, 1, 1, 2, 2]]
    assert (0, 1) in graph.to_networkx().edges
    assert (1, 0) not in graph.to_networkx().edges


def test_it_is_frozen():
    graph = create_graph("cycle", n=5)
    with pytest.raises(AttributeError, match="frozen"):
        graph.name = "other"
    with pytest.raises(ValueError, match="read-only"):
        graph.edges[0, 0] = 3
    graph.edge_index[0, 0] = 3  # a tensor of its own
    assert graph == create_graph("cycle", n=5)


def test_name_and_labels_do_not_count():
    edges = [[0, 1], [1, 0]]
    assert RelationalGraph(2, edges, name="a") == RelationalGraph(2, edges, labels="ab")
    assert RelationalGraph(2, edges, [1, 1]) != RelationalGraph(2, edges)
    assert RelationalGraph(2, edges) != RelationalGraph(3, edges)
    assert RelationalGraph(2, edges) != "graph"


def test_labels_come_from_and_go_to_networkx():
    graph = RelationalGraph.from_networkx(nx.Graph([("b", "a")]))
    assert graph.labels == ("b", "a")
    assert list(graph.to_networkx()) == ["b", "a"]


def test_from_edges():
    assert RelationalGraph.from_edges([(0, 1), (1, 2)]) == create_graph("path", n=3)
    assert RelationalGraph.from_edges([(0, 1)], 2, directed=True).is_directed
    assert RelationalGraph.from_edges([], 3).num_edges == 3


def test_edge_attributes_come_from_networkx():
    plain = nx.Graph()
    plain.add_edge(0, 1, length=2.5)
    graph = RelationalGraph.from_networkx(plain, edge_attrs=["length"])
    assert graph.edge_attr.tolist() == [[1], [2.5], [2.5], [1]]
    assert graph.to_networkx().edges[0, 1] == {"attr_0": 2.5}
    with pytest.raises(ValueError, match="no attribute 'width'"):
        RelationalGraph.from_networkx(plain, edge_attrs=["width"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, [[], []]), "at least one node"),
        ((2, [[0], [2]]), "node 2"),
        ((2, [[-1], [0]]), "node -1"),
        ((2, [[0.5], [1]]), "integers"),
        ((2, [[0, 1]]), r"\[2, E\]"),
        ((2, [[0, 0], [1, 1]]), "more than once"),
        ((2, [[0], [1]], [1.0, 2.0]), "edge_attr must have shape"),
        ((2, [[0], [1]], [math.nan]), "finite"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        RelationalGraph(*arguments)


def test_bad_labels_and_multigraphs():
    with pytest.raises(ValueError, match="1 labels were given for 2 nodes"):
        RelationalGraph(2, [[0], [1]], labels="a")
    with pytest.raises(ValueError, match="same label"):
        RelationalGraph(2, [[0], [1]], labels="aa")
    with pytest.raises(ValueError, match="multigraph"):
        RelationalGraph.from_networkx(nx.MultiGraph([(0, 1), (0, 1)]))
    with pytest.raises(ValueError, match="at least one node"):
        RelationalGraph.from_networkx(nx.Graph())


def test_repr_says_what_it_is():
    assert "5 nodes, 15 edges" in repr(create_graph("cycle", n=5))
    assert "directed" in repr(RelationalGraph(2, [[0], [1]]))


@settings(max_examples=20)
@given(graphs(largest=6))
def test_complete(graph):
    n = graph.num_nodes
    assert graph.is_complete == (graph.num_edges == n * n) == (graph.density == 1)
