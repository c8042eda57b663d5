"""What the GPU kernels compute. Run by test_gpu_kernel.py in a process of its own, on a GPU or,
with TRITON_INTERPRET=1, in Triton's interpreter."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from relmp.graphs import RelationalGraph, create_graph
from relmp.rounds import (
    ChannelPartition,
    Conv2dMessage,
    RelationalConv2d,
    RelationalLinear,
    Round,
)
from relmp.rounds.execution import possible_executions
from relmp.rounds.execution.convolution import convolution_of
from relmp.rounds.execution.gpu.tables import graph_table
from relmp.rounds.execution.gpu.tiles import correlate_tile, splits_of
from relmp.rounds.geometry import Vectors

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
on_a_gpu = pytest.mark.skipif(not CUDA, reason="no GPU here")

GRAPHS = {
    "asymmetric": RelationalGraph.from_edges([(0, 1), (1, 2), (3, 0), (4, 2)], 5, directed=True),
    "complete": create_graph("complete", n=3),
    "star": RelationalGraph.from_edges([(0, leaf) for leaf in range(1, 6)], 6),
    "isolated": RelationalGraph(5, np.array([[0, 2, 1], [1, 1, 3]])),
}
ASYMMETRIC = GRAPHS["asymmetric"]
SMALL = RelationalGraph.from_edges([(0, 1), (2, 1)], 3, directed=True)
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}
TYPES = list(TOLERANCE)


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def derivatives(layer: Round, x: Tensor, direction: Tensor, *, second: bool) -> list[Tensor]:
    """Output, gradients, and the gradients of the sum of their squares."""
    x = x.detach().clone().requires_grad_()
    direction = direction.detach().clone().requires_grad_()
    wanted = [x, layer.message_module.weight]
    out = layer(x)
    first = torch.autograd.grad(out, wanted, direction, create_graph=second)
    if not second:
        return [out, *first]
    square = sum(gradient.square().sum() for gradient in first)
    return [out, *first, *torch.autograd.grad(square, [*wanted, direction])]


def agree(layer: Round, x: Tensor, *, second: bool = False) -> list[Tensor]:
    """The kernels give what the dense layer gives in float64, from the same numbers."""
    layer, x = layer.to(DEVICE), x.to(DEVICE)
    layer.set_execution("gpu_kernel")
    twin = copy.deepcopy(layer)
    twin.set_execution("dense")
    twin.double()
    with torch.no_grad():
        out = twin(x.double())
    direction = torch.randn_like(out, dtype=x.dtype)
    found = derivatives(layer, x, direction, second=second)
    expected = derivatives(twin, x.double(), direction.double(), second=second)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == x.dtype
        assert one.shape == other.shape
        scale = max(1.0, float(other.detach().abs().max())) if other.numel() else 1.0
        allowed = TOLERANCE[x.dtype] * scale
        torch.testing.assert_close(one.double(), other, rtol=0, atol=allowed)
    return found


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_linear_rounds(dtype: torch.dtype) -> None:
    layer = RelationalLinear(ASYMMETRIC, 17, 23).to(dtype)
    agree(layer, torch.randn(17, 17, dtype=dtype), second=True)


@pytest.mark.parametrize("graph", GRAPHS)
def test_graphs(graph: str) -> None:
    agree(RelationalLinear(GRAPHS[graph], 12, 18), torch.randn(5, 12), second=True)


@pytest.mark.parametrize(("in_size", "out_size"), [(2, 2), (1, 30), (64, 3), (3, 70), (16, 16)])
def test_node_sizes(in_size: int, out_size: int) -> None:
    layer = RelationalLinear(ASYMMETRIC, 5 * in_size + 1, 5 * out_size)
    agree(layer, torch.randn(20, 5 * in_size + 1))


def test_sizes_that_differ_widely() -> None:
    sizes = [ChannelPartition.from_sizes(sizes) for sizes in ([1, 20, 3, 2, 9], [7, 1, 33, 2, 2])]
    agree(RelationalLinear(ASYMMETRIC, *sizes), torch.randn(20, 35), second=True)


@pytest.mark.parametrize("aggr", ["sum", "mean"])
def test_aggregations(aggr: str) -> None:
    agree(Round(GRAPHS["star"], 17, 13, aggr=aggr), torch.randn(9, 17))
    message = partial(Conv2dMessage, kernel_size=1)
    agree(Round(GRAPHS["isolated"], 17, 13, message=message, aggr=aggr), torch.randn(2, 17, 3, 3))


GEOMETRIES = {
    "1x1": {"kernel_size": 1},
    "1x1, stride 2": {"kernel_size": 1, "stride": 2},
    "3x3": {"kernel_size": 3, "padding": 1},
    "3x3, stride 2": {"kernel_size": 3, "stride": 2, "padding": 1},
    "3x2, all uneven": {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 2),
                        "dilation": (1, 2)},
    "same": {"kernel_size": (3, 1), "padding": "same", "dilation": (2, 1)},
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "last"),
    [*((name, False) for name in GEOMETRIES), ("1x1", True), ("3x3, stride 2", True)],
)
def test_convolutions(name: str, last: bool) -> None:
    layer = RelationalConv2d(SMALL, 7, 8, **GEOMETRIES[name])
    x = torch.randn(2, 7, 4, 3)
    if last:
        x = x.to(memory_format=torch.channels_last)
    found = agree(layer, x)
    if last:
        assert found[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_convolutions_in_all_types(dtype: torch.dtype) -> None:
    layer = RelationalConv2d(SMALL, 7, 8, (3, 2), 2, 1).to(dtype)
    agree(layer, torch.randn(2, 7, 4, 4, dtype=dtype), second=True)


def test_images_that_become_one_pixel_and_back() -> None:
    agree(RelationalConv2d(SMALL, 4, 5, 3), torch.randn(3, 4, 3, 3))
    agree(RelationalConv2d(SMALL, 4, 5, 3, padding=2), torch.randn(3, 4, 1, 1))


def test_memory_that_is_not_in_order() -> None:
    agree(RelationalConv2d(ASYMMETRIC, 7, 6, 1), torch.randn(4, 7, 4, 5).transpose(2, 3))
    agree(RelationalConv2d(ASYMMETRIC, 7, 6, 1), torch.randn(141)[1:].view(1, 7, 4, 5))
    agree(RelationalLinear(ASYMMETRIC, 7, 6), torch.randn(7, 4).t())


def test_sums_in_parts() -> None:
    """The weight gradient over many positions is added up in parts, the same way every time."""
    assert splits_of(3, 150, correlate_tile(3, 6, 4, exact=True)) > 1
    layer = RelationalLinear(SMALL, 7, 8)
    x = torch.randn(150, 7)
    first = agree(layer, x)
    direction = torch.randn(150, 8, device=DEVICE)
    one, other = (derivatives(layer, x.to(DEVICE), direction, second=False) for _ in range(2))
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a, b)
    assert torch.equal(first[0], one[0])


def test_no_images() -> None:
    layer = RelationalLinear(ASYMMETRIC, 7, 6).to(DEVICE)
    layer.set_execution("gpu_kernel")
    out = layer(torch.randn(0, 7, device=DEVICE, requires_grad=True))
    assert out.shape == (0, 6)
    out.sum().backward()
    assert layer.weight.grad is not None
    assert not layer.weight.grad.any()


def test_nodes_that_hear_nothing() -> None:
    """Not even themselves; the table takes such graphs."""
    from relmp.rounds.execution.gpu.operators import round_forward

    edges = (np.array([0, 2]), np.array([1, 1]))
    graph: Any = SimpleNamespace(edges=edges, num_edges=2, num_nodes=3)
    part = ChannelPartition(3, 6)
    table, sizes = graph_table(graph, part, part)
    x = torch.randn(2, 6, 1, 1, device=DEVICE, requires_grad=True)
    weight = torch.randn(2, 2, 2, 1, 1, device=DEVICE, requires_grad=True)
    geometry = convolution_of(Vectors(), (1, 1)).numbers()
    y = round_forward(x, weight, table.to(DEVICE), list(sizes), geometry)
    assert not y[:, [0, 1, 4, 5]].any()
    matrix = weight.detach()[:, :, :, 0, 0]
    expected = x.detach()[:, :2, 0, 0] @ matrix[0].T + x.detach()[:, 4:, 0, 0] @ matrix[1].T
    torch.testing.assert_close(y[:, 2:4, 0, 0], expected, rtol=0, atol=1e-5)
    to_x, to_weight = torch.autograd.grad(y.sum(), [x, weight])
    assert not to_x[:, 2:4].any()
    assert to_weight.abs().min() > 0


def test_what_is_no_number_reaches_listeners_only() -> None:
    layer = RelationalLinear(ASYMMETRIC, 10, 10).to(DEVICE)
    layer.set_execution("gpu_kernel")
    x = torch.randn(4, 10, device=DEVICE)
    x[:, 0] = torch.nan  # node 0 is heard by itself and by node 1
    assert layer(x).isnan().any(0).tolist() == [True] * 4 + [False] * 6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_under_autocast(dtype: torch.dtype) -> None:
    layer = RelationalLinear(ASYMMETRIC, 17, 13).to(DEVICE)
    x = torch.randn(9, 17, device=DEVICE)
    layer.set_execution("gpu_kernel")
    with torch.autocast(DEVICE, dtype=dtype):
        out = layer(x)
    assert out.dtype == dtype
    expected = layer.to_dense().double()(x.double()).detach()
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=5 * TOLERANCE[dtype])
    out.float().square().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32


def test_only_what_is_wanted_is_differentiated() -> None:
    layer = RelationalLinear(ASYMMETRIC, 7, 6).to(DEVICE)
    layer.set_execution("gpu_kernel")
    x = torch.randn(3, 7, device=DEVICE)
    layer(x).sum().backward()
    layer.requires_grad_(False)
    layer(x.requires_grad_()).sum().backward()
    assert x.grad is not None


@pytest.mark.filterwarnings("ignore")
def test_the_operators_are_well_formed() -> None:
    """PyTorch's own check of schema, fake kernels and autograd, with compilation."""
    from relmp.rounds.execution.gpu.operators import round_forward

    layer = RelationalConv2d(SMALL, 4, 5, (1, 2), 2, 1).to(DEVICE)
    layer.set_execution("gpu_kernel")
    geometry = convolution_of(layer.message_module.geometry, (2, 3)).numbers()
    weight = layer.weight.detach().clone().requires_grad_()
    rest = (weight, layer.executor.table, layer.executor.sizes, geometry)
    x = torch.randn(2, 4, 2, 3, device=DEVICE, requires_grad=True)
    torch.library.opcheck(round_forward, (x, *rest))
    x = x.detach().to(memory_format=torch.channels_last)
    torch.library.opcheck(round_forward, (x, *rest), test_utils=("test_faketensor",))


@pytest.mark.filterwarnings("ignore")
def test_compiled_whole() -> None:
    model = nn.Sequential(
        RelationalConv2d(SMALL, 4, 5, 3, 2, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        RelationalLinear(SMALL, 5, 4),
    ).to(DEVICE)
    for layer in (model[0], model[-1]):
        layer.set_execution("gpu_kernel")
    twin = copy.deepcopy(model)
    compiled = torch.compile(model, fullgraph=True, backend="inductor" if CUDA else "aot_eager")
    x = torch.randn(2, 4, 4, 4, device=DEVICE)
    found, expected = compiled(x), twin(x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    found.square().sum().backward()
    expected.square().sum().backward()
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5)


def test_what_is_refused() -> None:
    layer = RelationalLinear(ASYMMETRIC, 7, 6).to(DEVICE)
    assert "gpu_kernel" in possible_executions(layer)
    assert layer.execution != "gpu_kernel"  # auto waits for a measured table
    layer.double()
    with pytest.raises(ValueError, match="'gpu_kernel' cannot run this round: its weights are to"):
        layer.set_execution("gpu_kernel")
    layer = Round(ASYMMETRIC, 7, 6, aggr="max").to(DEVICE)
    with pytest.raises(ValueError, match="aggregation 'max' is not linear"):
        layer.set_execution("gpu_kernel")
    layer = Round(ASYMMETRIC, 7, 6, message="gated").to(DEVICE)
    assert "gpu_kernel" not in possible_executions(layer)


@on_a_gpu
def test_large_rounds_on_a_gpu() -> None:
    graph = create_graph("ws_flex", n=64, k=8.5, p=0.2, seed=3)
    for dtype in TYPES:
        agree(RelationalLinear(graph, 1410, 1410).to(dtype), torch.randn(128, 1410, dtype=dtype))
        for pixels in (7, 8, 14):
            layer = RelationalConv2d(graph, 170, 345, 3, 2, 1).to(dtype)
            agree(layer, torch.randn(16, 170, pixels, pixels, dtype=dtype))
            layer = RelationalConv2d(graph, 345, 170, 1).to(dtype)
            agree(layer, torch.randn(16, 345, pixels, pixels, dtype=dtype))


@on_a_gpu
def test_tf32_where_pytorch_is_told_so() -> None:
    graph = create_graph("ws_flex", n=64, k=8.5, p=0.2, seed=3)
    layer = RelationalLinear(graph, 1410, 1410).to(DEVICE)
    layer.set_execution("gpu_kernel")
    x = torch.randn(128, 1410, device=DEVICE)
    expected = layer.to_dense().double()(x.double()).detach()
    errors = []
    before = torch.get_float32_matmul_precision()
    for precision in ("highest", "high"):
        torch.set_float32_matmul_precision(precision)
        errors.append(float((layer(x) - expected).detach().norm() / expected.norm()))
    torch.set_float32_matmul_precision(before)
    assert errors[0] < 1e-6
    assert 1e-5 < errors[1] < 2e-3


@on_a_gpu
@pytest.mark.filterwarnings("ignore:The AccumulateGrad node's stream does not match")
def test_in_a_cuda_graph() -> None:
    layer = RelationalConv2d(ASYMMETRIC, 17, 13, 3, padding=1).to(DEVICE)
    layer.set_execution("gpu_kernel")
    x = torch.randn(4, 17, 6, 6, device=DEVICE, requires_grad=True)

    def step() -> list[Tensor]:
        out = layer(x)
        return [out, *torch.autograd.grad(out.square().sum(), [x, layer.weight])]

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    with torch.no_grad():
        x.normal_()
    graph.replay()
    for one, other in zip(captured, step(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
