"""On a GPU: every execution against float64 on a CPU, training, compilation, and moving about."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import relmp
from relmp.graphs import RelationalGraph, create_graph
from relmp.rounds import RelationalConv2d, RelationalLinear, Round, resolve_message
from relmp.rounds.execution import MESSAGE_PASSING, possible_executions

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
    # What PyTorch and its compilers say of GPUs differs from version to version.
    pytest.mark.filterwarnings("ignore"),
]
DEVICE = "cuda"

ARCS = create_graph("ws_flex", n=8, k=3, p=0.3, seed=0).edge_index
GRAPH = RelationalGraph(8, ARCS, np.arange(ARCS.size(1))[:, None] % 3)
ASYMMETRIC = RelationalGraph.from_edges([(0, 1), (1, 2), (3, 0), (4, 2)], 5, directed=True)
MESSAGES = [
    "linear",
    "gated",
    "attention",
    "low_rank(rank=2)",
    "shared",
    "class_shared(num_classes=3)",
    "scalar",
    "frozen",
    "mlp(hidden=4)",
    "edge_attr(attr_dim=1)",
]
TOLERANCE = {
    torch.float64: 1e-11,
    torch.float32: 2e-5,
    torch.float16: 1e-2,
    torch.bfloat16: 6e-2,
}


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    """Convolutions in float32 as exact as on a CPU; the seed set, and both given back."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    torch.backends.cudnn.allow_tf32 = before


def derivatives(layer: Round, x: Tensor, direction: Tensor) -> list[Tensor]:
    """Output and gradients of the input and of all trained parameters."""
    x = x.detach().clone().requires_grad_()
    wanted = [x, *(p for p in layer.parameters() if p.requires_grad)]
    out = layer(x)
    found = torch.autograd.grad(out, wanted, direction.to(out.dtype), allow_unused=True)
    return [out.detach(), *(torch.zeros_like(p) if g is None else g
                            for g, p in zip(found, wanted, strict=True))]  # fmt: skip


def agree(layer: Round, x: Tensor, dtype: torch.dtype) -> list[str]:
    """All executions that a GPU has give what messages give on a CPU in float64."""
    layer, x = layer.to(dtype), x.to(dtype)
    twin = copy.deepcopy(layer).double()
    twin.set_execution(MESSAGE_PASSING)
    direction = torch.randn_like(twin(x.double()))
    expected = derivatives(twin, x.double(), direction)
    layer, x = layer.to(DEVICE), x.to(DEVICE)
    executions = possible_executions(layer)
    for execution in executions:
        layer.set_execution(execution)
        found = derivatives(layer, x, direction.to(DEVICE))
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == dtype
            allowed = TOLERANCE[dtype] * max(1.0, float(other.abs().max()))
            torch.testing.assert_close(one.double().cpu(), other, rtol=0, atol=allowed)
    return executions


def factory_of(message: str, images: bool) -> Any:
    factory = resolve_message(message)
    return partial(factory, kernel_size=3, padding=1) if images else factory


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("aggr", ["sum", "mean", "max"])
@pytest.mark.parametrize("images", [False, True], ids=["vectors", "images"])
@pytest.mark.parametrize("message", MESSAGES)
def test_executions(message: str, images: bool, aggr: str, dtype: torch.dtype) -> None:
    layer = Round(GRAPH, 19, 22, message=factory_of(message, images), aggr=aggr)
    executions = agree(layer, torch.randn(6, 19, *([5, 4] if images else [])), dtype)
    if message == "linear" and aggr != "max" and dtype == torch.float32:
        assert {MESSAGE_PASSING, "dense", "gpu_kernel"} <= set(executions)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision(dtype: torch.dtype) -> None:
    agree(RelationalLinear(GRAPH, 19, 22), torch.randn(6, 19), dtype)
    agree(RelationalConv2d(ASYMMETRIC, 19, 22, 3, 2, 1), torch.randn(6, 19, 5, 4), dtype)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("message", MESSAGES)
def test_autocast(message: str, dtype: torch.dtype) -> None:
    layer = Round(GRAPH, 19, 22, message=factory_of(message, False))
    x = torch.randn(6, 19)
    expected = layer(x)
    layer, x = layer.to(DEVICE), x.to(DEVICE)
    for execution in possible_executions(layer):
        layer.set_execution(execution)
        with torch.autocast(DEVICE, dtype=dtype):
            out = layer(x)
        scale = max(1.0, float(expected.detach().abs().max()))
        allowed = 2 * TOLERANCE[dtype] * scale
        torch.testing.assert_close(out.float().cpu(), expected, rtol=0, atol=allowed)
        out.float().square().sum().backward()
        for parameter in layer.parameters():
            if parameter.grad is not None:
                assert parameter.grad.isfinite().all()


@pytest.mark.parametrize("execution", [MESSAGE_PASSING, "dense", "gathered", "gpu_kernel"])
def test_compiled_whole(execution: str) -> None:
    torch._dynamo.reset()
    layer = RelationalLinear(GRAPH, 19, 22).to(DEVICE)
    layer.set_execution(execution)
    x = torch.randn(6, 19, device=DEVICE, requires_grad=True)
    compiled = torch.compile(layer, fullgraph=True)
    (found, expected) = (call(x) for call in (compiled, layer))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    gradients = [torch.autograd.grad(out.square().sum(), x)[0] for out in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)


def test_a_model_moves_there_and_back() -> None:
    layer = RelationalLinear(GRAPH, 190, 220)
    x = torch.randn(6, 190)
    expected, on_cpu = layer(x), layer.execution
    layer.to(DEVICE)
    assert layer.execution in (MESSAGE_PASSING, "dense", "gpu_kernel")
    torch.testing.assert_close(layer(x.to(DEVICE)).cpu(), expected, rtol=1e-4, atol=1e-5)
    layer.set_execution("gpu_kernel")
    with pytest.raises(ValueError, match="'gpu_kernel' cannot run this round: its weights are on"):
        layer.cpu()
    layer.set_execution("auto")
    assert layer.execution == on_cpu
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=0)


def test_a_round_made_on_the_gpu() -> None:
    with torch.device(DEVICE):
        layer = RelationalLinear(GRAPH, 19, 22)
    assert layer.weight.device.type == DEVICE
    assert layer.to(DEVICE)(torch.randn(3, 19, device=DEVICE)).shape == (3, 22)


@pytest.mark.parametrize("aggr", ["max", "min", "mul"])
def test_scatter_operators(aggr: str) -> None:
    """Those for which PyTorch Geometric takes torch-scatter's kernels where it is installed."""
    pytest.importorskip("torch_scatter")
    agree(Round(GRAPH, 19, 22, aggr=aggr), torch.randn(6, 19), torch.float32)


def test_segments() -> None:
    """What is taken under deterministic algorithms, by torch-scatter where it is installed."""
    for aggr in ("sum", "mean", "max"):
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            layer = Round(GRAPH, 19, 22, aggr=aggr, execution=MESSAGE_PASSING)
        finally:
            torch.use_deterministic_algorithms(False)
        agree(layer, torch.randn(6, 19), torch.float32)


# Training -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "options"),
    [
        ("mlp", "digits", {"in_features": 64, "width": 128}),
        ("small_cnn", "digits", {"in_channels": 1}),
        ("resnet20", "noise", {}),
    ],
)
@pytest.mark.parametrize("execution", ["auto", "gpu_kernel"])
def test_one_epoch(name: str, data: str, options: dict[str, Any], execution: str) -> None:
    graph = create_graph("ws_flex", n=16, k=4, p=0.2, seed=0)
    model = relmp.create_model(name, graph=graph, num_classes=10, seed=0, **options)
    if execution != "auto":
        model.to(DEVICE)
        for layer in model.modules():
            if isinstance(layer, Round):
                layer.set_execution(execution)
    history = relmp.train(model, data=data, epochs=1, device=DEVICE, seed=0, train_size=256)
    assert len(history) == 1
    assert np.isfinite(history["train_loss"]).all()


@pytest.mark.parametrize(("trained", "loaded"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_run_is_loaded_elsewhere(trained: str, loaded: str, tmp_path: Path) -> None:
    graph = create_graph("ws_flex", n=16, k=4, p=0.2, seed=0)
    model = relmp.create_model(
        "mlp", graph=graph, num_classes=10, in_features=64, width=640, seed=0
    )
    relmp.train(model, data="digits", epochs=1, device=trained, seed=0, out=tmp_path / "run")
    images = relmp.load_data("digits").test_images[:50]
    one, other = (
        relmp.load_run(tmp_path / "run", device=device).scores(images).cpu()
        for device in (trained, loaded)
    )
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    history = relmp.train(
        relmp.create_model("mlp", graph=graph, num_classes=10, in_features=64, width=640, seed=0),
        data="digits",
        epochs=1,
        device=loaded,
        seed=0,
        out=tmp_path / "run",
    )
    assert len(history) == 1


def test_weights_are_saved_without_their_device(tmp_path: Path) -> None:
    layer = RelationalConv2d(GRAPH, 19, 22, 3).to(DEVICE)
    torch.save(layer.state_dict(), tmp_path / "layer.pt")
    twin = RelationalConv2d(GRAPH, 19, 22, 3)
    twin.load_state_dict(torch.load(tmp_path / "layer.pt", map_location="cpu", weights_only=True))
    x = torch.randn(2, 19, 5, 5)
    torch.testing.assert_close(twin(x), layer(x.to(DEVICE)).cpu(), rtol=1e-4, atol=1e-4)
