"""A graph knows the call that made it; it is not part of what the graph is."""

from __future__ import annotations

import copy
import pickle

from relmp.graphs import RelationalGraph, create_graph, sample_graphs


def test_a_graph_knows_the_call_that_made_it() -> None:
    graph = create_graph("ws_flex", n=8, k=3.5, p=0.2, seed=4)
    assert graph.generator is not None
    assert graph.generator.name == "ws_flex"
    assert create_graph(graph.generator.name, **graph.generator.arguments) == graph
    for twin in (pickle.loads(pickle.dumps(graph)), copy.deepcopy(graph)):
        assert twin.generator == graph.generator


def test_the_call_does_not_count_for_equality() -> None:
    graph = create_graph("ws_flex", n=8, k=3.5, p=0.2, seed=4)
    plain = RelationalGraph(8, graph.edges)
    assert plain.generator is None
    assert plain == graph
    assert hash(plain) == hash(graph)


def test_compiled_graph_sets_know_it_too() -> None:
    graph = sample_graphs(16, 326)[7]
    assert graph.generator is not None
    assert create_graph(graph.generator.name, **graph.generator.arguments) == graph
