"""A round is the dense layer with its weights laid out and zeros off the graph."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from relmp.graphs import RelationalGraph, create_graph
from relmp.rounds import ChannelPartition, Edges, Message, RelationalLinear, Round
from relmp.rounds.execution import EXECUTIONS
from tests.strategies import graphs_and_channels

PINNED = [execution for execution in EXECUTIONS if execution not in ("auto", "gpu_kernel")]
ASYMMETRIC = RelationalGraph.from_edges([(0, 1), (1, 2), (3, 0), (4, 2)], 5, directed=True)


def laid_out(layer: Round, weight: Tensor) -> Tensor:
    """The dense weight, entry by entry from the definition, and nothing of the layer's code."""
    graph = layer.graph
    ins = _channels_of_nodes(graph.num_nodes, layer.in_channels)
    outs = _channels_of_nodes(graph.num_nodes, layer.out_channels)
    dense = weight.new_zeros(layer.out_channels, layer.in_channels)
    for e, (source, target) in enumerate(graph.edges.T.tolist()):
        for o, row in enumerate(outs[target]):
            for i, column in enumerate(ins[source]):
                dense[row, column] = weight[e, o, i]
    return dense


def _channels_of_nodes(nodes: int, channels: int) -> list[range]:
    sizes = [channels // nodes + (i < channels % nodes) for i in range(nodes)]
    sizes = np.random.RandomState(1).permutation(sizes).tolist()
    starts = np.cumsum([0, *sizes]).tolist()
    return [range(starts[i], starts[i + 1]) for i in range(nodes)]


@pytest.mark.parametrize("execution", PINNED)
@settings(deadline=None, max_examples=60)
@given(case=graphs_and_channels(), bias=st.booleans(), seed=st.integers(0, 1000))
def test_equals_dense_layer_with_zeros(
    execution: str, case: tuple[RelationalGraph, int, int], bias: bool, seed: int
) -> None:
    graph, c_in, c_out = case
    torch.manual_seed(seed)
    layer = RelationalLinear(graph, c_in, c_out, bias=bias, execution=execution).double()
    x = torch.randn(3, c_in, dtype=torch.float64, requires_grad=True)
    weight = layer.weight.detach().clone().requires_grad_()
    offset = layer.bias.detach().clone().requires_grad_() if bias else None
    expected = F.linear(x, laid_out(layer, weight), offset)
    found = layer(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)

    direction = torch.randn_like(expected)
    theirs = [x, weight] + ([offset] if bias else [])
    ours = [x, layer.weight] + ([layer.bias] if bias else [])
    for mine, other in zip(
        torch.autograd.grad(found, ours, direction),
        torch.autograd.grad(expected, theirs, direction),
        strict=True,
    ):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("execution", PINNED)
def test_complete_graph_is_linear(execution: str) -> None:
    graph = create_graph("complete", n=4)
    layer = RelationalLinear(graph, 10, 7, execution=execution).double()
    linear = layer.to_dense()
    assert int((linear.weight != 0).sum()) == layer.num_parameters() - 7 == 70
    x = torch.randn(2, 3, 10, dtype=torch.float64)
    torch.testing.assert_close(layer(x), linear(x), rtol=0, atol=1e-12)


def test_complete_graph_is_initialised_as_linear() -> None:
    torch.manual_seed(0)
    layer = RelationalLinear(create_graph("complete", n=8), 64, 512)
    bound = 1 / 8  # 1 / sqrt(64), as nn.Linear
    for values in (layer.weight.detach(), layer.bias.detach()):
        assert values.abs().max() <= bound
        assert float(values.std()) == pytest.approx(bound / 3**0.5, rel=0.1)


def test_information_flows_from_source_to_target() -> None:
    layer = RelationalLinear(ASYMMETRIC, 5, 5, bias=False)
    x = torch.eye(5)
    heard = (layer(x) != 0).T  # row: target, column: source
    expected = torch.eye(5, dtype=torch.bool)
    for source, target in [(0, 1), (1, 2), (3, 0), (4, 2)]:
        expected[target, source] = True
    assert torch.equal(heard, expected)


def test_pyg_generated_propagate() -> None:
    # PyG swallows a failure to generate it and falls back to the slow template.
    for layer in (RelationalLinear(ASYMMETRIC, 5, 5), Round(ASYMMETRIC, 5, 5)):
        assert type(layer).__name__ in layer.propagate.__module__
        assert layer.propagate.__func__ is not Round.__mro__[1].propagate


class _Fresh(Round):
    """A class of which PyG has not seen an instance yet."""


def test_first_instance_does_not_decide_for_all() -> None:
    _Fresh(ASYMMETRIC, 5, 5, aggr="median")
    layer = _Fresh(ASYMMETRIC, 5, 5, aggr="sum", execution="dense")
    assert layer(torch.randn(2, 5)).shape == (2, 5)


def test_fuse_false_runs_the_definition() -> None:
    layer = RelationalLinear(ASYMMETRIC, 11, 13, execution="dense").double()
    x = torch.randn(4, 11, dtype=torch.float64)
    fused = layer(x)
    called = []
    layer.register_message_and_aggregate_forward_hook(lambda *_: called.append("fused"))
    layer(x)
    layer.fuse = False
    layer.register_message_forward_hook(lambda *_: called.append("messages"))
    torch.testing.assert_close(layer(x), fused, rtol=0, atol=1e-12)
    assert called == ["fused", "messages"]


@pytest.mark.parametrize("execution", PINNED)
def test_padding_stays_zero_and_is_not_counted(execution: str) -> None:
    torch.manual_seed(0)
    layer = RelationalLinear(ASYMMETRIC, 11, 13, execution=execution)
    padded = layer.weight == 0
    assert padded.any()
    assert layer.num_parameters() == int((~padded).sum()) + 13
    assert layer.flops() == int((~padded).sum())
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.randn(4, 11)).square().sum().backward()
        assert layer.weight.grad is not None
        assert (layer.weight.grad[padded] == 0).all()
        optimizer.step()
    assert (layer.weight[padded] == 0).all()
    assert (layer.weight[~padded] != 0).all()


@pytest.mark.parametrize("execution", PINNED)
def test_gradcheck(execution: str) -> None:
    layer = RelationalLinear(ASYMMETRIC, 6, 7, execution=execution).double()
    x = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, w: torch.func.functional_call(layer, {"message_module.weight": w}, (x,)),
        (x, layer.weight.detach().clone().requires_grad_()),
    )


def test_update_comes_after_bias() -> None:
    layer = Round(ASYMMETRIC, 5, 10, update=nn.Sequential(nn.BatchNorm1d(10), nn.ReLU()))
    out = layer(torch.randn(6, 5))
    assert out.shape == (6, 10)
    assert out.min() == 0


@pytest.mark.parametrize("execution", PINNED)
def test_state_travels_with_its_graph(execution: str) -> None:
    layer = RelationalLinear(ASYMMETRIC, 11, 13, execution=execution)
    assert set(layer.state_dict()) == {"message_module.weight", "bias", "edge_index"}
    buffer = io.BytesIO()
    torch.save(layer.state_dict(), buffer)
    buffer.seek(0)
    state = torch.load(buffer, weights_only=True)
    # All executions share parameters and state.
    for other in PINNED:
        twin = RelationalLinear(ASYMMETRIC, 11, 13, execution=other)
        twin.load_state_dict(state)
        x = torch.randn(3, 11)
        torch.testing.assert_close(twin(x), layer(x))
    reversed_arcs = RelationalGraph(5, ASYMMETRIC.edges[::-1])
    with pytest.raises(RuntimeError, match="saved for another graph: 5 nodes and 9 edges there"):
        RelationalLinear(reversed_arcs, 11, 13).load_state_dict(state)


@pytest.mark.parametrize("execution", PINNED)
def test_copies_pickles_and_compiles(execution: str) -> None:
    layer = RelationalLinear(ASYMMETRIC, 11, 13, execution=execution)
    x = torch.randn(3, 11)
    expected = layer(x)
    torch.testing.assert_close(copy.deepcopy(layer)(x), expected)
    torch.testing.assert_close(pickle.loads(pickle.dumps(layer))(x), expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("execution", PINNED)
def test_compiles_whole(execution: str) -> None:
    layer = RelationalLinear(ASYMMETRIC, 11, 13, execution=execution)
    compiled = torch.compile(layer, fullgraph=True)
    x = torch.randn(3, 11, requires_grad=True)
    torch.testing.assert_close(compiled(x), layer(x))
    gradient = torch.autograd.grad(compiled(x).sum(), x)
    torch.testing.assert_close(gradient, torch.autograd.grad(layer(x).sum(), x))


class Attentive(Message):
    """A message that reads everything it may: both ends and the edges."""

    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.value = nn.Linear(in_dim, out_dim)

    def forward(self, x_i: Tensor, x_j: Tensor, edges: Edges) -> Tensor:
        assert edges.source_mask.shape == (x_j.size(0), x_j.size(2))
        assert torch.equal(edges.ptr[1:] - edges.ptr[:-1], edges.target.bincount())
        score = (x_i * x_j).sum(-1, keepdim=True)
        share = torch.zeros_like(score)
        for start, stop in zip(edges.ptr.tolist()[:-1], edges.ptr.tolist()[1:], strict=True):
            share[start:stop] = score[start:stop].softmax(0)
        return share * self.value(x_j)


def test_custom_message_reads_both_ends_and_the_edges() -> None:
    layer = Round(ASYMMETRIC, 11, 13, message=Attentive, bias=False)
    assert layer.execution == "message_passing"
    x = torch.randn(4, 11)
    nodes = F.pad(x, (0, 1))[:, layer.in_partition.slots]  # [B, n, c]
    values = layer.message_module.value(nodes)
    scores = torch.einsum("bic,bjc->bij", nodes, nodes)
    adjacency = torch.zeros(5, 5, dtype=torch.bool)
    adjacency[layer.edge_index[1], layer.edge_index[0]] = True
    shares = scores.masked_fill(~adjacency, -torch.inf).softmax(2)
    expected = (shares @ values).flatten(1)[:, layer.out_partition.mask.flatten()]
    torch.testing.assert_close(layer(x), expected)


class Loud(Message):
    """Fills padded channels with noise, which the round must silence."""

    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.out_dim = out_dim

    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return torch.full((*x_j.shape[:2], self.out_dim), 100.0)


def test_what_a_message_writes_into_padding_is_zeroed() -> None:
    seen: list[Tensor] = []
    layer = Round(ASYMMETRIC, 11, 13, message=Loud, aggr="max", bias=False)
    layer.aggr_module.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    assert layer(torch.randn(2, 11)).tolist() == [[100.0] * 13] * 2
    mask = torch.from_numpy(ChannelPartition(5, 13).mask)[layer.edge_index[1]]
    assert (seen[0][:, 0][~mask] == 0).all()
    assert (~mask).any()


class Short(Message):
    """Says one channel too few."""

    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__()

    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return x_j[:, :, :1]


def test_wrong_shapes_are_named() -> None:
    layer = Round(ASYMMETRIC, 15, 15, message=Short)
    with pytest.raises(ValueError, match=r"Short must return .*\[9, 2, 3\].*returned \[9, 2, 1\]"):
        layer(torch.randn(2, 15))
    with pytest.raises(ValueError, match=r"takes \[B, 15\].*given \[2, 14\]"):
        layer(torch.randn(2, 14))
    with pytest.raises(ValueError, match=r"takes \[..., 15\]"):
        RelationalLinear(ASYMMETRIC, 15, 15)(torch.randn(2, 14))
    with pytest.raises(ValueError, match=r"4 channels cannot be shared by 5 nodes"):
        Round(ASYMMETRIC, 4, 15)
    with pytest.raises(NotImplementedError, match="Short does not say what it costs"):
        layer.flops()
