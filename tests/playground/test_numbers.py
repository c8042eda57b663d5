"""The page's numbers are relmp's: graphs, measures, node sizes, widths, one training step."""

from __future__ import annotations

import json
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

import relmp
from relmp.graphs import RelationalGraph, create_graph
from relmp.models.budget import matched_options
from relmp.rounds import ChannelPartition, Round
from relmp.rounds.layers import keep_dense_weight
from relmp.rounds.layout import EdgeLayout
from tests.analysis.browser import Browser

WS_FLEX = [
    (3, 2, 0.5, 0), (4, 3.5, 0.9, 7), (8, 2, 0.3, 1), (8, 8, 1, 5), (15, 15, 0.4, 2),
    (16, 4, 0.15, 1), (16, 4, 1, 3), (16, 5.5, 0.2, 9999), (31, 2.1, 0.6, 12), (33, 30.25, 0.7, 4),
    (64, 8.5, 0.2, 3), (64, 20.25, 0, 0), (64, 2, 0.05, 8), (100, 12.75, 1, 4294967301),
]  # fmt: skip

GRAPHS = {
    "small world": create_graph("ws_flex", n=16, k=4, p=0.15, seed=1),
    "dense": create_graph("ws_flex", n=12, k=9.5, p=0.5, seed=2),
    "64 nodes": create_graph("ws_flex", n=64, k=6, p=0.3, seed=0),
    "complete": create_graph("complete", n=8),
    "star": create_graph("star", n=9),
    "cycle": create_graph("cycle", n=10),
    "one node": create_graph("complete", n=1),
    "karate club": RelationalGraph.from_networkx(nx.karate_club_graph()),
    "directed": create_graph("random_directed", n=14, p=0.3, seed=0),
    "chain of arcs": RelationalGraph.from_edges([(0, 1), (1, 2), (4, 2)], 5, directed=True),
    "in two parts": RelationalGraph.from_edges([(0, 1), (1, 2), (2, 0), (3, 4)], 6),
    "no edges": RelationalGraph.from_edges([], 7),
}


def written(graph: RelationalGraph) -> str:
    """JavaScript that makes the graph."""
    edges = [[int(u), int(v)] for u, v in graph.edges.T if u != v]
    return f"new relmp.RelationalGraph({graph.num_nodes}, {json.dumps(edges)})"


def graph_of(lines: str) -> RelationalGraph:
    """The graph that copied Python makes, with nothing imported before."""
    names: dict[str, Any] = {}
    exec(lines, names)
    graph = names["graph"]
    assert isinstance(graph, RelationalGraph)
    return graph


def test_ws_flex_draws_the_same_graphs(running: Browser) -> None:
    for n, k, p, seed in WS_FLEX:
        call = json.dumps({"n": n, "k": k, "p": p, "seed": seed})
        edges = running.run(f"return relmp.GENERATORS.ws_flex({call}).edges()")
        expected = create_graph("ws_flex", n=n, k=k, p=p, seed=seed)
        assert RelationalGraph(n, np.array(edges).T) == expected, expected.name


@pytest.mark.parametrize("name", GRAPHS)
def test_measures(name: str, running: Browser) -> None:
    graph = GRAPHS[name]
    text = running.run(
        f"const m = {written(graph)}.measures;"
        "return [m.clustering, String(m.pathLength), m.density, m.numEdges]"
    )
    assert text[0] == graph.clustering
    assert float(text[1].replace("Infinity", "inf")) == graph.path_length
    assert text[2:] == [graph.density, graph.num_edges]


def test_node_sizes(running: Browser) -> None:
    cases = [(n, n * (1 + n % 3) + more) for n in range(1, 101) for more in (0, 1, n // 2, n - 1)]
    sizes = running.run(f"return {json.dumps(cases)}.map(([n, c]) => relmp.nodeSizes(n, c))")
    for (n, channels), found in zip(cases, sizes, strict=True):
        assert found == ChannelPartition(n, channels).sizes.tolist()


@pytest.mark.parametrize("name", GRAPHS)
def test_widths_are_matched_as_relmp_matches_them(name: str, running: Browser) -> None:
    graph = GRAPHS[name]
    for baseline in (graph.num_nodes, graph.num_nodes + 5, max(64, graph.num_nodes)):
        options = matched_options(
            "mlp", graph=graph, num_classes=2, width=baseline, input_shape=(2,)
        )
        model = relmp.create_model("mlp", graph=graph, num_classes=2, **options)
        width, flops = running.run(
            f"const g = {written(graph)}, w = relmp.matchedWidth(g, {baseline});"
            f"return [w, new relmp.Network(g, {baseline}, w).flops]"
        )
        assert width == options["width"]
        assert flops == relmp.count_flops(model, (2,))


STEP = """
const graph = %s, network = new relmp.Network(graph, %d, %d);
network.draw(%d, 1.3);
const rng = new relmp.PythonRandom(5);
for (const map of network.maps) map.bias.value.forEach((_, c) => { map.bias.value[c] = 0.1 * rng.normal(); });
const points = Float64Array.from(%s.flat()), labels = Uint8Array.from(%s);
const list = (values) => Array.from(values);
const parameters = () => network.maps.map((map) => [list(map.weight.value), list(map.bias.value)]);
const before = parameters(), scores = list(network.forward(points, labels.length));
const losses = [], gradients = [];
for (let step = 0; step < 2; step++) {
  losses.push(network.trainStep(points, labels, 0.01));
  gradients.push(network.maps.map((map) => [list(map.weight.gradient), list(map.bias.gradient)]));
}
return {
  before, scores, losses, gradients, after: parameters(),
  layout: network.maps.map((map) => [list(map.rows), list(map.columns), map.inChannels]),
};
"""  # noqa: E501


def dense(values: list[float], layout: Any) -> torch.Tensor:
    """Values of a sparse map as a matrix with zeros elsewhere."""
    rows, columns, in_channels = layout
    matrix = torch.zeros(len(rows) - 1, in_channels, dtype=torch.float64)
    row = np.repeat(np.arange(len(rows) - 1), np.diff(rows))
    matrix[row, columns] = torch.tensor(values, dtype=torch.float64)
    return matrix


def python_network(graph: RelationalGraph, stem: int, width: int, page: Any) -> nn.Sequential:
    """The same network of relmp's own layers, with the page's weights."""
    rounds = [
        relmp.RelationalLinear(graph, a, width, execution="message_passing")
        for a in (stem, width, width)
    ]
    layers: list[nn.Module] = [nn.Linear(2, stem), *rounds, nn.Linear(width, 2)]
    for layer, (weight, bias), layout in zip(layers, page["before"], page["layout"], strict=True):
        layer.double()
        matrix = dense(weight, layout)
        with torch.no_grad():
            if isinstance(layer, Round):
                keep_dense_weight(layer, matrix)
            else:
                layer.weight.copy_(matrix)
            layer.bias.copy_(torch.tensor(bias, dtype=torch.float64))
    return nn.Sequential(*[m for layer in layers for m in (layer, nn.ReLU())][:-1])


def weights_of(network: nn.Sequential, *, gradient: bool) -> list[tuple[torch.Tensor, ...]]:
    """Weight, as a dense matrix, and bias of every layer; or their gradients."""
    found = []
    for layer in network[::2]:
        weight, bias = layer.weight, layer.bias
        if gradient:
            weight, bias = weight.grad, bias.grad
        if isinstance(layer, Round):
            weight = EdgeLayout(layer.form)(weight)
        found.append((weight.detach(), bias.detach()))
    return found


@pytest.mark.parametrize("name", GRAPHS)
def test_forward_gradients_and_a_step_of_training(name: str, running: Browser) -> None:
    graph, count = GRAPHS[name], 9
    stem, width = graph.num_nodes + 3, graph.num_nodes + 7  # uneven node sizes
    points = np.random.default_rng(1).uniform(-1, 1, (2, count))
    labels = [b % 2 for b in range(count)]
    script = STEP % (written(graph), stem, width, 4, json.dumps(points.tolist()), labels)
    page = running.run(script)
    network = python_network(graph, stem, width, page)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    x, y = torch.from_numpy(points.T.copy()), torch.tensor(labels)
    close(page["scores"], network(x).detach().T.flatten())
    for loss, gradients in zip(page["losses"], page["gradients"], strict=True):
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(network(x), y)
        value.backward()
        close(loss, value.detach())
        compare(gradients, weights_of(network, gradient=True), page["layout"])
        optimizer.step()
    compare(page["after"], weights_of(network, gradient=False), page["layout"])


def compare(page: Any, python: list[tuple[torch.Tensor, ...]], layouts: Any) -> None:
    for (weight, bias), (own_weight, own_bias), layout in zip(page, python, layouts, strict=True):
        close(dense(weight, layout), own_weight)
        close(bias, own_bias)


def close(page: Any, python: torch.Tensor) -> None:
    found: npt.NDArray[np.float64] = np.asarray(page, dtype=np.float64)
    np.testing.assert_allclose(found, python.numpy(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", GRAPHS)
def test_the_copied_python_makes_an_equal_graph(name: str, running: Browser) -> None:
    lines = running.run(f"return relmp.pythonLines({{name: 'edited'}}, {written(GRAPHS[name])})")
    assert graph_of(lines) == GRAPHS[name]


def test_the_copied_python_of_every_preset_makes_an_equal_graph(browser: Browser) -> None:
    presets = browser.run(
        "return Array.from(document.getElementById('presets').children, (b) => b.id)"
    )
    assert len(presets) == 7
    for preset in presets:
        lines, n, edges = browser.run(
            f"document.getElementById('{preset}').click();"
            "const {graph} = relmp.state;"
            "return [document.getElementById('python').textContent, graph.n, graph.edges()]"
        )
        edge_index = np.array(edges, dtype=np.int64).reshape(-1, 2).T
        assert graph_of(lines) == RelationalGraph(n, edge_index), preset
