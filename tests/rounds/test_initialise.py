"""Weights by in-degree: 20 rounds on, activations are as large as they were."""

from __future__ import annotations

from functools import partial
from typing import Any

import networkx as nx
import pytest
import torch
from torch import nn

import relmp
from relmp.graphs import RelationalGraph
from relmp.rounds import Round, initialise_by_degree

# In-degrees from 3 to about 20 of 40: hubs and leaves in one graph.
GRAPH = RelationalGraph.from_networkx(nx.barabasi_albert_graph(40, 2, seed=0))
CHANNELS = 40 * 5 + 10  # nodes of 5 and of 6 channels


def stack(rounds: int, activation: nn.Module, **options: Any) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [
        Round(GRAPH, CHANNELS, CHANNELS, update=activation, bias=False, **options)
        for _ in range(rounds)
    ]
    return nn.Sequential(*layers)


def sizes(model: nn.Sequential) -> torch.Tensor:
    """Mean square of the activations of hubs and of leaves after every round, ``[rounds, 2]``."""
    degrees = torch.from_numpy(GRAPH.in_degrees)
    per_channel = degrees.repeat_interleave(torch.from_numpy(model[0].out_partition.sizes))
    found, x = [], torch.randn(32, CHANNELS)
    with torch.no_grad():
        for layer in model:
            x = layer(x)
            groups = (per_channel >= 12, per_channel <= 4)
            found.append(torch.stack([x[:, group].square().mean() for group in groups]))
    return torch.stack(found)


@pytest.mark.parametrize("aggr", ["sum", "mean", "max", "std", ["sum", "max"]], ids=str)
def test_variance_is_kept_for_20_rounds(aggr: Any) -> None:
    assert GRAPH.in_degrees.min() <= 3
    assert GRAPH.in_degrees.max() >= 14
    model = stack(20, nn.ReLU(), aggr=aggr, message=relmp.LinearMessage)
    for layer in model:
        initialise_by_degree(layer, torch.relu)
    found = sizes(model)
    # Without it they change by a factor of 1e10 and more, see below.
    assert found.min() > 0.05, found
    assert found.max() < 20, found


@pytest.mark.parametrize(
    "message",
    [
        partial(relmp.LowRankMessage, rank=2),
        relmp.FrozenMessage,
        relmp.MLPMessage,
    ],
)
def test_for_every_message_that_scales_with_its_input(message: Any) -> None:
    model = stack(20, nn.ReLU(), message=message)
    for layer in model:
        initialise_by_degree(layer, torch.relu)
    found = sizes(model)
    assert found.min() > 0.03, found
    assert found.max() < 30, found


@pytest.mark.parametrize("message", [relmp.GatedMessage, relmp.AttentionMessage])
@pytest.mark.parametrize("aggr", ["sum", "mean"])
def test_one_round_of_the_others(message: Any, aggr: str) -> None:
    """Gates and attention saturate with size: kept for a round, not for 20."""
    (layer,) = stack(1, nn.ReLU(), message=message, aggr=aggr)
    initialise_by_degree(layer, torch.relu)
    assert float(sizes(nn.Sequential(layer)).mean()) == pytest.approx(1, abs=0.5)


def test_images_too() -> None:
    torch.manual_seed(0)
    message = partial(relmp.Conv2dMessage, kernel_size=3, padding=1)
    layer = Round(GRAPH, CHANNELS, CHANNELS, message=message, bias=False, execution="dense")
    initialise_by_degree(layer)
    with torch.no_grad():
        out = layer(torch.randn(4, CHANNELS, 9, 9))[:, :, 1:-1, 1:-1]  # zeros beyond the edge
    assert float(out.square().mean()) == pytest.approx(1, rel=0.1)


def test_what_it_is_for() -> None:
    """As nn.Linear starts, activations vanish; with one deviation for all, hubs blow up."""
    assert sizes(stack(20, nn.ReLU()))[-1].max() < 1e-10
    model = stack(10, nn.ReLU(), aggr="sum")
    for layer in model:
        layer.message_module.draw(layer.edges, torch.ones(GRAPH.num_edges))
    assert sizes(model)[-1].max() > 1e3


def test_edges_that_share_weights_are_not_independent() -> None:
    """The limit that the docstring names: 20 rounds are one matrix to the power of 20."""
    model = stack(20, nn.ReLU(), message=relmp.SharedMessage)
    for layer in model:
        initialise_by_degree(layer, torch.relu)
    assert not 0.05 < float(sizes(model)[-1].max()) < 20


@pytest.mark.parametrize("aggr", ["softmax", "median"])
def test_one_round_of_other_aggregations(aggr: str) -> None:
    (layer,) = stack(1, nn.ReLU(), aggr=aggr)
    initialise_by_degree(layer, torch.relu)
    assert float(sizes(nn.Sequential(layer)).mean()) == pytest.approx(1, abs=0.5)


def test_known_values_and_a_bias_of_zero() -> None:
    layer = Round(GRAPH, CHANNELS, CHANNELS)
    state = torch.get_rng_state()
    torch.manual_seed(0)
    initialise_by_degree(layer, torch.relu)
    torch.set_rng_state(state)
    weight, edges = layer.message_module.weight.detach(), layer.edges
    degrees = edges.ptr.diff()[edges.target]
    for degree in degrees.unique().tolist():
        chosen = degrees == degree
        real = weight[chosen][weight[chosen] != 0]
        sources = edges.source_mask[chosen].sum(1).float().mean()
        assert float(real.std()) == pytest.approx(float((2 / degree / sources).sqrt()), rel=0.15)
    assert not layer.bias.any()


class _Silent(relmp.Message):
    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__()

    def forward(self, x_i: torch.Tensor, x_j: torch.Tensor) -> torch.Tensor:
        return x_j


def test_mistakes_are_named() -> None:
    with pytest.raises(NotImplementedError, match="_Silent cannot be initialised by degree"):
        initialise_by_degree(Round(GRAPH, 64, 64, message=_Silent))
    with pytest.raises(ValueError, match="No size of the messages .* 'sum'"):
        initialise_by_degree(Round(GRAPH, 64, 64), torch.zeros_like)
    with pytest.raises(
        ValueError,
        match="init must be one of paper, degree, fan_in, but is 'degrees'.*Did you mean 'degree'",
    ):
        relmp.create_model("mlp", init="degrees")
