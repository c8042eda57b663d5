"""A convolutional round is the convolution with its kernels laid out and zeros off the graph."""

from __future__ import annotations

import io
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from relmp.graphs import RelationalGraph, create_graph
from relmp.rounds import (
    Conv2dMessage,
    Message,
    RelationalConv2d,
    RelationalLinear,
    Round,
    dense_layer,
    dense_weight,
    keep_dense_weight,
)
from relmp.rounds.execution import EXECUTIONS
from tests.strategies import graphs_and_channels

ELSEWHERE = ("auto", "gathered", "gpu_kernel")
PINNED = [execution for execution in EXECUTIONS if execution not in ELSEWHERE]
ASYMMETRIC = RelationalGraph.from_edges([(0, 1), (1, 2), (3, 0), (4, 2)], 5, directed=True)


def laid_out(layer: Round, weight: Tensor) -> Tensor:
    """The dense kernels, one by one from the definition, and nothing of the layer's code."""
    nodes = layer.graph.num_nodes
    ins, outs = (_channels(nodes, c) for c in (layer.in_channels, layer.out_channels))
    dense = weight.new_zeros(layer.out_channels, layer.in_channels, *weight.shape[3:])
    for e, (source, target) in enumerate(layer.graph.edges.T.tolist()):
        for o, row in enumerate(outs[target]):
            for i, column in enumerate(ins[source]):
                dense[row, column] = weight[e, o, i]
    return dense


def _channels(nodes: int, channels: int) -> list[range]:
    sizes = [channels // nodes + (i < channels % nodes) for i in range(nodes)]
    ends = np.cumsum(np.random.RandomState(1).permutation(sizes)).tolist()
    return [range(start, end) for start, end in zip([0, *ends], ends, strict=False)]


GEOMETRIES = st.fixed_dictionaries(
    {
        "kernel_size": st.sampled_from([1, 2, 3, (3, 1), (2, 3)]),
        "stride": st.sampled_from([1, 2, (1, 2)]),
        "padding": st.sampled_from([0, 1, (1, 0), "valid"]),
        "dilation": st.sampled_from([1, 2]),
    }
)


@pytest.mark.parametrize("execution", PINNED)
@settings(deadline=None, max_examples=60)
@given(
    case=graphs_and_channels(max_nodes=5),
    geometry=GEOMETRIES,
    bias=st.booleans(),
    chunk_size=st.sampled_from([None, 1, 2]),
    seed=st.integers(0, 1000),
)
def test_equals_convolution_with_zeros(
    execution: str,
    case: tuple[RelationalGraph, int, int],
    geometry: dict[str, int],
    bias: bool,
    chunk_size: int | None,
    seed: int,
) -> None:
    graph, c_in, c_out = case
    torch.manual_seed(seed)
    layer = RelationalConv2d(
        graph, c_in, c_out, **geometry, bias=bias, execution=execution, chunk_size=chunk_size
    ).double()
    x = torch.randn(3, c_in, 6, 7, dtype=torch.float64, requires_grad=True)
    weight = layer.weight.detach().clone().requires_grad_()
    offset = layer.bias.detach().clone().requires_grad_() if bias else None
    options = {key: value for key, value in geometry.items() if key != "kernel_size"}
    expected = F.conv2d(x, laid_out(layer, weight), offset, **options)
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
def test_complete_graph_is_conv2d(execution: str) -> None:
    graph = create_graph("complete", n=4)
    layer = RelationalConv2d(graph, 10, 7, 3, 2, 1, execution=execution).double()
    dense = layer.to_dense()
    assert type(dense) is nn.Conv2d
    assert dense.stride == (2, 2)
    assert int((dense.weight != 0).sum()) == layer.num_parameters() - 7 == 10 * 7 * 9
    assert layer.flops(positions=16) == 16 * 10 * 7 * 9
    x = torch.randn(2, 10, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(layer(x), dense(x), rtol=0, atol=1e-12)


def test_same_padding() -> None:
    layer = RelationalConv2d(ASYMMETRIC, 6, 6, 3, padding="same", execution="message_passing")
    x = torch.randn(2, 6, 5, 5)
    assert layer(x).shape == x.shape
    torch.testing.assert_close(layer(x), layer.to_dense()(x))


def test_information_flows_from_source_to_target() -> None:
    layer = RelationalConv2d(ASYMMETRIC, 5, 5, 1, bias=False)
    heard = (layer(torch.eye(5)[:, :, None, None]).flatten(1) != 0).T
    expected = torch.eye(5, dtype=torch.bool)
    for source, target in [(0, 1), (1, 2), (3, 0), (4, 2)]:
        expected[target, source] = True
    assert torch.equal(heard, expected)


def test_initial_weights_follow_the_density() -> None:
    """Variance 2 / (k^2 c_out density), whatever the graph."""
    torch.manual_seed(0)
    for graph in (create_graph("complete", n=16), create_graph("ws_flex", n=16, k=3, p=0, seed=0)):
        layer = RelationalConv2d(graph, 64, 200, 3)
        weight = layer.to_dense().weight.detach()
        real = weight[weight != 0]
        density = len(real) / weight.numel()
        assert float(real.std()) == pytest.approx((2 / (9 * 200 * density)) ** 0.5, rel=0.02)
        # The bias as nn.Conv2d's: uniform within 1 / sqrt(numbers that an output depends on).
        heard = (weight != 0).flatten(1).sum(1)
        assert (layer.bias.detach().abs() <= heard.rsqrt()).all()
        assert float((layer.bias.detach() * heard.sqrt()).abs().max()) > 0.9


def test_pyg_generated_propagate() -> None:
    layer = RelationalConv2d(ASYMMETRIC, 5, 5, 3)
    assert "RelationalConv2d" in layer.propagate.__module__


@pytest.mark.parametrize("execution", PINNED)
def test_padding_stays_zero(execution: str) -> None:
    torch.manual_seed(0)
    layer = RelationalConv2d(ASYMMETRIC, 11, 13, 3, padding=1, execution=execution)
    padded = layer.weight == 0
    assert padded.any()
    assert layer.num_parameters() == int((~padded).sum()) + 13
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        layer(torch.randn(4, 11, 4, 4)).square().sum().backward()
        optimizer.step()
    assert (layer.weight[padded] == 0).all()
    assert (layer.weight[~padded] != 0).all()


class Counting(Message):
    """Notes how many images it was given at a time."""

    def __init__(self, num_edges: int, in_dim: int, out_dim: int, seen: list[int]) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.seen, self.out_dim = seen, out_dim

    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        self.seen.append(x_j.size(1))
        return self.scale * x_j.mean(2, keepdim=True).expand(-1, -1, self.out_dim)


def test_chunks_are_recomputed_and_the_update_sees_the_whole_batch() -> None:
    seen: list[int] = []
    update = nn.BatchNorm1d(10)
    layer = Round(
        ASYMMETRIC, 5, 10, message=partial(Counting, seen=seen), update=update, chunk_size=2
    )
    whole = Round(ASYMMETRIC, 5, 10, message=partial(Counting, seen=[]), update=nn.BatchNorm1d(10))
    whole.load_state_dict(layer.state_dict())
    x = torch.randn(5, 5, requires_grad=True)
    out = layer(x)
    assert seen == [2, 2, 1]
    torch.testing.assert_close(out, whole(x))
    (gradient,) = torch.autograd.grad(out.square().sum(), x)
    assert len(seen) == 6, "the messages were kept, not made again"
    torch.testing.assert_close(gradient, torch.autograd.grad(whole(x).square().sum(), x)[0])
    with torch.no_grad():
        layer(x)
    assert seen[6:] == [2, 2, 1]


@pytest.mark.parametrize("aggr", ["mean", "max", "median"])
def test_other_aggregations_take_images(aggr: str) -> None:
    message = partial(Conv2dMessage, kernel_size=3, stride=2, padding=1)
    layer = Round(ASYMMETRIC, 11, 13, message=message, aggr=aggr)
    out = layer(torch.randn(2, 11, 8, 8, requires_grad=True))
    assert out.shape == (2, 13, 4, 4)
    if aggr == "mean":
        layer.set_execution("dense")
        x = torch.randn(2, 11, 8, 8)
        dense = layer(x)
        layer.set_execution("message_passing")
        torch.testing.assert_close(layer(x), dense)
    else:
        with pytest.raises(ValueError, match=f"aggregation '{aggr}' is not linear"):
            dense_layer(layer)


@pytest.mark.parametrize("aggr", ["sum", "mean"])
def test_weights_are_kept_on_the_edges(aggr: str) -> None:
    message = partial(Conv2dMessage, kernel_size=3)
    layer = Round(ASYMMETRIC, 11, 13, message=message, aggr=aggr)
    on_edges = dense_weight(layer) != 0
    weight = torch.randn(13, 11, 3, 3)
    keep_dense_weight(layer, weight)
    torch.testing.assert_close(dense_weight(layer), weight * on_edges)
    linear = RelationalLinear(ASYMMETRIC, 11, 13)
    keep_dense_weight(linear, weight[:, :, 0, 0])
    torch.testing.assert_close(dense_weight(linear), (weight * on_edges)[:, :, 0, 0])


def test_update_and_mode_survive_in_the_dense_layer() -> None:
    update = nn.Sequential(nn.BatchNorm2d(13), nn.ReLU())
    layer = Round(ASYMMETRIC, 11, 13, message=partial(Conv2dMessage, kernel_size=1), update=update)
    layer.eval()
    dense = dense_layer(layer)
    assert [type(module) for module in dense] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert not dense[1].training
    x = torch.randn(2, 11, 4, 4)
    torch.testing.assert_close(dense(x), layer(x))
    with torch.no_grad():
        dense[0].weight.zero_()
    assert (layer.message_module.weight != 0).any(), "the dense layer shares the round's storage"


def test_state_travels_with_its_graph() -> None:
    layer = RelationalConv2d(ASYMMETRIC, 11, 13, 3, execution="dense")
    buffer = io.BytesIO()
    torch.save(layer.state_dict(), buffer)
    buffer.seek(0)
    state = torch.load(buffer, weights_only=True)
    twin = RelationalConv2d(ASYMMETRIC, 11, 13, 3, execution="message_passing")
    twin.load_state_dict(state)
    x = torch.randn(2, 11, 5, 5)
    torch.testing.assert_close(twin(x), layer(x))
    with pytest.raises(RuntimeError, match="saved for another graph"):
        RelationalConv2d(RelationalGraph(5, ASYMMETRIC.edges[::-1]), 11, 13, 3).load_state_dict(
            state
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 0}, "kernel_size must be a whole number of at least 1, or a pair"),
        ({"kernel_size": 3, "stride": (1, 2, 3)}, r"stride must be .* but is \(1, 2, 3\)"),
        ({"kernel_size": 3, "padding": -1}, "padding must be a whole number of at least 0"),
        ({"kernel_size": 3, "padding": "same", "stride": 2}, "with stride 1 'same'"),
        ({"kernel_size": 3, "chunk_size": 0}, "chunk_size must be a whole number of at least 1"),
    ],
)
def test_mistakes_are_named(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RelationalConv2d(ASYMMETRIC, 11, 13, **options)


@pytest.mark.parametrize("execution", PINNED)
def test_vectors_and_images_are_not_confused(execution: str) -> None:
    """A linear round of 8 channels must not multiply the columns of an 8 x 8 image."""
    linear = Round(ASYMMETRIC, 8, 8, execution=execution)
    with pytest.raises(ValueError, match=r"LinearMessage takes .* \[B, C\], but was given 4 dim"):
        linear(torch.randn(2, 8, 8, 8))
    message = partial(Conv2dMessage, kernel_size=1)
    conv = Round(ASYMMETRIC, 8, 8, message=message, execution=execution)
    with pytest.raises(ValueError, match=r"Conv2dMessage takes .* \[B, C, H, W\], but was given 2"):
        conv(torch.randn(2, 8))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("execution", PINNED)
def test_compiles_whole(execution: str) -> None:
    layer = RelationalConv2d(ASYMMETRIC, 11, 13, 3, stride=2, padding=1, execution=execution)
    compiled = torch.compile(layer, fullgraph=True)
    x = torch.randn(3, 11, 8, 8, requires_grad=True)
    torch.testing.assert_close(compiled(x), layer(x))
    gradient = torch.autograd.grad(compiled(x).sum(), x)
    torch.testing.assert_close(gradient, torch.autograd.grad(layer(x).sum(), x))


def test_wrong_images_are_named() -> None:
    layer = RelationalConv2d(ASYMMETRIC, 11, 13, 3)
    with pytest.raises(ValueError, match=r"takes \[B, 11, H, W\], but was given \[2, 12, 5, 5\]"):
        layer(torch.randn(2, 12, 5, 5))
    with pytest.raises(ValueError, match="4 channels cannot be shared by 5 nodes"):
        RelationalConv2d(ASYMMETRIC, 4, 13, 3)
