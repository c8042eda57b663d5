"""The graph of trained weights: planted structure is read back from a dense layer."""

import numpy as np
import pytest
import torch
from torch import nn

from relmp.analysis import Results
from relmp.analysis.spot.placement import place_graphs
from relmp.analysis.spot.surface import smooth_surface
from relmp.analysis.spot.sweet_spot import spot_of
from relmp.analysis.trained import strengths, trace_training, trained_graph
from relmp.graphs import RelationalGraph, create_graph
from relmp.rounds import RelationalLinear
from relmp.rounds.channels import ChannelPartition
from tests.analysis.planted import bowl, planted_table


def test_a_relational_layer_laid_out_gives_its_graph_back():
    """Uneven nodes: 50 and 43 channels on 16 nodes."""
    graph = create_graph("ws_flex", n=16, k=4, p=0.3, seed=0)
    dense = RelationalLinear(graph, 50, 43, bias=False).to_dense()
    assert trained_graph(dense, 16, density=graph.density) == graph


def test_strength_is_the_root_mean_square_of_a_block():
    weight = torch.randn(7, 5, 3, 3, dtype=torch.float64)
    out, into = ChannelPartition(3, 7), ChannelPartition(3, 5)
    found = strengths(weight, (out, into))
    rows, columns = (
        np.split(np.arange(7), np.cumsum(out.sizes)[:-1]),
        np.split(np.arange(5), np.cumsum(into.sizes)[:-1]),
    )
    for i in range(3):
        for j in range(3):
            block = weight[rows[i]][:, columns[j]]
            assert found[i, j] == pytest.approx(block.square().mean().sqrt().item())


@pytest.mark.parametrize("density", [0.1, 0.5, 1.0])
def test_density_is_met(density):
    torch.manual_seed(0)
    graph = trained_graph(nn.Linear(64, 64), 16, density=density)
    assert graph.density == pytest.approx(density, abs=1 / 16**2)
    assert not graph.is_directed


@pytest.mark.parametrize(
    ("weight", "nodes", "density", "message"),
    [
        (torch.zeros(8), 4, 0.5, "weight of shape"),
        (torch.zeros(8, 3), 4, 0.5, "3 channels cannot be shared by 4 nodes"),
        (torch.zeros(8, 8), 4, 0.1, "density must lie between 0.25"),
        (
            torch.zeros(8, 8),
            (ChannelPartition(4, 8), ChannelPartition(4, 9)),
            0.5,
            "8 x 9 channels",
        ),
    ],
)
def test_bad_arguments(weight, nodes, density, message):
    with pytest.raises(ValueError, match=message):
        trained_graph(weight, nodes, density=density)


def test_training_is_traced_beside_its_control():
    graph = create_graph("ws_flex", n=16, k=4, p=0, seed=0)
    ring = RelationalLinear(graph, 64, 64, bias=False).to_dense().weight.detach()
    noise = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    snapshots = [
        (epoch, {"rounds.0.weight": (1 - share) * noise + 8 * share * ring, "head.bias": ring[0]})
        for epoch, share in enumerate((0.0, 1.0))
    ]
    trace = trace_training(snapshots, 16, densities=[graph.density])
    assert trace["weight"].unique().tolist() == ["rounds.0.weight"]
    first, last = trace.iloc[0], trace.iloc[1]
    assert last["clustering"] == pytest.approx(graph.clustering)
    assert last["clustering"] > last["control_clustering"] + 0.2
    assert abs(first["clustering"] - first["control_clustering"]) < 0.2


def test_graphs_are_placed_on_the_map():
    results = Results.of(planted_table(bowl, seed=0, noise=0.05))
    spot = spot_of(results)
    known = create_graph("ws_flex", n=64, k=8, p=0.15, seed=1, name="known")
    apart = RelationalGraph.from_edges([(0, 1)], 4, name="apart")
    placed = place_graphs(results, [known, apart], spot, smooth_surface(results))
    assert placed["clustering"][0] == known.clustering
    assert (
        placed["in_spot"][0] == spot.contains(np.array([[known.clustering, known.path_length]]))[0]
    )
    assert placed["expected"][0] == pytest.approx(
        bowl(np.array(known.clustering), np.array(known.path_length)), abs=0.3
    )
    assert placed["n"].tolist() == [0, 0]
    assert np.isnan(placed["expected"][1])
    assert not placed["in_spot"][1]


def test_a_measure_that_graphs_lack():
    results = Results.of(planted_table(bowl, seed=0), measures=("clustering", "width"))
    with pytest.raises(ValueError, match="'width' is no number that a relational graph has"):
        place_graphs(results, [create_graph("complete", n=4)], spot_of(results))


def test_connectomes_lie_where_they_should(shared_data):
    """C and L of the macaque and cat connectomes, and that they can be placed on the map."""
    found = {}
    results = Results.of(planted_table(bowl, seed=0))
    for name in ("mcwhole", "mcvisual", "cat"):
        lines = (shared_data / "connectomes" / f"{name}.txt").read_text().split()
        source, target = np.nonzero(np.array([[int(digit) for digit in line] for line in lines]))
        graph = RelationalGraph(len(lines), np.stack([source, target]), name=name)
        found[name] = place_graphs(results, [graph], spot_of(results)).iloc[0]
    assert found["mcwhole"]["clustering"] == pytest.approx(0.503, abs=5e-4)
    assert found["mcwhole"]["path_length"] == pytest.approx(2.245, abs=5e-4)
    assert found["mcvisual"]["clustering"] == pytest.approx(0.634, abs=5e-4)
    assert found["cat"]["path_length"] == pytest.approx(1.633, abs=5e-4)
