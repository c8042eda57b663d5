"""Scored rounds against a sort and the bits of Philox; folds against the same block, unrolled."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

import relmp
from relmp.graphs import RelationalGraph
from relmp.rounds import Round
from relmp.rounds.execution import possible_executions
from tests.fuzz.how import fuzzed, refused_in_a_sentence
from tests.fuzz.test_layers import agree
from tests.fuzz.twin import laid_out, places
from tests.strategies import deaf_graphs


def real_slots(graph: RelationalGraph, channels: tuple[int, int], shape: Any) -> list[int]:
    """The numbers of the weights that are no padding, in order."""
    ins, outs = (places(graph.num_nodes, count) for count in channels)
    found = []
    for e, (u, v) in enumerate(graph.edges.T.tolist()):
        for o in range(outs[v].stop - outs[v].start):
            for i in range(ins[u].stop - ins[u].start):
                found.append((e * shape[1] + o) * shape[2] + i)
    return found


def chosen_of(scores: list[float], keep: float) -> list[bool]:
    """Those of the highest absolute value; of equal ones the last."""
    left = int((1 - keep) * len(scores))
    order = sorted(range(len(scores)), key=lambda i: (abs(scores[i]), i))
    return [i in set(order[left:]) for i in range(len(scores))]


def signs_of(seed: int, stream: int, count: int) -> list[float]:
    """One bit a sign, the lowest of each word first."""
    bits = np.random.Philox(key=np.array([seed, stream], dtype=np.uint64))
    words = [int(bits.random_raw()) for _ in range(-(-count // 64))]
    return [-1.0 if words[i // 64] >> (i % 64) & 1 else 1.0 for i in range(count)]


@fuzzed(150, deaf_graphs(5), st.tuples(st.integers(0, 9), st.integers(0, 9)),
        st.floats(0, 1) | st.sampled_from([0.1, 0.3, 0.5, 1.0]),
        st.sampled_from(["weight", "edge"]), st.booleans(), st.integers(0, 9),
        st.integers(0, 2**31))  # fmt: skip
def test_scored_rounds(
    graph: RelationalGraph, more: tuple[int, int], keep: float, granularity: str, tied: bool,
    way: int, seed: int,
) -> None:  # fmt: skip
    torch.manual_seed(seed)
    channels = (graph.num_nodes + more[0], graph.num_nodes + more[1])
    layer = None
    with refused_in_a_sentence():
        message = f"scored(keep={keep!r}, granularity={granularity!r})"
        layer = Round(graph, *channels, message=message).double()
    if layer is None or not graph.num_edges:
        return
    known = possible_executions(layer)
    layer.set_execution(known[way % len(known)])
    spoken: Any = layer.message_module
    with torch.no_grad():
        spoken.scores.copy_(torch.randn_like(spoken.scores))
        if tied:
            spoken.scores.round_()
    shape, (drawn, stream) = spoken.selection.frozen.shape, spoken.selection.key.tolist()
    slots = real_slots(graph, channels, shape)
    size = float(spoken.selection.size)
    frozen = torch.zeros(shape, dtype=torch.float64)
    frozen.view(-1)[slots] = size * torch.tensor(
        signs_of(drawn, stream, len(slots)), dtype=torch.float64
    )
    flat = spoken.scores.detach().flatten()
    mask = torch.zeros(shape, dtype=torch.float64)
    if granularity == "weight":
        picked = chosen_of(flat[slots].tolist(), keep)
        mask.view(-1)[slots] = torch.tensor(picked, dtype=torch.float64)
    else:
        picked = chosen_of(flat.tolist(), keep)
        mask += torch.tensor(picked, dtype=torch.float64).view(-1, 1, 1)
    weight = (frozen * mask).requires_grad_()
    x = torch.randn(3, channels[0], dtype=torch.float64, requires_grad=True)
    out = layer(x)
    twin = F.linear(x, laid_out(graph, weight, channels), layer.bias)
    agree([out], [twin], torch.float64)
    v = torch.randn_like(out)
    to_scores, to_x = torch.autograd.grad(out, [spoken.scores, x], v)
    to_weight, to_x_ = torch.autograd.grad(twin, [weight, x], v)
    straight = to_weight * frozen
    if granularity == "edge":
        straight = straight.sum((1, 2))
    agree([to_scores, to_x], [spoken.scores.detach().sign() * straight, to_x_], torch.float64)
    if granularity == "edge":
        kept = graph.edges[:, np.array(picked)]
        assert np.array_equal(layer.selected().edges, kept)


def blocks(graph: RelationalGraph, channels: int, kind: int) -> nn.Module:
    message = ["linear", "scored(keep=0.4)", "scored(keep=0.6, granularity='edge')", "gated"][kind]
    norms: list[Callable[[], nn.Module]] = [
        lambda: nn.BatchNorm1d(channels), lambda: nn.LayerNorm(channels),
        lambda: nn.GroupNorm(1, channels), nn.Identity,
    ]  # fmt: skip
    return nn.Sequential(
        Round(graph, channels, channels, message=message, bias=False,
              update=nn.Sequential(nn.BatchNorm1d(channels), nn.ReLU())),
        norms[kind](), nn.Linear(channels, channels),
    )  # fmt: skip


@fuzzed(80, deaf_graphs(5), st.integers(0, 9), st.integers(0, 3), st.integers(1, 4),
        st.sampled_from(["own", "shared"]), st.booleans(), st.booleans(),
        st.integers(0, 2**31))  # fmt: skip
def test_folds_unrolled(
    graph: RelationalGraph, more: int, kind: int, times: int, norm: Any, recompute: bool,
    trains: bool, seed: int,
) -> None:  # fmt: skip
    torch.manual_seed(seed)
    channels = graph.num_nodes + more
    block = None
    with refused_in_a_sentence():
        block = blocks(graph, channels, kind).double()
    if block is None:
        return
    first = copy.deepcopy(block)
    fold = relmp.Folded(block, times, norm, recompute=recompute).train(trains)
    copies = [first, *(copy.deepcopy(first) for _ in range(times - 1))]
    for other in copies[1:]:  # everything is shared but, with "own", the norms
        for part, mine in zip(other.modules(), first.modules(), strict=True):
            is_norm = isinstance(part, nn.BatchNorm1d | nn.LayerNorm | nn.GroupNorm)
            if norm == "own" and is_norm:
                continue
            for key in part._parameters:
                part._parameters[key] = mine._parameters[key]
            if is_norm:
                part._buffers = mine._buffers
    x = torch.randn(4, channels, dtype=torch.float64, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    for _ in range(2):
        out, twin = fold(x), y
        for other in copies:
            twin = other.train(trains)(twin)
        agree([out], [twin], torch.float64)
        out.sin().sum().backward()
        twin.sin().sum().backward()
    gradients: list[Tensor | None] = [x.grad, *(p.grad for p in fold.parameters())]
    seen = dict.fromkeys(p for other in copies for p in other.parameters())
    assert len(seen) == len(list(fold.parameters()))
    agree([x.grad], [y.grad], torch.float64)
    total = sum(float(g.square().sum()) for g in gradients[1:] if g is not None)
    theirs = sum(float(p.grad.square().sum()) for p in seen if p.grad is not None)
    np.testing.assert_allclose(total, theirs, rtol=1e-8)
    found = [(n, b) for n, b in fold.named_buffers() if "running" in n or "tracked" in n]
    right = dict.fromkeys(
        b for other in copies for n, b in other.named_buffers() if "running" in n or "tracked" in n
    )
    assert len(found) == len(right)
    ours, wanted = (
        sorted(float(b.double().sum()) for b in some)
        for some in ([b for _, b in found], list(right))
    )
    np.testing.assert_allclose(ours, wanted, rtol=1e-9, atol=1e-12)
