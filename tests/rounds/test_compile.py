"""torch.compile, autocast and torch.export take every message and the aggregations that fit."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from relmp.graphs import create_graph
from relmp.rounds import Round, resolve_message

GRAPH = create_graph("ws_flex", n=8, k=4, p=0.3, seed=0)
MESSAGES = ["linear", "gated", "attention", "low_rank(rank=2)", "shared", "scalar", "frozen", "mlp"]
AGGREGATIONS: list[Any] = ["sum", "max", "softmax(learn=True)", ["sum", "max"]]

quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def make(message: str, aggr: Any = "sum", images: bool = False, **options: Any) -> Round:
    torch.manual_seed(0)
    factory = resolve_message(message)
    if images:
        factory = partial(factory, kernel_size=3, padding=1)
    return Round(GRAPH, 19, 22, message=factory, aggr=aggr, execution="message_passing", **options)


def inputs(images: bool = False) -> torch.Tensor:
    return torch.randn(3, 19, *([5, 4] if images else []), requires_grad=True)


@pytest.mark.slow
@quiet
@pytest.mark.parametrize(
    ("message", "aggr"),
    [
        *((message, "max") for message in MESSAGES),
        ("gated", "sum"),
        ("linear", "median"),
        ("linear", "quantile(q=0.3)"),
        ("linear", "softmax(learn=True)"),
        ("linear", ["sum", "max"]),
    ],
    ids=str,
)
def test_compiles_whole_with_backward(message: str, aggr: Any) -> None:
    torch._dynamo.reset()
    layer, x = make(message, aggr), inputs()
    compiled = torch.compile(layer, fullgraph=True)
    out = compiled(x)
    torch.testing.assert_close(out, layer(x), rtol=1e-4, atol=1e-5)
    gradient = torch.autograd.grad(out.sin().sum(), x)
    torch.testing.assert_close(
        gradient, torch.autograd.grad(layer(x).sin().sum(), x), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("images", [False, True])
@pytest.mark.parametrize("aggr", AGGREGATIONS, ids=str)
@pytest.mark.parametrize("message", MESSAGES)
def test_autocast_is_close_to_float32(message: str, aggr: Any, images: bool) -> None:
    layer, x = make(message, aggr, images), inputs(images)
    exact = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
    assert out.isfinite().all()
    scale = float(exact.detach().abs().max())
    assert float((out.float() - exact).detach().abs().max()) < 0.05 * scale
    (gradient,) = torch.autograd.grad(out.float().square().sum(), x)
    assert gradient.dtype == torch.float32
    assert gradient.isfinite().all()


@quiet
@pytest.mark.parametrize("message", ["linear", "gated", "attention", "shared", "mlp"])
def test_exports(message: str) -> None:
    layer, x = make(message).eval(), inputs().detach()
    exported = torch.export.export(layer, (x,)).module()
    torch.testing.assert_close(exported(x), layer(x))


@quiet
@pytest.mark.parametrize("fuse", [True, False])
def test_the_dense_execution_exports(fuse: bool) -> None:
    layer = Round(GRAPH, 19, 22, execution="dense").eval()
    layer.fuse = fuse
    x = inputs().detach()
    exported = torch.export.export(layer, (x,)).module()
    torch.testing.assert_close(exported(x), layer(x))
