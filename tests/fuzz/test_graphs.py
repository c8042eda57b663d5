"""Graphs from any call, text or file: a graph, or one sentence; and what is written comes back."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import strategies as st

import relmp
from relmp.graphs import GENERATORS, RelationalGraph
from relmp.graphs.generators.gallery import EXAMPLES
from relmp.graphs.layers.mapping import LayerGraphs
from relmp.graphs.saving import FORMATS
from relmp.graphs.serialise import graph_to_dict, graphs_from_dict
from tests.fuzz.how import changed_text, damage, fuzzed, refused_in_a_sentence
from tests.strategies import attributed_graphs, relational_graphs

MOST_SECONDS = 20.0
"""So long may a call take; what would take longer is refused at once."""
VALUES = st.one_of(
    st.integers(-3, 40), st.integers(-3, 40), st.floats(-1, 2), st.floats(), st.integers(),
    st.booleans(), st.none(), st.text(max_size=3), st.sampled_from(["[1]", "(2,)", "{}", "{3}"]),
    st.sampled_from(["n", "-", "1j", "b'a'", "'a' 'b'", "1_0", "0x8", "1e400", "--4",
    "8if 1else 2"]),
)  # fmt: skip


@st.composite
def calls(draw: st.DrawFn) -> str:
    """A call of a generator, whose arguments are mostly near those of its example."""
    name = draw(st.sampled_from(sorted(EXAMPLES)))
    arguments = {key: repr(value) for key, value in EXAMPLES[name].items()}
    if name == "lps":
        arguments |= {"n": "120", "d": "6"}
    for key in draw(st.lists(st.sampled_from(sorted(arguments)), unique=True)):
        value = draw(VALUES)
        arguments[key] = value if isinstance(value, str) else repr(value)
    for key in draw(
        st.lists(st.sampled_from(["tries", "seed", "n", "name", "p", "x"]), max_size=1)
    ):
        arguments[key] = repr(draw(st.integers(-1, 5)))
    items = draw(st.permutations(sorted(arguments.items())))
    return f"{name}({', '.join(f'{key}={value}' for key, value in items)})"


@fuzzed(1600, calls() | changed_text(calls()))
def test_any_call(text: str) -> None:
    began = time.monotonic()
    with refused_in_a_sentence():
        graph = relmp.parse_graph(text)
        again = relmp.parse_graph(graph.name)
        if "seed=None" not in text and "seed" in text:
            assert again == graph, "the same call gives another graph"
        assert relmp.parse_graph(repr(again)).num_nodes == graph.num_nodes
    assert time.monotonic() - began < MOST_SECONDS


@fuzzed(
    800, st.text(max_size=40) | changed_text(st.sampled_from([*EXAMPLES, "cat", "k=3@x", "a.csv"]))
)
def test_any_text(text: str) -> None:
    with refused_in_a_sentence():
        assert isinstance(relmp.parse_graph(text), RelationalGraph)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(
        st.text(max_size=2), inner, max_size=2),
    max_leaves=6,
)  # fmt: skip
ARRAYS = st.builds(
    lambda shape, kind: np.arange(math.prod(shape)).reshape(shape).astype(kind),
    st.lists(st.integers(0, 4), max_size=3).map(tuple),
    st.sampled_from(
        ["int64", "float32", "bool", "complex128", "U2", "uint64", "object", "datetime64[s]"]
    ),
)


@fuzzed(1200, st.sampled_from(sorted(GENERATORS)), st.dictionaries(
    st.sampled_from(["n", "k", "p", "d", "m", "seed", "tries", "name", "radius", "levels"]),
    ANY))  # fmt: skip
def test_any_arguments(name: str, arguments: dict[str, Any]) -> None:
    if isinstance(arguments.get("n"), int) and name == "lps":
        arguments["n"] = 3
    with refused_in_a_sentence():
        assert isinstance(relmp.create_graph(name, **arguments), RelationalGraph)


@fuzzed(
    1200,
    st.integers(-1, 6) | ANY,
    ARRAYS | ANY,
    st.none() | ARRAYS | ANY,
    st.booleans(),
    st.none() | ANY,
)
def test_any_edges(n: Any, edges: Any, attr: Any, loops: bool, labels: Any) -> None:
    with refused_in_a_sentence():
        graph = RelationalGraph(n, edges, attr, self_loops=loops, labels=labels)
        assert graph.edges.shape == (2, graph.num_edges)
        assert graphs_from_dict(json.loads(json.dumps(graph_to_dict(graph)))) == graph


@fuzzed(
    800,
    ARRAYS | ANY,
    st.sampled_from([None, "edges", "matrix"]),
    st.sampled_from([None, True, False]),
)
def test_any_object(source: Any, kind: Any, directed: bool | None) -> None:
    if isinstance(source, str):
        return
    with refused_in_a_sentence():
        assert isinstance(relmp.load_graph(source, kind=kind, directed=directed), RelationalGraph)


@fuzzed(600, attributed_graphs(), st.sampled_from(sorted(FORMATS)))
def test_what_is_written_comes_back(folder: Path, graph: RelationalGraph, ending: str) -> None:
    path = folder / f"g{ending}"
    with refused_in_a_sentence() as said:
        relmp.save_graph(graph, path)
    if said:
        return
    again = relmp.load_graph(path, directed=True if ending == ".csv" else None)
    assert again == graph
    if graph.labels is not None and ending in (".csv", ".graphml"):
        labels = again.labels or range(graph.num_nodes)
        assert list(map(str, labels)) == list(map(str, graph.labels))


@fuzzed(400, attributed_graphs(), attributed_graphs())
def test_other_libraries_give_it_back(graph: RelationalGraph, other: RelationalGraph) -> None:
    attrs = (
        [] if graph.edge_attr is None else [f"attr_{d}" for d in range(graph.edge_attr.shape[1])]
    )
    if graph.num_self_loops == graph.num_nodes and not attrs:
        assert RelationalGraph.from_networkx(graph.to_networkx()) == graph
        assert relmp.load_graph(nx.DiGraph(graph.to_networkx())) == graph
    data = graph.to_pyg()
    again = RelationalGraph(data.num_nodes, data.edge_index, data.edge_attr, self_loops=False)
    assert again == graph
    both = LayerGraphs({"a*": graph, "b": None, "c": other})
    assert graphs_from_dict(json.loads(json.dumps(graph_to_dict(both)))) == both
    assert (graph == other) == (graph.key == other.key)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


@fuzzed(1600, relational_graphs(), st.sampled_from(sorted(FORMATS)), damage(), st.booleans())
def test_damaged_files(
    folder: Path, graph: RelationalGraph, ending: str, damaged: Callable[[bytes], bytes], few: bool
) -> None:
    path = folder / f"damaged{ending}"
    relmp.save_graph(graph, path)
    path.write_bytes(damaged(path.read_bytes()))
    with refused_in_a_sentence():
        assert isinstance(relmp.load_graph(path, directed=few or None), RelationalGraph)


@fuzzed(800, relational_graphs(), damage())
def test_damaged_descriptions(graph: RelationalGraph, damaged: Callable[[bytes], bytes]) -> None:
    """What a configuration says of a graph is the graph, or is refused: the key tells."""
    text = damaged(json.dumps(graph_to_dict(graph)).encode()).decode("utf-8", "replace")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return
    with refused_in_a_sentence():
        again = graphs_from_dict(values)
        assert again == graph or again.key == values["key"]
