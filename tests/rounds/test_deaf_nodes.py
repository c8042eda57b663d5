"""Graphs whose diagonal is as given: a node may hear nothing, or everybody but itself."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

import relmp
from relmp.graphs import RelationalGraph, degree_preserving_rewire, same_size_graph
from relmp.graphs.serialise import graph_from_dict, graph_to_dict
from relmp.rounds import RelationalConv2d, RelationalLinear, Round
from relmp.rounds.execution import EXECUTIONS
from tests.rounds.test_aggregation import BY_TEXT

# Node 3 hears nothing, node 4 only speaks to it is not heard; 0 hears itself.
ARCS = np.array([(0, 0), (1, 0), (0, 1), (2, 1), (3, 2), (4, 2), (1, 4)]).T
BARE = RelationalGraph(5, ARCS, self_loops=False)
PINNED = [execution for execution in EXECUTIONS if execution not in ("auto", "gpu_kernel")]


def test_the_diagonal_is_as_given() -> None:
    assert BARE.num_edges == 7
    assert BARE.num_self_loops == 1
    assert BARE.in_degrees.tolist() == [2, 2, 2, 0, 1]
    full = RelationalGraph(5, ARCS)
    assert (full.num_edges, full.num_self_loops) == (11, 5)
    assert BARE.key != full.key
    loops = np.stack([np.arange(5)] * 2)
    listed = np.unique(np.concatenate([ARCS, loops], axis=1), axis=1)
    assert RelationalGraph(5, listed, self_loops=False).key == full.key
    assert (BARE.clustering, BARE.path_length) == (full.clustering, full.path_length)


def test_the_diagonal_travels(tmp_path: Any) -> None:
    values = json.loads(json.dumps(graph_to_dict(BARE)))
    assert graph_from_dict(values) == BARE
    assert "self_loops" not in graph_to_dict(RelationalGraph(5, ARCS))
    import pickle

    assert pickle.loads(pickle.dumps(BARE)) == BARE
    assert BARE.undirected().num_self_loops == 1
    for model in (degree_preserving_rewire(BARE, seed=1), same_size_graph(BARE, seed=1)):
        assert (model.num_edges, model.num_self_loops) == (7, 1)
    with pytest.raises(ValueError, match="4 of 5 nodes do not hear themselves"):
        relmp.save_graph(BARE, tmp_path / "graph.csv")


@pytest.mark.parametrize("execution", PINNED)
def test_every_execution_gives_zero_to_a_deaf_node(execution: str) -> None:
    torch.manual_seed(0)
    linear = RelationalLinear(BARE, 11, 13, bias=False, execution=execution).double()
    weight = torch.zeros(13, 11, dtype=torch.float64)
    ends_in, ends_out = (
        np.cumsum([0, *part.sizes]) for part in (linear.in_partition, linear.out_partition)
    )
    for e, (source, target) in enumerate(BARE.edges.T.tolist()):
        for o in range(linear.out_partition.sizes[target]):
            for i in range(linear.in_partition.sizes[source]):
                weight[ends_out[target] + o, ends_in[source] + i] = linear.weight[e, o, i]
    weight = weight.detach().requires_grad_()
    x = torch.randn(4, 11, dtype=torch.float64, requires_grad=True)
    out, expected = linear(x), x @ weight.T
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    assert not out[:, ends_out[3] : ends_out[4]].any()
    direction = torch.randn_like(out)
    ours, theirs = (torch.autograd.grad(y, x, direction)[0] for y in (out, expected))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("execution", [e for e in PINNED if e != "gathered"])
@pytest.mark.parametrize("aggr", ["sum", "mean"])
def test_convolutions_over_bare_graphs(execution: str, aggr: str) -> None:
    torch.manual_seed(0)
    layer = RelationalConv2d(BARE, 11, 13, 3, padding=1, aggr=aggr, execution=execution).double()
    x = torch.randn(2, 11, 6, 5, dtype=torch.float64)
    torch.testing.assert_close(layer(x), layer.to_dense()(x), rtol=0, atol=1e-12)
    assert layer.bias.isfinite().all()
    # The deviation is that of a graph with its density of weights.
    wide = RelationalConv2d(BARE, 250, 250, 3)
    expected = (2 / (9 * 250 * BARE.density)) ** 0.5
    assert float(wide.weight.detach().std()) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("name", sorted(BY_TEXT))
def test_every_aggregation_gives_zero_to_a_deaf_node(name: str) -> None:
    torch.manual_seed(0)
    layer = Round(BARE, 11, 13, aggr=BY_TEXT[name][0], bias=False, execution="message_passing")
    x = torch.randn(3, 11, requires_grad=True)
    out = layer(x)
    start = int(layer.out_partition.sizes[:3].sum())
    assert not out[:, start : start + int(layer.out_partition.sizes[3])].any()
    assert out.any()
    gradients = torch.autograd.grad(out.square().sum(), [x, *layer.parameters()])
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


@pytest.mark.parametrize(
    "message", ["linear", "gated", "attention", "low_rank", "shared", "scalar", "frozen", "mlp"]
)
@pytest.mark.parametrize("init", [False, True])
def test_every_message_speaks_over_bare_graphs(message: str, init: bool) -> None:
    torch.manual_seed(0)
    layer = Round(BARE, 11, 13, message=message, execution="message_passing")
    if init:
        relmp.initialise_by_degree(layer, torch.relu)
    out = layer(torch.randn(3, 11))
    assert bool(out.isfinite().all())
    assert layer.flops() > 0
