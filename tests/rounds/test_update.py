"""Batch norm and ReLU computed with the round: what they give one after the other, and no more."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from relmp.graphs import RelationalGraph
from relmp.rounds import Round
from tests.strategies import graphs_and_channels

GRAPH = RelationalGraph.from_edges([(0, 1), (1, 2), (3, 0), (4, 2)], 5, directed=True)
TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-4}


def make(
    graph: RelationalGraph = GRAPH, c_in: int = 13, c_out: int = 22, *, relu: bool = True,
    **options: Any,
) -> Round:  # fmt: skip
    """A round whose update is not at its start."""
    norm = nn.BatchNorm1d(c_out, **options)
    update = nn.Sequential(norm, nn.ReLU()) if relu else norm
    layer = Round(graph, c_in, c_out, bias=False, update=update, execution="cpu_kernel")
    with torch.no_grad():
        for tensor in norm.parameters():
            tensor.uniform_(-1, 1)
        if norm.running_mean is not None and norm.running_var is not None:
            norm.running_mean.uniform_(-1, 1)
            norm.running_var.uniform_(0.5, 2)
    return layer


def by_parts(layer: Round) -> nn.Sequential:
    """The definition, and PyTorch's own modules behind it."""
    twin = copy.deepcopy(layer)
    update = twin.update_module
    twin.update_module = None
    twin.set_execution("message_passing")
    return nn.Sequential(twin, update).train(layer.training)


def is_fused(out: Tensor) -> bool:
    return "UpdatedRound" in type(out.grad_fn).__name__


def agree(layer: Round, x: Tensor, *, fused: bool = True) -> None:
    """Values, gradients and running statistics are those of the parts."""
    twin, x = by_parts(layer), x.requires_grad_()
    out, expected = layer(x), twin(x)
    assert is_fused(out) == fused
    direction = torch.randn_like(expected)
    found = torch.autograd.grad(out, [x, *layer.parameters()], direction)
    wanted = torch.autograd.grad(expected, [x, *twin.parameters()], direction)
    buffers = zip(layer.update_module.buffers(), twin[1].buffers(), strict=True)
    for one, other in [(out, expected), *zip(found, wanted, strict=True), *buffers]:
        allowed = TOLERANCE[x.dtype] * max(1.0, float(other.detach().abs().max()))
        torch.testing.assert_close(one, other, rtol=0, atol=allowed)


@settings(deadline=None, max_examples=30)
@given(
    case=graphs_and_channels(max_nodes=6),
    images=st.sampled_from([8, 16, 17, 33, 150, 300]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    trains=st.booleans(),
    relu=st.booleans(),
    momentum=st.sampled_from([0.1, 0.7]),
)
def test_values_gradients_and_statistics(
    case: tuple[RelationalGraph, int, int], images: int, dtype: torch.dtype, trains: bool,
    relu: bool, momentum: float,
) -> None:  # fmt: skip
    layer = make(*case, relu=relu, momentum=momentum, eps=1e-2).to(dtype).train(trains)
    agree(layer, torch.randn(images, case[1], dtype=dtype))


def test_the_mean_and_inputs_in_any_layout() -> None:
    norm = nn.BatchNorm1d(22)
    layer = Round(GRAPH, 13, 22, aggr="mean", bias=False, update=norm, execution="cpu_kernel")
    agree(layer.double(), torch.randn(13, 40, dtype=torch.float64).t())
    agree(layer, torch.randn(1, 13, dtype=torch.float64).expand(9, 13).contiguous())


@pytest.mark.parametrize("trains", [True, False])
def test_derivatives_of_any_order(trains: bool) -> None:
    torch.manual_seed(0)
    layer = make(c_in=6, c_out=7).double().train(trains)
    x = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    tensors = {name: p.detach().clone().requires_grad_() for name, p in layer.named_parameters()}

    def call(x: Tensor, *given: Tensor) -> Tensor:
        parameters = dict(zip(tensors, given, strict=True))
        return torch.func.functional_call(layer, parameters, (x,))

    assert is_fused(call(x, *tensors.values()))
    assert torch.autograd.gradcheck(call, (x, *tensors.values()))
    assert torch.autograd.gradgradcheck(call, (x, *tensors.values()))


def test_only_what_is_wanted_is_differentiated() -> None:
    layer = make().double()
    layer.message_module.weight.requires_grad_(False)
    x = torch.randn(9, 13, dtype=torch.float64)
    layer(x).sum().backward()
    assert layer.message_module.weight.grad is None
    assert layer.update_module[0].weight.grad is not None
    with torch.no_grad():
        torch.testing.assert_close(layer(x), by_parts(layer)(x))


@pytest.mark.parametrize(
    "options", [{"affine": False}, {"track_running_stats": False}, {"momentum": None}]
)
def test_other_norms_follow_the_round(options: dict[str, Any]) -> None:
    agree(make(**options).double(), torch.randn(9, 13, dtype=torch.float64), fused=False)


def test_whoever_looks_in_between_sees_the_parts() -> None:
    layer, x = make().double(), torch.randn(9, 13, dtype=torch.float64)
    seen: list[tuple[int, ...]] = []
    places = [layer.update_module, layer.update_module[0], layer.update_module[1]]
    hooks = [part.register_forward_hook(lambda *a: seen.append(a[2].shape)) for part in places]
    hooks.append(layer.register_propagate_forward_hook(lambda *a: seen.append(a[2].shape)))
    for left in range(len(hooks), 0, -1):
        agree(layer, x, fused=False)
        seen.clear()
        layer(x)
        assert len(seen) == left
        hooks[left - 1].remove()
    agree(layer, x)


def test_one_image_is_refused_in_training_as_by_pytorch() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        make()(torch.randn(1, 13))
    assert make().eval()(torch.randn(1, 13)).shape == (1, 22)


def test_nan_stays() -> None:
    layer = make().eval()
    x = torch.randn(4, 13)
    x[0, 0] = torch.nan
    assert torch.equal(layer(x).isnan(), by_parts(layer)(x).isnan())
    assert layer(x).isnan().any()


class Operators(TorchDispatchMode):
    """Notes every operator."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def test_what_records_operators_sees_them() -> None:
    layer = make()
    with Operators() as seen:
        out = layer(torch.randn(9, 13))
    assert not is_fused(out)
    assert "relmp.vector_round.default" in seen.names
    assert any("batch_norm" in name for name in seen.names)


def test_threads_do_not_change_it() -> None:
    layer, x = make(), torch.randn(150, 13)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            inputs = [x.clone().requires_grad_(), *layer.parameters()]
            out = layer(inputs[0])
            found.append([out.detach(), *torch.autograd.grad(out.sin().sum(), inputs)])
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
