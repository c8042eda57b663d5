"""Batch norm and ReLU computed with a round of images: what they give one after the other."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from relmp.graphs import RelationalGraph
from relmp.rounds import Conv2dMessage, Round
from tests.strategies import graphs_and_channels

GRAPH = RelationalGraph.from_edges([(0, 1), (1, 2), (3, 0), (4, 2)], 5, directed=True)
TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-4}


def make(
    graph: RelationalGraph = GRAPH, c_in: int = 13, c_out: int = 22, *, relu: bool = True,
    kernel: int = 3, stride: int = 1, aggr: str = "sum", **options: Any,
) -> Round:  # fmt: skip
    """A convolutional round whose update is not at its start."""
    norm = nn.BatchNorm2d(c_out, **options)
    update = nn.Sequential(norm, nn.ReLU()) if relu else norm
    message = partial(Conv2dMessage, kernel_size=kernel, stride=stride, padding=kernel // 2)
    how: dict[str, Any] = {"update": update, "aggr": aggr, "execution": "cpu_kernel"}
    layer = Round(graph, c_in, c_out, message=message, bias=False, **how)
    with torch.no_grad():
        for tensor in norm.parameters():
            tensor.uniform_(-1, 1)
        if norm.running_mean is not None and norm.running_var is not None:
            norm.running_mean.uniform_(-1, 1)
            norm.running_var.uniform_(0.5, 2)
    return layer


def by_parts(layer: Round) -> nn.Sequential:
    """One dense product, and PyTorch's own modules behind it."""
    twin = copy.deepcopy(layer)
    update = twin.update_module
    twin.update_module = None
    twin.set_execution("dense")
    return nn.Sequential(twin, update).train(layer.training)


def is_fused(out: Tensor) -> bool:
    behind = out.grad_fn.next_functions[0][0]
    return "Unpack" in type(out.grad_fn).__name__ and "PackedRound" in type(behind).__name__


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
        assert one.shape == other.shape
        allowed = TOLERANCE[x.dtype] * max(1.0, float(other.detach().abs().max()))
        torch.testing.assert_close(one, other, rtol=0, atol=allowed)


@settings(deadline=None, max_examples=30)
@given(
    case=graphs_and_channels(max_nodes=5),
    images=st.sampled_from([2, 7, 16, 17, 33, 49]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    trains=st.booleans(),
    relu=st.booleans(),
    kernel=st.sampled_from([1, 3]),
    stride=st.sampled_from([1, 2]),
    momentum=st.sampled_from([0.1, 0.7]),
)
def test_values_gradients_and_statistics(
    case: tuple[RelationalGraph, int, int], images: int, dtype: torch.dtype, trains: bool,
    relu: bool, kernel: int, stride: int, momentum: float,
) -> None:  # fmt: skip
    how: dict[str, Any] = {"kernel": kernel, "stride": stride, "momentum": momentum, "eps": 1e-2}
    layer = make(*case, relu=relu, **how).to(dtype).train(trains)
    agree(layer, torch.randn(images, case[1], 4, 5, dtype=dtype))


@pytest.mark.parametrize("trains", [True, False])
def test_many_pixels_and_one_image(trains: bool) -> None:
    layer = make().double().train(trains)
    agree(layer, torch.randn(2, 13, 17, 19, dtype=torch.float64))
    agree(layer, torch.randn(1, 13, 6, 5, dtype=torch.float64))


def test_the_mean_and_inputs_in_any_layout() -> None:
    layer, x = make(aggr="mean").double(), torch.randn(4, 13, 6, 5, dtype=torch.float64)
    agree(layer, x.to(memory_format=torch.channels_last))
    agree(layer, x.transpose(2, 3).contiguous().transpose(2, 3))
    agree(layer, x[::2, :, 1:, ::2])
    twin, wide = by_parts(layer), x[:1].expand(3, 13, 6, 5)
    torch.testing.assert_close(layer(wide), twin(wide))
    out = layer(x)
    assert out.is_contiguous()
    gradient = torch.ones(1, dtype=torch.float64).expand_as(out)
    found = torch.autograd.grad(out, list(layer.parameters()), gradient)
    wanted = torch.autograd.grad(twin(x), list(twin.parameters()), gradient)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("trains", [True, False])
def test_derivatives_of_any_order(trains: bool) -> None:
    torch.manual_seed(0)
    layer = make(c_in=6, c_out=7).double().train(trains)
    x = torch.randn(2, 6, 2, 3, dtype=torch.float64, requires_grad=True)
    tensors = {name: p.detach().clone().requires_grad_() for name, p in layer.named_parameters()}
    real = (tensors["message_module.weight"] != 0).double()  # padded slots are held at zero

    def call(x: Tensor, *given: Tensor) -> Tensor:
        parameters = dict(zip(tensors, given, strict=True))
        parameters["message_module.weight"] = parameters["message_module.weight"] * real
        return torch.func.functional_call(layer, parameters, (x,))

    assert is_fused(call(x, *tensors.values()))
    assert torch.autograd.gradcheck(call, (x, *tensors.values()))
    assert torch.autograd.gradgradcheck(call, (x, *tensors.values()))


def test_a_round_alone_is_differentiated_to_any_order() -> None:
    torch.manual_seed(0)
    layer = make(c_in=6, c_out=7).double()
    layer.update_module = None
    x = torch.randn(2, 6, 2, 3, dtype=torch.float64, requires_grad=True)
    assert is_fused(layer(x))
    assert torch.autograd.gradcheck(layer, (x,))
    assert torch.autograd.gradgradcheck(lambda x: layer(x).sin(), (x,))


def test_only_what_is_wanted_is_differentiated() -> None:
    layer = make().double()
    layer.message_module.weight.requires_grad_(False)
    x = torch.randn(9, 13, 3, 3, dtype=torch.float64)
    layer(x).sum().backward()
    assert layer.message_module.weight.grad is None
    assert layer.update_module[0].weight.grad is not None
    with torch.no_grad():
        torch.testing.assert_close(layer(x), by_parts(layer)(x))


@pytest.mark.parametrize(
    "options", [{"affine": False}, {"track_running_stats": False}, {"momentum": None}]
)
def test_other_norms_follow_the_round(options: dict[str, Any]) -> None:
    agree(make(**options).double(), torch.randn(9, 13, 3, 3, dtype=torch.float64), fused=False)


def test_whoever_looks_in_between_sees_the_parts() -> None:
    layer, x = make().double(), torch.randn(9, 13, 3, 3, dtype=torch.float64)
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


def test_one_value_is_refused_in_training_as_by_pytorch() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        make()(torch.randn(1, 13, 1, 1))
    assert make().eval()(torch.randn(1, 13, 1, 1)).shape == (1, 22, 1, 1)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_nan_and_infinity_stay_with_their_image(bad: float) -> None:
    layer, x = make().eval(), torch.randn(4, 13, 5, 5)
    x[0, 0, 2, 2] = bad
    twin = by_parts(layer)
    twin[0].set_execution("message_passing")
    out, expected = layer(x), twin(x)
    assert torch.equal(out.isnan(), expected.isnan())
    assert torch.equal(out.isinf(), expected.isinf())
    assert out[0].isfinite().logical_not().any()
    assert out[1:].isfinite().all()


def test_what_records_operators_sees_them() -> None:
    class Operators(TorchDispatchMode):
        names: tuple[str, ...] = ()

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            self.names += (str(func),)
            return func(*args, **(kwargs or {}))

    layer = make()
    with Operators() as seen:
        out = layer(torch.randn(9, 13, 3, 3))
    assert not is_fused(out)
    assert "relmp.round.default" in seen.names
    assert any("batch_norm" in name for name in seen.names)


def test_autocast_sees_the_parts() -> None:
    layer, x = make().eval(), torch.randn(9, 13, 3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, expected = layer(x), by_parts(layer)(x)
    assert out.dtype == expected.dtype
    torch.testing.assert_close(out, expected, rtol=0.05, atol=0.1)


def test_threads_do_not_change_it() -> None:
    layer, x = make(), torch.randn(50, 13, 5, 4)
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
