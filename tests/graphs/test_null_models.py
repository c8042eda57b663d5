"""Null models keep what they promise, and nothing else."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relmp.graphs import (
    RelationalGraph,
    clustering_preserving_rewire,
    create_graph,
    degree_preserving_rewire,
    same_size_graph,
)

SEEDS = st.integers(0, 2**32)
FEW = settings(max_examples=30)


def out_degrees(graph):
    return np.bincount(graph.edges[0], minlength=graph.num_nodes)


@st.composite
def graphs(draw):
    seed = draw(SEEDS)
    if draw(st.booleans()):
        return create_graph("random_in_regular", n=draw(st.integers(2, 80)), k=1, seed=seed)
    n = draw(st.integers(8, 80))
    return create_graph("ws_flex", n=n, k=6, p=draw(st.floats(0, 1)), seed=seed)


@FEW
@given(graphs(), SEEDS)
def test_degrees_stay(graph, seed):
    other = degree_preserving_rewire(graph, seed=seed)
    assert (other.in_degrees == graph.in_degrees).all()
    assert (out_degrees(other) == out_degrees(graph)).all()
    if not graph.is_directed:
        assert not other.is_directed
    assert other == degree_preserving_rewire(graph, seed=seed)


def test_it_does_change_and_the_seed_matters():
    graph = create_graph("ring_lattice", n=64, k=8)
    one, two = (degree_preserving_rewire(graph, seed=seed) for seed in (0, 1))
    assert one != graph != two != one
    assert one.clustering < 0.3 < graph.clustering
    assert degree_preserving_rewire(graph, steps=0) == graph


def test_directed_graphs_mix():
    graph = create_graph("random_directed", n=40, p=0.2, seed=0)
    other = degree_preserving_rewire(graph)
    same = set(map(tuple, graph.edges.T.tolist())) & set(map(tuple, other.edges.T.tolist()))
    assert len(same) - 40 < (graph.num_edges - 40) / 2


@FEW
@given(SEEDS)
def test_connectivity_can_be_kept(seed):
    graph = create_graph("cycle", n=30)
    assert np.isfinite(degree_preserving_rewire(graph, seed=seed, connected=True).path_length)


@FEW
@given(SEEDS, st.floats(0.002, 0.1))
def test_clustering_can_be_kept(seed, tolerance):
    graph = create_graph("ws_flex", n=40, k=6, p=0.1, seed=1)
    other = clustering_preserving_rewire(graph, seed=seed, tolerance=tolerance)
    assert abs(other.clustering - graph.clustering) <= tolerance
    assert (other.in_degrees == graph.in_degrees).all()
    assert other != graph


@FEW
@given(graphs(), SEEDS)
def test_same_size(graph, seed):
    other = same_size_graph(graph, seed)
    assert (other.num_nodes, other.num_edges) == (graph.num_nodes, graph.num_edges)
    assert graph.is_directed or not other.is_directed


def test_labels_stay_and_attributes_go():
    graph = RelationalGraph.from_networkx(nx.relabel_nodes(nx.cycle_graph(6), str))
    assert degree_preserving_rewire(graph).labels == graph.labels
    weighted = RelationalGraph(6, graph.edges, np.arange(graph.num_edges) + 1.0)
    assert degree_preserving_rewire(weighted.undirected()).edge_attr is None


@pytest.mark.parametrize("n", [1, 2, 3])
def test_graphs_with_nothing_to_exchange(n):
    graph = create_graph("path", n=n)
    assert degree_preserving_rewire(graph) == graph


def test_bad_input():
    ring, directed = create_graph("cycle", n=6), create_graph("random_directed", n=6, p=0.6, seed=1)
    with pytest.raises(ValueError, match="steps must be"):
        degree_preserving_rewire(ring, steps=-1)
    with pytest.raises(ValueError, match="seed must be"):
        degree_preserving_rewire(ring, seed=-1)
    with pytest.raises(ValueError, match="connected=True needs"):
        degree_preserving_rewire(create_graph("group", n=6, groups=2), connected=True)
    with pytest.raises(ValueError, match="undirected graph"):
        clustering_preserving_rewire(directed)
    with pytest.raises(ValueError, match="tolerance"):
        clustering_preserving_rewire(ring, tolerance=-1)
