"""Names both ways: from graphs to names that people read, and back."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import pytest

import relmp
from relmp.graphs.parse import short_names


def test_short_names_keep_what_differs() -> None:
    names = [
        "ws_flex(n=64, k=13.4812, p=0.2, seed=0)", "ws_flex(n=64, k=4, p=0.1, seed=0)",
        "ws_flex(n=64, k=4, p=0.2, seed=0)", "complete(n=64)", "C. elegans", "f(x=1)",
    ]  # fmt: skip
    assert short_names(names) == [
        "k=13.48", "k=4, p=0.1", "k=4, p=0.2", "complete", "C. elegans", "f(x=1)",
    ]  # fmt: skip
    paper = [graph.name for graph in relmp.sample_graphs(64, 52)]
    assert len(set(short_names(paper))) == 52
    assert max(map(len, short_names(paper))) < 24


def test_whatever_is_shown_leads_back_to_the_graph(tmp_path: Path) -> None:
    given = relmp.RelationalGraph.from_networkx(nx.petersen_graph(), name="Petersen's")
    swept = [given, *(relmp.create_graph("random_regular", n=10, d=d, seed=1) for d in (4, 6))]
    relmp.run_sweep(
        "mlp", graphs=swept, seeds=1, width=20, train_size=64, epochs=1, workers=0, out=tmp_path,
        show_progress=False,
    )  # fmt: skip
    table = relmp.collect(tmp_path)
    by_key = {graph.key: graph for graph in swept}
    for _, row in table[table["density"] < 1].iterrows():
        graph = by_key[row["graph_key"]]
        assert relmp.parse_graph(row["graph"], folder=tmp_path) == graph
        assert relmp.parse_graph(f"{row['graph_key']}@{tmp_path}") == graph
        assert relmp.parse_graph(str(tmp_path / row["run"])) == graph
        if graph is not given:
            assert relmp.parse_graph(row["graph"]) == graph
            assert relmp.parse_graph(repr(graph)) == graph
    assert relmp.parse_graph(f"d=4@{tmp_path}") == swept[1]
    with pytest.raises(
        ValueError, match=r"no graph 'd=5'; its graphs are .*complete.* Did you mean"
    ):
        relmp.parse_graph("d=5", folder=tmp_path)
    with pytest.raises(ValueError, match=r"key of a graph or a run; say in which folder"):
        relmp.parse_graph(given.key)
    with pytest.raises(ValueError, match="holds no graphs"):
        relmp.parse_graph("d=4", folder=tmp_path.parent / "none")


def test_everything_that_is_listed_can_be_chosen() -> None:
    assert {"mlp", "resnet18"} <= set(relmp.list_models())
    assert relmp.list_models("resnet*") == [n for n in relmp.list_models() if n[:6] == "resnet"]
    for name in relmp.list_graphs("*r*"):
        if name in relmp.graphs.GENERATORS:
            assert relmp.parse_graph(name).num_nodes > 1
    graph = relmp.create_graph("cycle", n=4)
    for name in relmp.list_messages():
        arguments = {"class_shared": "(num_classes=2)", "edge_attr": ""}.get(name, "")
        if name not in ("edge_attr", "class_shared"):  # these need attributes of the edges
            relmp.Round(graph, 8, 8, message=name + arguments)
    assert {"sum", "max", "quantile", "softmax"} <= set(relmp.list_aggregations())
    for name in ("sum", "mean", "max", "median", "softmax"):
        relmp.Round(graph, 8, 8, aggr=name)
    assert {"digits", "mnist1d"} <= set(relmp.list_data())
