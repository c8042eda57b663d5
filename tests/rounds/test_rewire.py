"""A round whose edges are replaced is the round built over the new graph, in the old places."""

from __future__ import annotations

import copy
import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import relmp
from relmp.graphs import RelationalGraph, create_graph
from relmp.rounds import LinearMessage, Message, RelationalConv2d, RelationalLinear, Round
from relmp.rounds.dynamic.rewire import moved_rows
from relmp.rounds.execution import EXECUTIONS

PINNED = [execution for execution in EXECUTIONS if execution not in ("auto", "gpu_kernel")]
MESSAGES = ["linear", "gated", "attention", "low_rank(rank=2)", "scalar", "frozen", "mlp"]


def random_graph(seed: int, n: int = 6, edges: int = 14) -> RelationalGraph:
    rng = np.random.default_rng(seed)
    chosen = rng.choice(n * n, size=edges, replace=False)
    return RelationalGraph(n, np.stack(np.divmod(chosen, n)), self_loops=False)


def expected_rows(tensor: Tensor, before: RelationalGraph, after: RelationalGraph) -> Tensor:
    """Rows by their edges, one after the other; zeros for new edges."""
    known = dict(zip(map(tuple, before.edges.T), tensor, strict=True))
    rows = [known.get(tuple(edge), torch.zeros_like(tensor[0])) for edge in after.edges.T]
    return torch.stack(rows)


@pytest.mark.parametrize("execution", PINNED)
def test_linear_rounds_follow_their_edges(execution: str) -> None:
    torch.manual_seed(0)
    layer = RelationalLinear(random_graph(0), 13, 15, execution=execution).double()
    layer.update_module = None
    x = torch.randn(4, 13, dtype=torch.float64, requires_grad=True)
    for seed in range(1, 8):
        before, graph = layer.graph, random_graph(seed)
        weight, wanted = layer.weight, expected_rows(layer.weight.detach(), layer.graph, graph)
        old = layer.rewire(graph)
        assert layer.weight is weight
        assert torch.equal(layer.weight, wanted)
        assert torch.equal(moved_rows(torch.arange(14)[:, None] + 1, old)[:, 0], expected_rows(
            torch.arange(14) + 1, before, graph))  # fmt: skip
        fresh = RelationalLinear(graph, 13, 15, execution="message_passing").double()
        with torch.no_grad():
            fresh.weight.copy_(layer.weight)
            fresh.bias.copy_(layer.bias)
        out, right = layer(x), fresh(x)
        torch.testing.assert_close(out, right, rtol=0, atol=1e-12)
        direction = torch.randn_like(out)
        ours = torch.autograd.grad(out, [x, *layer.parameters()], direction)
        theirs = torch.autograd.grad(right, [x, *fresh.parameters()], direction)
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
        for name, table in fresh.named_buffers():
            if not name.startswith("executor"):
                assert torch.equal(layer.get_buffer(name), table), name
        nn.init.normal_(layer.weight)


@pytest.mark.parametrize("execution", ["message_passing", "dense", "cpu_kernel"])
@pytest.mark.parametrize("aggr", ["sum", "mean"])
def test_convolutions_follow_their_edges(execution: str, aggr: str) -> None:
    torch.manual_seed(0)
    options: dict[str, Any] = {"padding": 1, "aggr": aggr}
    layer = RelationalConv2d(random_graph(0), 13, 15, 3, execution=execution, **options).double()
    layer.rewire(random_graph(1))
    nn.init.normal_(layer.weight)
    fresh = RelationalConv2d(random_graph(1), 13, 15, 3, execution="dense", **options).double()
    fresh.load_state_dict(layer.state_dict())
    x = torch.randn(2, 13, 6, 5, dtype=torch.float64)
    torch.testing.assert_close(layer(x), fresh(x), rtol=0, atol=1e-11)


@pytest.mark.parametrize("message", MESSAGES)
def test_all_parameters_of_an_edge_follow_it(message: str) -> None:
    torch.manual_seed(0)
    layer = Round(random_graph(0), 13, 15, message=message, execution="message_passing")
    named = dict(layer.message_module.named_parameters()) | {
        name: b for name, b in layer.message_module.named_buffers() if name == "weight"
    }
    before = {name: tensor.detach().clone() for name, tensor in named.items()}
    layer.rewire(random_graph(1))
    for name, tensor in named.items():
        wanted = expected_rows(before[name], random_graph(0), random_graph(1))
        assert torch.equal(tensor, wanted), name
    old = layer.rewire(random_graph(2), new="draw")
    for name, tensor in named.items():
        if name != "bias":  # of gates and hidden numbers: starts at zero
            drawn = tensor.detach()[old < 0]
            assert drawn.reshape(len(drawn), -1).any(1).all(), name
    twin = Round(random_graph(2), 13, 15, message=message, execution="message_passing")
    twin.load_state_dict(layer.state_dict())
    x = torch.randn(3, 13)
    torch.testing.assert_close(layer(x), twin(x))


class Shared(Message):
    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.value = LinearMessage(num_edges, in_dim, out_dim)
        self.gate = nn.Linear(2 * in_dim, 1)

    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return self.gate(torch.cat([x_i, x_j], -1)).sigmoid() * self.value(x_i, x_j)


class Undeclared(Shared):
    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__(num_edges, in_dim, out_dim)
        self.own = nn.Parameter(torch.ones(num_edges))


def test_messages_of_ones_own() -> None:
    layer = Round(random_graph(0), 13, 15, message=Shared)
    gate, value = layer.message_module.gate, layer.message_module.value
    shared, weight = gate.weight.detach().clone(), value.weight.detach().clone()
    layer.rewire(random_graph(1), new="draw")
    assert torch.equal(gate.weight, shared)
    kept = expected_rows(weight, random_graph(0), random_graph(1))
    stays = kept.flatten(1).any(1)
    assert torch.equal(value.weight[stays], kept[stays])
    unclear = Round(random_graph(0), 13, 15, message=Undeclared)
    with pytest.raises(ValueError, match="'own' has as many rows as there are edges, 14"):
        unclear.rewire(random_graph(1))


def test_state_travels_with_its_edges() -> None:
    torch.manual_seed(0)
    layer = RelationalLinear(random_graph(0), 13, 15)
    layer.rewire(random_graph(1))
    buffer = io.BytesIO()
    torch.save(nn.Sequential(layer).state_dict(), buffer)
    buffer.seek(0)
    state = torch.load(buffer, weights_only=True)
    twin = nn.Sequential(RelationalLinear(random_graph(0), 13, 15))
    twin.load_state_dict(state)
    assert twin[0].graph == random_graph(1)
    x = torch.randn(3, 13)
    assert torch.equal(twin(x), layer(x))
    assert torch.equal(copy.deepcopy(twin)(x), layer(x))
    other = nn.Sequential(RelationalLinear(random_graph(0, edges=15), 13, 15))
    with pytest.raises(RuntimeError, match="saved for another graph"):
        other.load_state_dict(state)


def test_single_weights_are_left_out() -> None:
    torch.manual_seed(0)
    layer = RelationalLinear(create_graph("complete", n=4), 10, 7, bias=False)
    full = layer.num_parameters()
    mask = torch.rand(layer.weight.shape) < 0.3
    mask &= layer.weight.detach() != 0
    layer.mask_weights(mask)
    assert layer.num_parameters() == layer.flops() == int(mask.sum()) < full == 70
    assert torch.equal(layer.weight != 0, mask)
    twin = RelationalLinear(create_graph("complete", n=4), 10, 7, bias=False)
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(twin.weight_mask, mask)
    with pytest.raises(ValueError, match="mask must be boolean of shape"):
        layer.mask_weights(mask[:3])
    with pytest.raises(ValueError, match="SharedMessage has no trained weight for every edge"):
        Round(random_graph(0), 13, 15, message="shared").mask_weights(mask)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (random_graph(1, edges=15), "keeps its number of nodes and edges, 6 and 14"),
        (random_graph(1, n=7), "but the new graph has 7 and 14"),
        (RelationalGraph(6, random_graph(1).edges, np.ones(14), self_loops=False),
         "must have edge attributes of the same number"),
    ],
)  # fmt: skip
def test_graphs_that_do_not_fit(graph: RelationalGraph, message: str) -> None:
    layer = RelationalLinear(random_graph(0), 13, 15)
    with pytest.raises(ValueError, match=message):
        layer.rewire(graph)
    assert layer.graph == random_graph(0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("execution", PINNED)
def test_a_compiled_round_is_not_compiled_again(execution: str) -> None:
    torch._dynamo.reset()
    layer = RelationalLinear(random_graph(0), 12, 18, execution=execution)
    layer.rewire(layer.graph)  # the gathered execution makes room
    compiled, x = torch.compile(layer, backend="eager"), torch.randn(3, 12)
    compiled(x).sum().backward()
    with torch._dynamo.config.patch(error_on_recompile=True):
        for seed in range(20):
            layer.rewire(random_graph(seed + 1))
            nn.init.normal_(layer.weight)
            torch.testing.assert_close(compiled(x), relmp.to_dense(layer)(x))
