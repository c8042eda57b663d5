"""Measures: those of networkx where it has them, known values otherwise."""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from relmp.graphs import GRAPH_MEASURES, RelationalGraph, create_graph, measure_graphs
from relmp.graphs.generators.gallery import EXAMPLES, example_graph
from relmp.graphs.measures import describe, measure_graph


def measure(graph, name):
    return graph.measures(name)[name]


def plain(graph):
    return nx.Graph(graph.undirected().to_networkx())


@st.composite
def connected(draw):
    n = draw(st.integers(6, 24))
    seed = draw(st.integers(0, 10**6))
    return create_graph("erdos_renyi", n=n, p=draw(st.floats(0.35, 0.8)), seed=seed)


@settings(max_examples=30)
@given(connected())
def test_those_that_networkx_has(graph):
    G = plain(graph)
    degrees = np.array([d for _, d in G.degree])
    expected = {
        "num_nodes": len(G),
        "num_edges": 2 * G.number_of_edges() + len(G),
        "clustering": nx.average_clustering(G),
        "path_length": nx.average_shortest_path_length(G),
        "degree_mean": degrees.mean(),
        "degree_std": degrees.std(),
        "degree_min": degrees.min(),
        "degree_max": degrees.max(),
        "diameter": nx.diameter(G),
        "transitivity": nx.transitivity(G),
        "algebraic_connectivity": nx.laplacian_spectrum(G)[1],
        "reciprocity": 1,
    }
    assert measure_graph(graph, expected) == pytest.approx(expected, abs=1e-9)
    if degrees.std() > 0:
        found = measure(graph, "assortativity")
        assert found == pytest.approx(nx.degree_assortativity_coefficient(G), abs=1e-9)
    communities = nx.community.greedy_modularity_communities(G)
    assert measure(graph, "modularity") >= nx.community.modularity(G, communities) - 0.1


@settings(max_examples=10)
@given(connected())
def test_curvature_is_that_of_the_linear_programme(graph):
    G = plain(graph)
    distance = dict(nx.all_pairs_shortest_path_length(G))
    found = []
    for u, v in G.edges:
        near_u, near_v = list(G[u]), list(G[v])
        cost = np.array([[distance[a][b] for b in near_v] for a in near_u])
        rows = np.kron(np.eye(len(near_u)), np.ones(len(near_v)))
        columns = np.kron(np.ones(len(near_u)), np.eye(len(near_v)))
        mass = [1 / len(near_u)] * len(near_u) + [1 / len(near_v)] * len(near_v)
        plan = linprog(cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=mass)
        found.append(1 - plan.fun)
    assert measure(graph, "curvature") == pytest.approx(np.mean(found), abs=1e-7)


@given(st.integers(3, 12))
def test_known_values_of_the_complete_graph(n):
    found = create_graph("complete", n=n).measures()
    assert found["clustering"] == found["path_length"] == found["density"] == 1
    assert found["curvature"] == pytest.approx((n - 2) / (n - 1))
    assert found["entropy"] == pytest.approx(math.log(n - 1))
    assert found["algebraic_connectivity"] == pytest.approx(n)
    assert found["spectral_gap"] == pytest.approx(1 - 1 / (n - 1))
    assert found["sigma"] == 1
    assert found["omega"] == 0
    assert math.isnan(found["assortativity"])


@given(st.integers(7, 30))
def test_known_values_of_the_ring(n):
    found = create_graph("cycle", n=n).measures("curvature", "entropy", "spectral_gap", "diameter")
    assert found["curvature"] == pytest.approx(0)
    assert found["entropy"] == pytest.approx(math.log(2))
    second = max(abs(math.cos(2 * math.pi * j / n)) for j in range(1, n))
    assert found["spectral_gap"] == pytest.approx(1 - second, abs=1e-9)
    assert found["diameter"] == n // 2


def test_small_worlds_have_a_large_sigma_and_an_omega_near_0():
    ring = create_graph("ring_lattice", n=100, k=6)
    small = create_graph("ws_flex", n=100, k=6, p=0.1, seed=0)
    chance = create_graph("random_regular", n=100, d=6, seed=0)
    assert measure(small, "sigma") > 3
    assert abs(measure(chance, "sigma") - 1) < 0.3
    assert measure(ring, "omega") < -0.5 < measure(small, "omega") < 0.5
    assert measure(chance, "omega") > 0.8


def test_directed_graphs():
    graph = RelationalGraph.from_edges([(0, 1), (1, 0), (1, 2)], directed=True)
    assert measure(graph, "reciprocity") == pytest.approx(2 / 3)
    assert measure(graph, "diameter") == 2
    assert measure(graph, "num_edges") == 6
    expected = nx.reciprocity(nx.DiGraph([(0, 1), (1, 0), (1, 2)]))
    assert measure(graph, "reciprocity") == expected


def test_a_disconnected_graph_and_a_single_node():
    pieces = create_graph("group", n=6, groups=2).measures()
    assert pieces["path_length"] == pieces["diameter"] == math.inf
    assert pieces["algebraic_connectivity"] == pytest.approx(0, abs=1e-12)
    assert pieces["spectral_gap"] == pytest.approx(0, abs=1e-12)
    alone = create_graph("complete", n=1).measures()
    assert alone["num_nodes"] == alone["num_edges"] == alone["density"] == 1
    assert all(math.isnan(alone[name]) for name in ("curvature", "entropy", "modularity", "sigma"))


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "lps"])
def test_every_example_can_be_measured(name):
    graph = example_graph(name)
    found = graph.measures()
    assert tuple(found) == GRAPH_MEASURES.in_order()
    assert found == pytest.approx(graph.measures(), nan_ok=True)  # the same again


def test_a_table_has_a_row_a_graph():
    graphs = [create_graph("cycle", n=5), create_graph("star", n=5)]
    table = measure_graphs(graphs, ["diameter", "clustering"])
    assert list(table.columns) == ["name", "key", "diameter", "clustering"]
    assert table["name"].tolist() == ["cycle(n=5)", "star(n=5)"]
    assert table["key"].tolist() == [graph.key for graph in graphs]
    assert table["diameter"].tolist() == [2, 2]
    assert list(measure_graphs(graphs).columns[2:]) == list(GRAPH_MEASURES.in_order())
    assert list(measure_graphs([], ["diameter"]).columns) == ["name", "key", "diameter"]


def test_names():
    with pytest.raises(ValueError, match="Did you mean 'diameter'"):
        create_graph("cycle", n=4).measures("diametre")
    assert all(describe(name).endswith((".", ")")) or describe(name) for name in GRAPH_MEASURES)
