"""What attacks have found in rounds and models, each in its smallest form."""

from __future__ import annotations

import copy
import warnings
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

import relmp
from relmp.graphs import create_graph
from relmp.rounds import Round
from relmp.rounds.execution import MESSAGE_PASSING, possible_executions
from relmp.training.rewiring.places import EdgePlaces
from relmp.training.rewiring.rule import RigL
from relmp.training.rewiring.watch import Watch

GRAPH = create_graph("ws_flex", n=8, k=4, p=0.2, seed=1)


@pytest.mark.parametrize("change", [(-3, 0, 0), (0, -1, 0), (0, 0, -1), (0, 0, 1), (2, 0, 0)])
@pytest.mark.parametrize("kind", ["vectors", "images", "update"])
def test_weights_of_another_shape_are_refused(kind: str, change: tuple[int, ...]) -> None:
    """The compiled loops read behind the end of such weights, and gave numbers."""
    layer: Any = {
        "vectors": partial(relmp.RelationalLinear, GRAPH),
        "images": partial(relmp.RelationalConv2d, GRAPH, kernel_size=3),
        "update": partial(Round, GRAPH, bias=False, update=nn.BatchNorm1d(24)),
    }[kind](16, 24)  # fmt: skip
    x = torch.randn(4, 16, *([5, 5] if kind == "images" else []))
    shape = list(layer.message_module.weight.shape)
    wanted = [size + more for size, more in zip(shape, change, strict=False)] + shape[3:]
    weights = {"message_module.weight": torch.randn(wanted)}
    for execution in possible_executions(layer):
        layer.set_execution(execution)
        said = None if execution in (MESSAGE_PASSING, "dense") else "were given in their place"
        with pytest.raises((ValueError, RuntimeError), match=said):
            functional_call(layer, weights, (x,))


@pytest.mark.parametrize(
    ("norm", "sentence"),
    [
        (partial(nn.BatchNorm1d, 20), "running_mean should contain 24 elements not 20"),
        (partial(nn.BatchNorm1d, 30), "running_mean should contain 24 elements not 30"),
        (partial(nn.BatchNorm1d, 24, eps=0.0), "eps must be positive"),
    ],
)
def test_a_norm_that_does_not_fit(norm: Any, sentence: str) -> None:
    """The loops that compute round and norm together read and wrote behind its end."""
    for execution in (MESSAGE_PASSING, "cpu_kernel"):
        layer = Round(GRAPH, 16, 24, bias=False, update=norm(), execution=execution)
        with pytest.raises((RuntimeError, ValueError), match=sentence):
            layer(torch.randn(4, 16))


@pytest.mark.parametrize("update", [None, nn.BatchNorm1d(24)], ids=["alone", "updated"])
def test_a_traced_round_of_vectors(update: nn.Module | None) -> None:
    """The loops that are called past PyTorch's operators were met by the tracer."""
    layer = Round(GRAPH, 16, 24, bias=False, update=update, execution="cpu_kernel").eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch: that this is deprecated, and of PyG's checks
        traced = torch.jit.trace(layer, torch.randn(5, 16))
    x = torch.randn(7, 16)
    assert torch.equal(traced(x), layer(x))


@pytest.mark.parametrize(
    "text",
    [
        "low_rank(rank='a')", "low_rank(rank=1.5)", "low_rank(rank=True)", "low_rank(rank=[2])",
        "mlp(hidden='a')", "mlp(hidden=2.0)", "attention(negative_slope='a')",
        "class_shared(num_classes='a')", "class_shared(num_classes=1.5)",
        "class_shared(num_classes=2, column='a')", "class_shared(num_classes=2, column=0.5)",
        "edge_attr(attr_dim=-1)", "edge_attr(attr_dim=1.0)", "scored(keep='a')",
        "frozen(values=[1])",
    ],
)  # fmt: skip
def test_what_is_no_argument_of_a_message(text: str) -> None:
    """Found by a command line: what a round refuses, and what counts its cost beforehand."""
    graph = relmp.RelationalGraph(2, [[0, 1], [1, 0]], [1.0, 0.0])
    with pytest.raises(ValueError, match=r"must be|from column"):
        Round(graph, 4, 4, message=text)
    if "column" not in text:  # of which only the attributes know
        with pytest.raises(ValueError, match="must be"):
            relmp.over_graphs("mlp", graphs=[graph], seeds=1, message=text, width=32)


@pytest.mark.parametrize("execution", ["gathered", "dense"])
def test_the_mean_in_time(execution: str) -> None:
    """Laid out for every node, it was the sum."""
    layer = relmp.RelationalRNN(GRAPH, 3, 16, aggr="mean", execution=execution).double()
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    states, _ = layer(x)
    states.sum().backward()
    found = [p.grad.clone() for p in layer.parameters() if p.grad is not None]
    layer.zero_grad()
    layer.set_execution(MESSAGE_PASSING)
    again, _ = layer(x)
    again.sum().backward()
    torch.testing.assert_close(states, again, rtol=0, atol=1e-12)
    for one, parameter in zip(found, layer.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad, rtol=0, atol=1e-12)


def test_a_kernel_of_one_pixel_with_a_dilation() -> None:
    """PyTorch's convolution of these numbers, in this order, ends the process."""
    x = torch.randn(3, 1, 1, 5).permute(0, 3, 1, 2)
    graph = relmp.RelationalGraph(2, [[0], [1]])
    layer = relmp.RelationalConv2d(graph, 5, 6, (1, 1), (1, 2), (0, 1), 2, execution="dense")
    torch.testing.assert_close(layer(x), layer(x.contiguous()))


def test_absent_edges_of_a_round_in_time() -> None:
    """Laid out, the round was not called, and what watches its calls for RigL saw nothing."""
    graph = relmp.RelationalGraph(4, [[0, 1, 2], [1, 2, 0]])
    layer = relmp.RelationalRNN(graph, 2, 8).double()
    assert layer.execution == "dense"
    x, h = torch.randn(5, 3, 2, dtype=torch.float64), torch.zeros(3, 8, dtype=torch.float64)
    watch = Watch({"round": layer.round})
    with watch():
        states, _ = layer(x)
    states.sin().sum().backward()
    found = EdgePlaces("round", layer.round, RigL()).gradient(*watch.caught("round"))
    matrix = layer.weight_hh.detach().requires_grad_()
    total: Any = 0
    for step in x:
        h = torch.tanh(h @ matrix.T + step @ layer.weight_ih.T + layer.bias)
        total = total + h.sin().sum()
    (wanted,) = torch.autograd.grad(total, matrix)
    blocks = wanted.view(4, 2, 4, 2).transpose(1, 2).reshape(16, 2, 2)
    torch.testing.assert_close(found, blocks, rtol=0, atol=1e-12)
    model = relmp.create_model("rnn", graph, num_classes=1, in_features=2, width=8)
    history = relmp.train(
        model, "sequence_memory(trials=40)", epochs=2, batch_size=8, rewiring="rigl(every=2)"
    )
    assert len(history) == 2


def test_regions_keep_their_edges() -> None:
    """Rewired, the weights of an edge were taken for those of another one."""
    graph = relmp.RelationalGraph(8, [[0, 1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 7]])
    layer = relmp.RelationalRNN(graph, 2, regions=2)
    before = layer.weight_hh.clone()
    other = relmp.RelationalGraph(4, layer.round.graph.edges[::-1].copy(), self_loops=False)
    with pytest.raises(ValueError, match="so its edges stay"):
        layer.round.rewire(other)
    assert torch.equal(layer.weight_hh, before)
    assert layer.round.graph != other


def test_folds_in_folds() -> None:
    """An inner fold told the norms of the outer one which iteration it was."""
    torch.manual_seed(0)
    inner = relmp.Folded(nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6)), 2)
    outer = relmp.Folded(nn.Sequential(inner, nn.BatchNorm1d(6)), 3).double()
    x = torch.randn(9, 6, dtype=torch.float64)
    out, y = outer(x), x
    for _ in range(3):
        for _ in range(2):
            y = F.batch_norm(inner.block[0](y), None, None, training=True)
        y = F.batch_norm(y, None, None, training=True)
    torch.testing.assert_close(out, y)
    norms = [part for part in outer.modules() if isinstance(part, nn.BatchNorm1d)]
    assert [int(norm.num_batches_tracked) for norm in norms] == [1] * 9
    assert len({tuple(norm.running_mean.tolist()) for norm in norms}) == 9
    again = copy.deepcopy(outer)
    torch.testing.assert_close(again.eval()(x), outer.eval()(x))


@pytest.mark.parametrize("message", ["linear", "scored(keep=0.5)"])
def test_rounds_without_numbers(message: str) -> None:
    """On the meta device a bias could not be drawn."""
    with torch.device("meta"):
        empty = relmp.RelationalLinear(GRAPH, 17, 19, message=message)
    layer = relmp.RelationalLinear(GRAPH, 17, 19, message=message)
    assert empty.bias.is_meta
    assert {n: p.shape for n, p in empty.named_parameters()} == {
        n: p.shape for n, p in layer.named_parameters()
    }


@pytest.mark.parametrize("execution", ["dense", "gathered", "message_passing"])
def test_a_state_that_leaks_under_autocast(execution: str) -> None:
    layer = relmp.RelationalRNN(GRAPH, 2, leak=0.4, execution=execution)
    x = torch.randn(5, 3, 2)
    with torch.autocast("cpu", torch.bfloat16):
        states, _ = layer(x)
    torch.testing.assert_close(states, layer(x)[0], rtol=0, atol=0.05)
