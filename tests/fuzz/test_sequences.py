"""Rounds in time against a loop over a dense matrix, step by step; and tasks in time, whose answers
are looked for in what was shown."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor

import relmp
from relmp.graphs import RelationalGraph
from relmp.models.recurrent.products import LAYINGS
from relmp.rounds.execution import possible_executions
from relmp.training.data import load_data
from tests.fuzz.how import changed_text, fuzzed, refused_in_a_sentence
from tests.fuzz.test_layers import ANY, agree
from tests.fuzz.test_messages import written_out
from tests.fuzz.twin import laid_out
from tests.strategies import deaf_graphs, layouts

PHI = {"tanh": torch.tanh, "relu": F.relu, "identity": lambda x: x}
INITS = ["uniform", "degree", "rank", "spectral(radius=0.9)", "spectral(radius=2, base='degree')",
         "rank(base='degree')", "spectral(base='spectral')", "rank(base=3)", "none"]  # fmt: skip


@st.composite
def times(draw: st.DrawFn) -> dict[str, Any]:
    graph = draw(deaf_graphs(5))
    n = graph.num_nodes
    return {
        "graph": graph, "hidden": draw(st.none() | st.integers(n, 3 * n)),
        "phi": draw(st.sampled_from(sorted(PHI))), "leak": draw(st.sampled_from([1.0, 1, 0.3])),
        "message": draw(st.sampled_from(["linear"] * 5 + ["low_rank(rank=2)", "gated", "scored"])),
        "aggr": draw(st.sampled_from(["sum", "sum", "mean", "max"])),
        "bias": draw(st.booleans()), "first": draw(st.booleans()),
        "batch_first": draw(st.booleans()), "batch": draw(st.sampled_from([None, 0, 1, 2, 5])),
        "steps": draw(st.integers(1, 4)), "way": draw(st.integers(0, 9)),
        "dtype": draw(st.sampled_from([torch.float64] * 4 + [torch.float32])),
        "regions": draw(st.none() | st.lists(st.integers(1, 3), min_size=1, max_size=4)),
        "change": draw(st.sampled_from(["none", "copy", "state", "edges", "grown"])),
        "seed": draw(st.integers(0, 2**31)),
    }  # fmt: skip


def in_time(layer: relmp.RelationalRNN, graph: RelationalGraph, x: Tensor, h: Tensor) -> Tensor:
    """The states of ``x [T, B, C]``, by the definition."""
    message, states = layer.round.message_module, []
    linear = layer.round.aggr in ("sum", "mean") and hasattr(message, "weight")
    hidden = (layer.hidden_size,) * 2
    matrix = None
    if linear and layer.round.graph is graph:
        matrix = laid_out(graph, message.weight, hidden, mean=layer.round.aggr == "mean")
    for step in x:
        if matrix is not None:
            heard = torch.stack([matrix @ row for row in h]) if len(h) else h
        else:
            heard = written_out(layer.round, h)
        drive = step @ layer.weight_ih.T
        told = PHI[layer.nonlinearity](heard + drive + (0 if layer.bias is None else layer.bias))
        h = h + layer.leak * (told - h)
        states.append(h)
    return torch.stack(states)


@fuzzed(250, times(), layouts(images=True))
def test_rounds_in_time(about: dict[str, Any], layout: Any) -> None:
    torch.manual_seed(about["seed"])
    numbers = torch.Generator().manual_seed(about["seed"])
    graph, dtype, batch = about["graph"], about["dtype"], about["batch"]
    regions = about["regions"] and [*about["regions"]]
    if regions is not None and sum(regions) < graph.num_nodes:
        regions.append(graph.num_nodes - sum(regions))
    layer = None
    with refused_in_a_sentence():
        layer = relmp.RelationalRNN(
            graph, 2, None if regions else about["hidden"], nonlinearity=about["phi"],
            bias=about["bias"], batch_first=about["batch_first"], leak=about["leak"],
            regions=regions, message="linear" if regions else about["message"],
            aggr="sum" if regions else about["aggr"],
        ).to(dtype)  # fmt: skip
    if layer is None:
        return
    ways = [*possible_executions(layer.round), *LAYINGS, "auto"]
    with refused_in_a_sentence():
        layer.set_execution(ways[about["way"] % len(ways)])
    if about["change"] == "copy":
        layer = copy.deepcopy(layer)
    elif about["change"] == "state":
        twin = copy.deepcopy(layer)
        layer.reset_parameters()
        layer.load_state_dict(twin.state_dict())
    elif about["change"] == "grown":
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.mul_(1.5)
    elif about["change"] == "edges":
        n = layer.round.graph.num_nodes
        codes = torch.randperm(n * n, generator=numbers)[: layer.round.graph.num_edges].sort()
        other = np.stack(np.divmod(codes.values.numpy(), n))
        with refused_in_a_sentence():
            layer.round.rewire(RelationalGraph(n, other, self_loops=False))
    shape = (about["steps"], batch or (0 if batch == 0 else 1), 2)
    leaf, laid = layout((shape[1], 2, shape[0], 1), numbers, dtype)
    h_0 = torch.randn(shape[1], layer.hidden_size, generator=numbers, dtype=torch.float64)
    h_0 = h_0.to(dtype).requires_grad_()
    wanted = [leaf, h_0, *(p for p in layer.parameters() if p.requires_grad)]
    graph_now = layer.round.graph
    v = torch.randn(shape[0], shape[1], layer.hidden_size, generator=numbers, dtype=torch.float64)

    def ours() -> tuple[Tensor, Tensor]:
        x = laid(leaf)[..., 0].permute(2, 0, 1)
        first = h_0[None] if about["first"] else None
        if batch is None:
            states, last = layer(x[:, 0], None if first is None else first[:, 0])
            return states[:, None], last[:, None]
        states, last = layer(x.transpose(0, 1) if about["batch_first"] else x, first)
        return states.transpose(0, 1) if about["batch_first"] else states, last

    found = []
    for states, last in (
        ours(),
        (
            theirs := in_time(
                layer, graph_now, laid(leaf)[..., 0].permute(2, 0, 1), h_0 * about["first"]
            ),
            theirs[-1:],
        ),
    ):
        total = (states * v.to(dtype)).sum() + last.square().sum()
        grads = torch.autograd.grad(total, wanted, allow_unused=True, materialize_grads=True)
        found.append([states, last, *grads])
    agree(found[0], found[1], dtype)


TASKS = ["nback", "sequence_memory", "sequence_recall", "memory_capacity", "digit_nback"]
SETTINGS = {
    "n": st.integers(0, 5), "length": st.integers(-1, 6), "lags": st.integers(0, 9),
    "steps": st.integers(0, 30), "transient": st.integers(-1, 12), "seed": st.integers(-1, 5),
    "trials": st.integers(0, 40),
}  # fmt: skip


@fuzzed(300, st.sampled_from(TASKS), st.fixed_dictionaries({}, optional=SETTINGS))
def test_tasks(task: str, given: dict[str, int]) -> None:
    usual = (
        {"trials": 20} if task != "memory_capacity" else {"steps": 40, "lags": 5, "transient": 3}
    )
    text = ", ".join(f"{name}={value}" for name, value in (usual | given).items())
    data = None
    with refused_in_a_sentence():
        data = load_data(f"{task}({text})")
    if data is None:
        return
    again = load_data(data.name)
    assert again.describe() == data.describe()
    for part in ("train", "test"):
        for inputs, labels in data.batches(part):
            for x, y in zip(inputs.double().numpy(), labels.double().numpy(), strict=True):
                assert answered(task, given, x, y)
            shown = inputs.flatten(1).double()
            assert len(shown) < 2 or len(shown.unique(dim=0)) == len(shown), "a sequence twice"
    if data.asks_classes:
        share = data.train_labels[data.asked("train")].double().mean()
        assert share == 0.5
    else:
        asked = data.asked("train")
        assert asked.any(-1).any(-1).all()


def answered(task: str, given: dict[str, int], x: Any, y: Any) -> bool:
    """Whether the answers ``y [T, ...]`` are in what ``x [T, C]`` has shown."""
    if task == "memory_capacity":
        steps, lags = y.shape
        first = given.get("transient", 3)
        right = [
            [x[t - k, 0] if t >= k and t >= first else np.nan for k in range(1, lags + 1)]
            for t in range(steps)
        ]
        return bool(np.array_equal(y, right, equal_nan=True))
    if task in ("nback", "digit_nback"):
        n, silent = given.get("n", 2), y[:-1]
        shown = [tuple(row[1:] if task == "nback" else row[:-1]) for row in x[:5]]
        return bool((silent == -100).all() and y[-1] == (shown[4] == shown[4 - n]))
    cued = x[:, 0] == 1
    length = len(x) // 2
    values = list(x[:length, 1])
    asked = list(y[~np.isnan(y[:, 0]), 0])
    place = int(np.flatnonzero(cued)[0])
    return asked == values and place == length and bool(np.isnan(y[:place]).all())


@st.composite
def calls(draw: st.DrawFn) -> str:
    """A task with arguments of any kind, or any text near it."""
    task = draw(st.sampled_from(TASKS))
    if draw(st.booleans()):
        return draw(changed_text(st.just(f"{task}(trials=20)")))
    given = draw(st.dictionaries(st.sampled_from(sorted(SETTINGS)), ANY, max_size=2))
    return f"{task}({', '.join(f'{k}={v!r}' for k, v in given.items())})"


@fuzzed(200, calls())
def test_any_task(text: str) -> None:
    if "99" in text:
        return
    with refused_in_a_sentence():
        load_data(text)


@fuzzed(60, deaf_graphs(4), st.sampled_from(INITS) | changed_text(st.sampled_from(INITS)))
def test_any_first_weights(graph: RelationalGraph, init: str) -> None:
    with refused_in_a_sentence():
        layer = relmp.RelationalRNN(graph, 2, init=init)
        assert bool(layer.weight_hh.isfinite().all())
        there = np.zeros((graph.num_nodes,) * 2, dtype=bool)
        there[graph.edges[1], graph.edges[0]] = True
        assert not layer.weight_hh.detach().numpy()[~there].any()
