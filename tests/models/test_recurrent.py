"""A round in time, against torch.nn.RNN and a loop in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import relmp
from relmp.graphs import RelationalGraph, create_graph
from relmp.models import RelationalRNN, count_flops, count_parameters, create_model
from relmp.models.recurrent.weights import spectral_radius
from relmp.rounds import ChannelPartition

EXECUTIONS = ["dense", "gathered", "message_passing", "cpu_kernel"]


def asymmetric(n=9, seed=0, loops=False):
    """A directed graph, with weights, in which one node hears nothing and one says nothing."""
    rng = np.random.default_rng(seed)
    there = rng.random((n, n)) < 0.4
    if not loops:
        np.fill_diagonal(there, False)
    there[:, n // 3] = there[n // 2] = False
    source, target = np.nonzero(there)
    attr = rng.normal(size=len(source))
    return RelationalGraph(n, np.stack([source, target]), attr, self_loops=False)


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_over_the_complete_graph_it_is_torchs(execution, nonlinearity):
    torch.manual_seed(0)
    theirs = nn.RNN(3, 12, nonlinearity=nonlinearity).double()
    ours = RelationalRNN(
        create_graph("complete", n=4), 3, 12, nonlinearity=nonlinearity, execution=execution
    ).double()
    ours.set_weight(theirs.weight_hh_l0)
    with torch.no_grad():
        ours.weight_ih.copy_(theirs.weight_ih_l0)
        ours.bias.copy_(theirs.bias_ih_l0 + theirs.bias_hh_l0)
    x = torch.randn(7, 5, 3, dtype=torch.double)
    h = torch.randn(1, 5, 12, dtype=torch.double)
    found = []
    for layer in (ours, theirs):
        inputs, first = x.clone().requires_grad_(), h.clone().requires_grad_()
        states, last = layer(inputs, first)
        (states.sin().sum() + last.square().sum()).backward()
        found.append((states, last, inputs.grad, first.grad))
    found[0] += (ours.weight_ih.grad, ours.bias.grad, _dense_gradient(ours))
    found[1] += (theirs.weight_ih_l0.grad, theirs.bias_hh_l0.grad, theirs.weight_hh_l0.grad)
    for here, there in zip(*found, strict=True):
        assert torch.allclose(here, there, rtol=0, atol=1e-12)
    # And it is called as torch's is.
    assert ours(x)[0].shape == theirs(x)[0].shape
    assert ours(x[:, 0])[0].shape == theirs(x[:, 0])[0].shape
    assert ours(x[:, 0], h[:, 0])[1].shape == theirs(x[:, 0], h[:, 0])[1].shape


def _dense_gradient(layer):
    from relmp.rounds.layout import EdgeLayout

    message = layer.round.message_module
    stored = getattr(message, "synapses", message.weight)
    return EdgeLayout(layer.round.form)(stored.grad)


def loop(weight, weight_in, bias, leak, xs, h, target, slope):
    """States, and the gradients of ``(states * target).sum()``, written out for one sequence."""
    states, before, inner = [], [], []
    for x in xs:
        before.append(h)
        told = np.tanh(weight @ h + weight_in @ x + bias)
        inner.append(1 - told**2)
        h = (1 - leak) * h + leak * told
        states.append(h)
    grads = [np.zeros_like(weight), np.zeros_like(weight_in), np.zeros_like(bias)]
    d = np.zeros_like(h)
    to_x = np.zeros_like(xs)
    for t in reversed(range(len(xs))):
        d = d + target[t]
        p = leak * inner[t] * d
        grads[0] += np.outer(p, before[t])
        grads[1] += np.outer(p, xs[t])
        grads[2] += p
        to_x[t] = weight_in.T @ p
        d = (1 - leak) * d + weight.T @ p
    return np.array(states), grads, to_x, d


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("regions", [None, 3, (4, 2, 3)])
@pytest.mark.parametrize("leak", [1.0, 0.3])
def test_an_asymmetric_graph_against_a_loop(execution, regions, leak):
    graph = asymmetric(loops=True)
    torch.manual_seed(1)
    layer = RelationalRNN(graph, 2, leak=leak, regions=regions, execution=execution).double()
    assert layer.execution == execution
    weight = np.zeros((9, 9))
    weight[graph.edges[1], graph.edges[0]] = np.random.default_rng(5).normal(size=graph.num_edges)
    layer.set_weight(torch.from_numpy(weight))
    assert np.array_equal(layer.weight_hh.detach().numpy(), weight)
    x = torch.randn(6, 1, 2, dtype=torch.double, requires_grad=True)
    h = torch.randn(1, 1, 9, dtype=torch.double, requires_grad=True)
    target = torch.randn(6, 9, dtype=torch.double)
    states, last = layer(x, h)
    (states[:, 0] * target).sum().backward()
    expected, (to_weight, to_in, to_bias), to_x, to_h = loop(
        weight, layer.weight_ih.detach().numpy(), layer.bias.detach().numpy(), leak,
        x[:, 0].detach().numpy(), h[0, 0].detach().numpy(), target.numpy(), None,
    )  # fmt: skip

    def same(ours, theirs):
        assert np.allclose(ours.detach().numpy(), theirs, rtol=0, atol=1e-12)

    same(states[:, 0], expected)
    same(last[0, 0], expected[-1])
    same(_dense_gradient(layer), np.where(weight != 0, to_weight, 0))
    same(layer.weight_ih.grad, to_in)
    same(layer.bias.grad, to_bias)
    same(x.grad[:, 0], to_x)
    same(h.grad[0, 0], to_h)


def test_direction():
    """0 -> 1 -> 2: what goes in at 0 comes to 1 a step later, and to 2 another one."""
    graph = RelationalGraph(3, [[0, 1], [1, 2]], self_loops=False)
    layer = RelationalRNN(graph, 1, nonlinearity="identity", bias=False)
    layer.set_weight(torch.ones(3, 3))
    layer.weight_ih.data = torch.tensor([[1.0], [0.0], [0.0]])
    x = torch.zeros(4, 1)
    x[0] = 5
    states, _ = layer(x)
    expected = [[5, 0, 0], [0, 5, 0], [0, 0, 5], [0, 0, 0]]
    assert states.tolist() == expected


@pytest.mark.parametrize(
    "optimiser",
    [
        lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),
        lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
        lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.1),
    ],
    ids=["adam", "adamw", "rmsprop", "sgd"],
)
@pytest.mark.parametrize("execution", ["dense", "gathered", "message_passing"])
@pytest.mark.parametrize("regions", [None, (4, 2, 3)])
def test_missing_synapses_stay_exactly_zero(optimiser, execution, regions):
    graph = asymmetric()
    layer = RelationalRNN(graph, 2, regions=regions, execution=execution)
    there = layer.weight_hh.detach() != 0
    assert int(there.sum()) == graph.num_edges
    moving = optimiser(layer.parameters())
    before = layer.weight_hh.detach().clone()
    for _ in range(5):
        moving.zero_grad()
        layer(torch.randn(4, 3, 2))[0].square().sum().backward()
        moving.step()
    after = layer.weight_hh.detach()
    assert torch.equal(after[~there], torch.zeros(int((~there).sum())))
    assert (after[there] != before[there]).any()


def test_a_mask_holds_whatever_is_stored():
    layer = RelationalRNN(asymmetric(), 2, regions=3)
    there = layer.weight_hh.detach() != 0
    with torch.no_grad():
        layer.round.message_module.synapses.fill_(1)
    assert torch.equal(layer.weight_hh.detach() != 0, there)
    states, _ = layer(torch.randn(3, 1, 2))
    dense = nn.RNN(2, 9)
    with torch.no_grad():
        dense.weight_hh_l0.copy_(there.float())
        dense.weight_ih_l0.copy_(layer.weight_ih)
        dense.bias_ih_l0.copy_(layer.bias)
        dense.bias_hh_l0.zero_()
    torch.manual_seed(0)
    x = torch.randn(3, 1, 2)
    assert torch.allclose(layer(x)[0], dense(x)[0], atol=1e-6)
    assert states.shape == (3, 1, 9)


# Initial weights ------------------------------------------------------------------------


@pytest.mark.parametrize("regions", [None, 3])
@pytest.mark.parametrize("init", ["rank", "rank(base='degree')", "spectral(radius=2, base='rank')"])
def test_rank_order_is_the_connectomes(regions, init):
    graph = asymmetric(seed=4)
    layer = RelationalRNN(graph, 1, init=init, regions=regions)
    drawn = layer.weight_hh.detach()[tuple(graph.edge_index.flip(0))].numpy()
    weights = graph.edge_attr[:, 0].numpy()
    assert np.array_equal(np.argsort(drawn), np.argsort(weights))
    other = RelationalRNN(graph, 1, regions=regions).weight_hh.detach()
    drawn = other[tuple(graph.edge_index.flip(0))].numpy()
    assert not np.array_equal(np.argsort(drawn), np.argsort(weights))


@pytest.mark.parametrize("base", ["uniform", "degree", "rank"])
def test_the_radius_is_the_true_one(base):
    graph = asymmetric(20, seed=2)
    layer = RelationalRNN(graph, 1, init=f"spectral(radius=0.8, base='{base}')")
    weight = layer.weight_hh.detach().double().numpy()
    assert not np.allclose(weight, weight.T)
    # Gelfand's formula: the norm of powers grows as the radius, to the power.
    power = np.linalg.matrix_power(weight, 400)
    assert np.linalg.norm(power) ** (1 / 400) == pytest.approx(0.8, abs=0.02)
    assert spectral_radius(layer.weight_hh) == pytest.approx(0.8, abs=1e-5)
    # The radius of the symmetric part is another one.
    assert abs(np.abs(np.linalg.eigvalsh(weight)).max() - 0.8) > 0.01


def test_uniform_and_degree():
    torch.manual_seed(0)
    graph = create_graph("ws_flex", n=200, k=20, p=0.2, seed=0)
    uniform = RelationalRNN(graph, 1).weight_hh.detach()
    assert uniform.abs().max() <= 200**-0.5
    assert uniform[uniform != 0].abs().max() > 0.9 * 200**-0.5
    degree = RelationalRNN(graph, 1, init="degree", nonlinearity="relu").weight_hh.detach()
    heard = (degree != 0).sum(1)
    scaled = degree * (heard / 2).sqrt()[:, None]
    assert float(scaled[degree != 0].std()) == pytest.approx(1, abs=0.05)


def test_the_same_seed_gives_the_same_weights_in_any_storage():
    graph = asymmetric()
    drawn = []
    for options in ({}, {"regions": 3}, {"execution": "message_passing"}):
        torch.manual_seed(7)
        layer = RelationalRNN(graph, 2, **options)
        drawn.append((layer.weight_hh.detach(), layer.weight_ih.detach(), layer.bias.detach()))
    for other in drawn[1:]:
        assert all(torch.equal(a, b) for a, b in zip(drawn[0], other, strict=True))


# Other rounds ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{"message": "gated"}, {"message": "attention"}, {"aggr": "max"}, {"message": "scalar"}],
    ids=str,
)
def test_any_message(options):
    graph = create_graph("random_directed", n=6, p=0.4, seed=0)
    torch.manual_seed(0)
    layer = RelationalRNN(graph, 2, 12, leak=0.5, **options).double()
    x = torch.randn(4, 3, 2, dtype=torch.double)
    states, last = layer(x)
    h = torch.zeros(3, 12, dtype=torch.double)
    for t in range(4):
        told = torch.tanh(layer.round(h) + x[t] @ layer.weight_ih.T + layer.bias)
        h = 0.5 * h + 0.5 * told
        assert torch.allclose(states[t], h, rtol=0, atol=1e-12)
    assert torch.equal(last[0], states[-1])
    states.sum().backward()
    assert all(p.grad is not None for p in layer.parameters())


def test_channels_a_node_as_given():
    graph = asymmetric(4, seed=3)
    sizes = ChannelPartition.from_sizes([1, 3, 2, 4])
    results = []
    for execution in ("dense", "gathered", "message_passing"):
        torch.manual_seed(0)
        layer = RelationalRNN(graph, 2, sizes, execution=execution).double()
        results.append(layer(torch.ones(5, 2, 2, dtype=torch.double))[0])
    assert results[0].shape == (5, 2, 10)
    for other in results[1:]:
        assert torch.allclose(results[0], other, rtol=0, atol=1e-12)


def test_mean_is_divided_in_every_execution():
    graph = asymmetric()
    results = []
    for execution in ("dense", "message_passing"):
        torch.manual_seed(0)
        layer = RelationalRNN(graph, 2, aggr="mean", execution=execution).double()
        results.append(layer(torch.ones(5, 2, 2, dtype=torch.double))[0])
    assert torch.allclose(*results, rtol=0, atol=1e-12)


def test_hooks_autocast_and_func():
    layer = RelationalRNN(asymmetric(), 2)
    x = torch.randn(5, 3, 2)
    states = layer(x)[0]
    seen = []
    handle = layer.round.message_module.register_forward_hook(lambda *_: seen.append(1))
    assert torch.allclose(layer(x)[0], states, atol=1e-6)
    assert len(seen) == 5
    handle.remove()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.allclose(layer(x)[0].float(), states, atol=0.05)
    one = torch.func.vmap(lambda s: layer(s)[0])(x.transpose(0, 1))
    assert torch.allclose(one.transpose(0, 1), states, atol=1e-6)


def test_auto_takes_the_dense_product_for_few_units_and_neighbours_for_many():
    small = RelationalRNN(asymmetric(), 1, regions=3)
    assert small.execution == "dense"
    ring = create_graph("ring_lattice", n=40, k=4)
    large = RelationalRNN(ring, 1, 40 * 50)
    assert large.execution == "gathered"
    complete = RelationalRNN(create_graph("complete", n=20), 1, 2000)
    assert complete.execution == "dense"


# Costs, states, bad input ---------------------------------------------------------------


def test_costs_count_synapses():
    graph = asymmetric()
    for regions in (None, 3):
        model = create_model("rnn", graph=graph, num_classes=2, in_features=3, regions=regions)
        synapses = graph.num_edges
        assert model.rnn.num_parameters() == synapses + 9 * 3 + 9
        assert count_parameters(model) == synapses + 9 * 3 + 9 + 9 * 2 + 2
        assert count_flops(model, (7, 3)) == 7 * (synapses + 9 * 3 + 9 * 2)
        assert str(relmp.summary(model, (7, 3)))


def test_a_frozen_network_trains_its_readout_alone():
    model = create_model("rnn", graph=asymmetric(), in_features=2, frozen=True)
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained == ["head.weight", "head.bias"]


def test_state_dict_and_batch_first():
    graph = asymmetric()
    first, second = (RelationalRNN(graph, 2, regions=3) for _ in range(2))
    second.load_state_dict(first.state_dict())
    x = torch.randn(4, 5, 2)
    assert torch.equal(first(x)[0], second(x)[0])
    second.batch_first = True
    assert torch.equal(second(x.transpose(0, 1))[0], first(x)[0].transpose(0, 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"leak": 0.0}, "leak must be above 0"),
        ({"leak": 1.5}, "leak must be a number"),
        ({"nonlinearity": "gelu"}, "nonlinearity must be one of tanh, relu, identity"),
        ({"init": "spectrum"}, "Did you mean 'spectral'"),
        ({"init": "spectral(radios=1)"}, "has no option 'radios'"),
        ({"init": "spectral(radius=-1)"}, "radius must be a number"),
        ({"init": "rank(base='rank')"}, "base of rank"),
        ({"init": "degree", "message": "low_rank"}, "is for linear messages"),
        ({"hidden_size": 5}, "5 channels"),
        ({"regions": 2}, "have 8 neurons together, but the graph has 9"),
        ({"regions": 3, "hidden_size": 18}, "one channel each"),
        ({"execution": "gathered", "aggr": "max"}, "cannot run this round"),
        ({"execution": "fast"}, "Unknown execution 'fast'"),
        ({"input_scale": math.nan}, "input_scale must be a number"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ValueError, match=message):
        RelationalRNN(asymmetric(), 2, **options)


def test_bad_input():
    layer = RelationalRNN(asymmetric(), 2)
    with pytest.raises(ValueError, match="length 0"):
        layer(torch.zeros(0, 3, 2))
    with pytest.raises(ValueError, match=r"takes sequences \[T, B, 2\]"):
        layer(torch.zeros(4, 3, 5))
    with pytest.raises(ValueError, match=r"first state must be \[1, 3, 9\]"):
        layer(torch.zeros(4, 3, 2), torch.zeros(3, 9))
    with pytest.raises(ValueError, match=r"must be \[9, 9\]"):
        layer.set_weight(torch.zeros(8, 8))
    line = RelationalGraph(3, [[0, 1], [1, 2]], [1.0, 2.0], self_loops=False)
    with pytest.raises(ValueError, match="has no cycle"):
        RelationalRNN(line, 1, init="spectral")
    plain = create_graph("complete", n=4)
    with pytest.raises(ValueError, match="edges of this graph have no attribute"):
        RelationalRNN(plain, 1, init="rank")
    with pytest.raises(ValueError, match="needs a graph, or a width="):
        create_model("rnn")
