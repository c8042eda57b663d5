"""Scored weights: which are chosen, what they are, and where gradients go."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import relmp
from relmp.rounds import Round, WeightedMessage
from relmp.rounds.execution import possible_executions
from relmp.rounds.messages import ScoredMessage
from relmp.rounds.scored.bits import random_signs
from relmp.rounds.scored.selection import (
    ScoreOptions,
    Selection,
    highest,
    left_out,
    score_layers,
    scored_parts,
)

GRAPH = relmp.create_graph("ws_flex", n=8, k=4, p=0.3, seed=0)
KERNEL = {"kernel_size": 3, "stride": 2, "padding": 1}
FORMS: dict[str, dict[str, Any]] = {"vectors": {}, "images": KERNEL}


def make(granularity: str = "weight", form: str = "vectors", **options: Any) -> Round:
    """A round with nodes of uneven sizes, so that some slots are padding."""
    torch.manual_seed(0)
    message = partial(ScoredMessage, keep=0.3, granularity=granularity, **FORMS[form])
    return Round(GRAPH, 11, 21, message=message, **options)


def inputs(form: str) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(3, 11, *((5, 4) if form == "images" else ()), dtype=torch.float64)


# Bits ------------------------------------------------------------------------------------


def philox(seed: int, stream: int) -> Iterator[int]:
    """Philox 4x64-10 as its paper writes it down, word by word."""
    mask = 2**64 - 1
    block = 0
    while True:
        block += 1
        counter, key = [block, 0, 0, 0], [seed, stream]
        for _ in range(10):
            first = 0xD2E7470EE14C6C93 * counter[0]
            second = 0xCA5A826395121157 * counter[2]
            counter = [
                (second >> 64) ^ counter[1] ^ key[0], second & mask,
                (first >> 64) ^ counter[3] ^ key[1], first & mask,
            ]  # fmt: skip
            key = [(key[0] + 0x9E3779B97F4A7C15) & mask, (key[1] + 0xBB67AE8584CAA73B) & mask]
        yield from counter


@pytest.mark.parametrize(("seed", "stream", "count"), [(0, 0, 1), (7, 3, 300), (2**32 - 1, 9, 256)])
def test_signs_are_the_raw_bits_of_philox(seed: int, stream: int, count: int) -> None:
    words = philox(seed, stream)
    bits = [word >> place & 1 for word in (next(words) for _ in range(5)) for place in range(64)]
    expected = torch.tensor([1.0 - 2 * bit for bit in bits[:count]])
    assert torch.equal(random_signs(seed, stream, count), expected)


def test_signs_of_a_file_are_those_of_today() -> None:
    """Files of the past stay readable: these were written down once."""
    signs = random_signs(42, 5, 32)
    assert "".join("+" if sign > 0 else "-" for sign in signs.tolist()) == SIGNS


SIGNS = "+-++-++---+-------++++--+--++-++"


# Selection -------------------------------------------------------------------------------


@given(
    st.lists(st.integers(-4, 4), min_size=1, max_size=40),
    st.floats(0.01, 1.0, exclude_min=True),
)
def test_as_many_as_are_kept_and_of_equal_ones_the_last(values: list[int], keep: float) -> None:
    zeros = int((1 - keep) * len(values))
    order = sorted(range(len(values)), key=lambda i: abs(values[i]))  # stable
    expected = torch.ones(len(values), dtype=torch.bool)
    expected[order[:zeros]] = False
    assert torch.equal(highest(torch.tensor(values, dtype=torch.float32), keep), expected)


def test_the_number_left_out_is_that_of_the_authors() -> None:
    assert left_out(204_800, 0.9) == 20_479  # not 20,480
    assert left_out(10, 1.0) == 0
    with pytest.raises(ValueError, match="leaves none of the 4 entries of this layer; keep more"):
        left_out(4, 1e-20)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("granularity", ["weight", "edge"])
def test_weight_and_gradient_are_the_formula(granularity: str, form: str) -> None:
    layer = make(granularity, form).double()
    message: Any = layer.message_module
    scores, frozen = message.scores, message.selection.frozen
    real = torch.zeros_like(frozen, dtype=torch.bool)
    for edge, (source, target) in enumerate(GRAPH.edges.T.tolist()):
        ins, outs = layer.in_partition.sizes[source], layer.out_partition.sizes[target]
        real[edge, :outs, :ins] = True
    assert not real.all()
    assert not frozen[~real].any()
    assert frozen[real].abs().unique().numel() == 1
    fan_in = int(real.sum()) / 21
    assert float(frozen.abs().max()) == pytest.approx((2 / (fan_in * 0.3)) ** 0.5, rel=1e-6)

    entries = real.flatten().nonzero().flatten() if granularity == "weight" else torch.arange(
        GRAPH.num_edges)  # fmt: skip
    sizes = scores.detach().abs().flatten()[entries]
    mask = torch.zeros(scores.numel(), dtype=torch.bool)
    mask[entries[sizes.argsort(stable=True)[int(0.7 * len(entries)) :]]] = True
    mask = mask.view_as(scores)
    assert int(mask.sum()) == len(entries) - int((1 - 0.3) * len(entries)) == message.selection.kept
    spread = mask.view(*mask.shape, *[1] * (frozen.dim() - mask.dim()))
    weight = message.weight
    assert torch.equal(weight, frozen * spread)

    direction = torch.randn_like(weight)
    (found,) = torch.autograd.grad(weight, scores, direction)
    product = direction * frozen
    if granularity == "edge":
        product = product.flatten(1).sum(1)
    torch.testing.assert_close(found, scores.sign() * product, rtol=1e-12, atol=1e-12)
    left = ~mask & (real if granularity == "weight" else torch.ones_like(mask))
    assert found[left].abs().min() > 0, "no gradient reaches what is not chosen"
    if granularity == "weight":
        assert not found[~real].any()
        assert not scores[~real].any()


@pytest.mark.parametrize("aggr", ["sum", "mean"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("granularity", ["weight", "edge"])
def test_every_execution_reads_it(granularity: str, form: str, aggr: str) -> None:
    layer = make(granularity, form, aggr=aggr)
    names = ["message_passing", "dense", *(["gathered"] if form == "vectors" else []), "cpu_kernel"]
    assert possible_executions(layer) == names
    assert relmp.verify(layer) < 1e-12


@pytest.mark.parametrize("execution", ["dense", "gathered", "cpu_kernel", "message_passing"])
def test_chosen_once_in_a_forward_pass(execution: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, calls = make(execution=execution).double(), []
    select = Selection.select

    def counted(self: Selection, scores: Tensor) -> Tensor:
        calls.append(1)
        return select(self, scores)

    monkeypatch.setattr(Selection, "select", counted)
    layer(inputs("vectors")).sum().backward()
    assert len(calls) == 1


def test_costs_and_counts() -> None:
    layer, linear = make(), Round(GRAPH, 11, 21)
    assert layer.flops() == linear.flops()
    assert layer.num_parameters() == linear.num_parameters()
    assert make("edge").num_parameters() == GRAPH.num_edges + 21
    assert relmp.rounds.message_flops(ScoredMessage, GRAPH, 11, 21) == linear.flops()


def test_by_degree_keeps_the_size_of_activations() -> None:
    complete = relmp.create_graph("complete", n=8)
    layer = Round(complete, 256, 256, message="scored(keep=0.3)", bias=False)
    relmp.initialise_by_degree(layer)
    torch.manual_seed(0)
    assert float(layer(torch.randn(200, 256)).detach().var()) == pytest.approx(1, rel=0.1)


# Frozen ----------------------------------------------------------------------------------


def test_frozen_weights_stay_and_counts_are_exact_in_training() -> None:
    layer = nn.Sequential(make(), nn.BatchNorm1d(21), nn.ReLU(), nn.Linear(21, 4))
    score_layers(layer[3], ScoreOptions(0.3))
    before = [part.selection.frozen.clone() for part in scored_parts(layer)]
    chosen = [part.selection.select(part.scores) for part in scored_parts(layer)]
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5, momentum=0.9, weight_decay=1e-3)
    x, y = torch.randn(32, 11), torch.randint(4, (32,))
    for _ in range(10):
        loss = F.cross_entropy(layer(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for part, frozen, mask in zip(scored_parts(layer), before, chosen, strict=True):
        assert torch.equal(part.selection.frozen, frozen)
        now = part.selection.select(part.scores)
        entries = part.selection.count
        assert int(now.sum()) == entries - int((1 - 0.3) * entries)
        assert not torch.equal(now, mask), "nothing was learned"
    message: Any = layer[0].message_module
    assert not message.scores[message.selection.frozen == 0].any()


def test_a_dense_layer_is_scored_as_pytorchs_own() -> None:
    for layer in (nn.Linear(6, 5), nn.Conv2d(6, 5, 3, stride=2)):
        score_layers(layer, ScoreOptions(0.4))
        ((name, selection, scores),) = scored_parts(layer)
        assert name == ""
        assert selection.frozen.shape == layer.weight.shape == scores.shape
        kept = layer.weight.numel() - int(0.6 * layer.weight.numel())
        assert int(layer.weight.count_nonzero()) == kept == selection.kept
        fan_in = layer.weight[0].numel()
        sizes = layer.weight[layer.weight != 0].abs()
        assert torch.allclose(sizes, torch.tensor((2 / (fan_in * 0.4)) ** 0.5))
        assert scores.abs().max() <= fan_in**-0.5
        plain = relmp.to_dense(nn.Sequential(copy.deepcopy(layer)))[0]
        assert type(plain) in (nn.Linear, nn.Conv2d)
        assert torch.equal(plain.weight, layer.weight)
        assert list(plain.state_dict()) == ["weight", "bias"]


def test_a_seed_decides_frozen_weights_whatever_the_generator_draws() -> None:
    def frozen(seed: int, **options: Any) -> list[Tensor]:
        model = relmp.create_model(
            "mlp", GRAPH, seed=seed, in_features=9, width=16, message="scored(keep=0.3)",
            scored="all", **options,
        )  # fmt: skip
        return [part.selection.frozen for part in scored_parts(model)]

    first, again, other = frozen(3), frozen(3 + 2**32), frozen(4)
    assert len(first) == 5
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert not torch.equal(first[1].sign(), first[2].sign())
    real = first[1][first[1] != 0]
    signs = random_signs(3, 1, real.numel())
    assert torch.equal(real.sign(), signs)


def test_state_brings_key_and_size_and_frozen_weights_follow() -> None:
    layer, twin = make(), make()
    relmp.initialise_by_degree(layer)
    assert layer.message_module.selection.size.shape == (GRAPH.num_edges, 1, 1)
    state = layer.state_dict()
    assert not any(name.endswith("frozen") for name in state)
    twin.load_state_dict(state)
    x = inputs("vectors").float()
    assert torch.equal(twin(x), layer(x))
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))
    moved = copy.deepcopy(layer).double()
    assert moved(x.double()).dtype == torch.float64


# What was chosen ---------------------------------------------------------------------------


def test_chosen_edges_are_a_graph() -> None:
    layer = make("edge")
    kept = [
        (source, target)
        for (source, target), weight in zip(
            GRAPH.edges.T.tolist(), layer.message_module.weight, strict=True
        )
        if bool(weight.any())
    ]
    found = layer.selected()
    assert found.edges.T.tolist() == [list(pair) for pair in kept]
    assert len(kept) == GRAPH.num_edges - int(0.7 * GRAPH.num_edges)
    # Only along these does anything flow.
    x = inputs("vectors").float()
    scratch = Round(found, 11, 21)
    assert scratch(x).shape == layer(x).shape
    assert relmp.degree_preserving_rewire(found, seed=0).num_edges == found.num_edges
    assert 0 <= found.clustering <= 1


def test_chosen_weights_are_a_graph_of_strengths() -> None:
    layer = make()
    message: Any = layer.message_module
    shares = []
    for edge, (source, target) in enumerate(GRAPH.edges.T.tolist()):
        size = int(layer.in_partition.sizes[source] * layer.out_partition.sizes[target])
        shares.append(int(message.weight[edge].count_nonzero()) / size)
    zeros = int(0.7 * len(shares))
    order = sorted(range(len(shares)), key=lambda i: shares[i])
    kept = sorted(order[zeros:])
    found = layer.selected()
    assert found.edges.T.tolist() == GRAPH.edges.T[kept].tolist()
    assert found.edge_attr is not None
    assert np.allclose(found.edge_attr[:, 0], [shares[edge] for edge in kept], atol=1e-15)


def test_attributes_of_chosen_edges_stay() -> None:
    given_graph = relmp.RelationalGraph(4, [[0, 1, 2], [1, 2, 3]], [[0.5], [1.5], [2.5]])
    layer = Round(given_graph, 8, 8, message="scored(keep=0.5, granularity='edge')")
    found = layer.selected()
    attr, own = found.edge_attr, given_graph.edge_attr
    assert attr is not None
    assert own is not None
    places = {tuple(pair): value for pair, value in zip(given_graph.edges.T.tolist(), own.tolist(),
                                                        strict=True)}  # fmt: skip
    assert attr.tolist() == [places[tuple(pair)] for pair in found.edges.T.tolist()]


# Bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("scored(keep=0)", "keep must be a share above 0 and at most 1, but is 0"),
        ("scored(keep=1.5)", "keep must be a share above 0 and at most 1, but is 1.5"),
        ("scored(keep=True)", "keep must be a share .* but is True"),
        ("scored(keep='half')", "keep must be a share .* but is 'half'"),
        ("scored(granularity='edges')", "granularity must be 'weight' or 'edge'.*mean 'edge'"),
        ("scored(keep=1e-18)", "leaves none of the"),
        ("scored(share=0.5)", "has no argument 'share'; it takes keep, granularity"),
    ],
)
def test_what_is_wrong_is_said(message: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Round(GRAPH, 16, 16, message=message)


def test_scored_rounds_keep_their_edges() -> None:
    layer = make("edge")
    other = relmp.degree_preserving_rewire(GRAPH, seed=5)
    x = inputs("vectors").float()
    before = layer(x)
    with pytest.raises(ValueError, match="chooses among the edges that it was built with"):
        layer.rewire(other)
    assert layer.graph == GRAPH
    assert torch.equal(layer(x), before)
    with pytest.raises(ValueError, match="no trained weight for every edge"):
        layer.mask_weights(torch.ones(1, dtype=torch.bool))
    with pytest.raises(ValueError, match="LinearMessage chooses nothing; give the round"):
        Round(GRAPH, 11, 21).selected()
    assert isinstance(layer.message_module, WeightedMessage)
