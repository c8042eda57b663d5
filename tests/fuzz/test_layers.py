"""Layers x executions x types x layouts of memory against the dense twin: values, gradients and
gradients of gradients, for any directed graph and any number of channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor

import relmp
from relmp.graphs import RelationalGraph
from relmp.rounds import Round
from relmp.rounds.execution import possible_executions
from tests.fuzz.how import fuzzed, refused_in_a_sentence
from tests.fuzz.twin import laid_out
from tests.strategies import deaf_graphs, layouts

TOLERANCES = {torch.float64: 1e-10, torch.float32: 2e-4, torch.bfloat16: 0.15}


def agree(
    found: Sequence[Tensor | None], right: Sequence[Tensor | None], dtype: torch.dtype
) -> None:
    for one, other in zip(found, right, strict=True):
        one, other = (torch.zeros(()) if x is None else x for x in (one, other))
        if one.numel() == other.numel() == 0:
            continue
        size = max(1.0, float(other.detach().abs().max())) if other.numel() else 1.0
        torch.testing.assert_close(
            one.double(), other.double().expand_as(one), rtol=0, atol=TOLERANCES[dtype] * size
        )


def compared(
    layer: Round, twin: Callable[[Tensor], Tensor], leaf: Tensor, laid: Callable[[Tensor], Tensor],
    numbers: torch.Generator, dtype: torch.dtype,
) -> None:  # fmt: skip
    """Values, gradients and second gradients of a layer and its twin, by the same leaves."""
    wanted = [leaf, *layer.parameters()]
    results = []
    v = u = None
    for apply in (layer, twin):
        out = apply(laid(leaf))
        if v is None:
            v = torch.randn(out.shape, generator=numbers, dtype=torch.float64).to(out)
            v.requires_grad_()
        first = torch.autograd.grad(out, wanted, v, create_graph=True, allow_unused=True)
        first = tuple(
            torch.zeros_like(w) if g is None else g for g, w in zip(first, wanted, strict=True)
        )
        if u is None:
            u = [torch.randn(g.shape, generator=numbers, dtype=torch.float64).to(g) for g in first]
        total = sum((a * b).sum() for a, b in zip(first, u, strict=True))
        second: Sequence[Any] = [None] * (len(wanted) + 1)
        if total.requires_grad:
            second = torch.autograd.grad(total, [*wanted, v], allow_unused=True)
        results.append([out, *first, *second])
    agree(results[0], results[1], dtype)


@st.composite
def rounds(draw: st.DrawFn) -> dict[str, Any]:
    graph = draw(deaf_graphs())
    n = graph.num_nodes
    channels = draw(st.tuples(st.integers(n, 4 * n), st.integers(n, 4 * n)))
    return {"graph": graph, "channels": channels, "bias": draw(st.booleans()),
            "aggr": draw(st.sampled_from(["sum", "mean"])),
            "dtype": draw(st.sampled_from([torch.float64] * 3 + [torch.float32, torch.bfloat16])),
            "batch": draw(st.sampled_from([0, 1, 1, 2, 3, 7])),
            "way": draw(st.integers(0, 3)), "seed": draw(st.integers(0, 2**31))}  # fmt: skip


def executed(layer: Round, way: int, dtype: torch.dtype) -> None:
    layer.to(dtype)
    known = possible_executions(layer)
    layer.set_execution(known[way % len(known)])


@fuzzed(400, rounds(), layouts(), st.lists(st.integers(0, 3), max_size=2))
def test_linear_rounds(about: dict[str, Any], layout: Any, more: list[int]) -> None:
    torch.manual_seed(about["seed"])
    numbers = torch.Generator().manual_seed(about["seed"])
    graph, channels, dtype = about["graph"], about["channels"], about["dtype"]
    layer = relmp.RelationalLinear(graph, *channels, about["bias"], aggr=about["aggr"])
    executed(layer, about["way"], dtype)
    leaf, laid = layout((about["batch"], channels[0]), numbers, dtype)

    def twin(x: Tensor) -> Tensor:
        weight = laid_out(graph, layer.weight, channels, mean=about["aggr"] == "mean")
        return F.linear(x, weight, layer.bias)

    compared(layer, twin, leaf, laid, numbers, dtype)
    if dtype == torch.float64:
        x = torch.randn(*more, channels[0], generator=numbers, dtype=dtype)
        agree([layer(x)], [twin(x)], dtype)


@fuzzed(250, rounds(), layouts(images=True), st.tuples(*[st.integers(1, 3)] * 2),
        st.tuples(*[st.integers(1, 2)] * 2), st.tuples(*[st.integers(0, 2)] * 2), st.integers(1, 2),
        st.tuples(*[st.integers(1, 7)] * 2), st.sampled_from([None, None, 1, 2]))  # fmt: skip
def test_convolutions(
    about: dict[str, Any], layout: Any, kernel: tuple[int, int], stride: tuple[int, int],
    padding: tuple[int, int], dilation: int, pixels: tuple[int, int], chunk: int | None,
) -> None:  # fmt: skip
    torch.manual_seed(about["seed"])
    numbers = torch.Generator().manual_seed(about["seed"])
    graph, channels, dtype = about["graph"], about["channels"], about["dtype"]
    layer = relmp.RelationalConv2d(
        graph, *channels, kernel, stride, padding, dilation, bias=about["bias"],
        aggr=about["aggr"], chunk_size=chunk,
    )  # fmt: skip
    executed(layer, about["way"], dtype)
    leaf, laid = layout((about["batch"], channels[0], *pixels), numbers, dtype)

    def twin(x: Tensor) -> Tensor:
        weight = laid_out(graph, layer.weight, channels, mean=about["aggr"] == "mean")
        spaced = [1 if side == 1 else dilation for side in kernel]  # PyTorch may end the process
        return F.conv2d(x, weight, layer.bias, stride, padding, spaced)

    room = [p + 2 * q - dilation * (k - 1) for p, q, k in zip(pixels, padding, kernel, strict=True)]
    if min(room) < 1:
        with pytest.raises((RuntimeError, ValueError)):
            layer(laid(leaf))
        return
    compared(layer, twin, leaf, laid, numbers, dtype)


ANY = st.one_of(
    st.integers(-2, 9), st.floats(), st.none(), st.booleans(), st.text(max_size=3),
    st.just(2**40), st.lists(st.integers(0, 3), max_size=2),
)  # fmt: skip


@fuzzed(500, deaf_graphs() | ANY, ANY, ANY, st.dictionaries(st.sampled_from(
    ["bias", "execution", "chunk_size", "aggr", "message", "update"]), ANY,
    max_size=2))  # fmt: skip
def test_any_arguments(graph: Any, ins: Any, outs: Any, more: dict[str, Any]) -> None:
    with refused_in_a_sentence():
        layer = Round(graph, ins, outs, **more)
        assert isinstance(layer.graph, RelationalGraph)
        layer(torch.randn(2, ins))
