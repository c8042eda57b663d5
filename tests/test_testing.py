"""The public checks pass what is right, and name what is wrong."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import networkx as nx
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import aggr as pyg

import relmp
from relmp.graphs import create_graph
from relmp.testing import check_aggregation, check_graph, check_message
from relmp.training import Candidates, Rewiring


class Good(relmp.Message):
    """A message with nothing wrong; the others break one thing each."""

    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.out_dim = out_dim
        self.weight = nn.Parameter(torch.randn(num_edges, in_dim, out_dim))

    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return x_j @ self.weight


class Flat(Good):
    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return super().forward(x_i, x_j).flatten(1)


class Halved(Good):
    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return super().forward(x_i, x_j)[::2]


class Nan(Good):
    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return super().forward(x_i, x_j).log()


class Unused(Good):
    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__(num_edges, in_dim, out_dim)
        self.idle = nn.Parameter(torch.zeros(3))


class Single(Good):
    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return (x_j.float() @ self.weight.float()).float()


class Noisy(Good):
    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return super().forward(x_i, x_j) + torch.rand(())


class Counting(Good):
    built = 0

    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__(num_edges, in_dim, out_dim)
        Counting.built += 1
        self.register_buffer("number", torch.tensor(float(Counting.built)))

    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return super().forward(x_i, x_j) * self.number


class Tiring(Good):
    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__(num_edges, in_dim, out_dim)
        self.passes = 0

    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        self.passes += 1
        return super().forward(x_i, x_j) / self.passes


class Hidden(Good):
    """Its scale is drawn once and not saved."""

    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__(num_edges, in_dim, out_dim)
        self.scale = torch.rand(num_edges, 1, 1)

    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return super().forward(x_i, x_j) * self.scale


class Mixing(Good):
    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return super().forward(x_i, x_j.mean(0, keepdim=True).expand_as(x_j))


class Batched(Good):
    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return super().forward(x_i, x_j - x_j.mean(1, keepdim=True))


@pytest.mark.parametrize("name", sorted({*relmp.message_names()} - {"class_shared"}))
@pytest.mark.parametrize("images", [False, True])
def test_relmps_own_messages_pass(name: str, images: bool) -> None:
    message = relmp.rounds.resolve_message(name)
    if images:
        message = partial(message, kernel_size=3, stride=2, padding=1)
    assert check_message(message, images=images) == []


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (Flat, r"Flat must return messages of shape \[11, 3, 3\] .* but returned \[11, 9\]"),
        (Halved, r"Halved must return .*\[11, 3, 3\].* but returned \[6, 3, 3\]"),
        (Nan, "Nan says NaN or infinity"),
        (Unused, "message_module.idle of Unused has no influence"),
        (Single, "Single turns float64 into torch.float32"),
        (Noisy, "Noisy draws random numbers in evaluation mode"),
        (Counting, "Counting built twice from one seed .* global state"),
        (Tiring, "Tiring says something else at each pass"),
        (Hidden, "Hidden holds the tensor 'scale' as a plain attribute"),
        (Mixing, "Node 0 has an influence on node .* Mixing mixes edges"),
        (Batched, "Batched mixes images"),
        (lambda num_edges: nn.Identity(), "It cannot be built for 5 nodes: .*positional argument"),
        ("gatd", "Unknown message 'gatd'; choose one of attention"),
    ],
    ids=lambda given: given if isinstance(given, str) else given.__name__,
)
def test_what_is_wrong_with_a_message(message: Any, sentence: str) -> None:
    with pytest.raises((AssertionError, ValueError), match=sentence):
        check_message(message)


def test_a_good_message_without_a_cost_is_noted() -> None:
    assert check_message(Good) == [
        "Good has no method flops(edges, positions): it cannot be matched to a budget."
    ]


AGGREGATIONS = [
    "sum", "mean", "max", "softmax(learn=True)", "median", ["sum", "max"], "attentional",
    "degreescaler(aggr=['mean', 'std'], scaler=['identity', 'linear'])",
]  # fmt: skip


@pytest.mark.parametrize("aggr", AGGREGATIONS, ids=str)
def test_aggregations_that_fit_pass(aggr: Any) -> None:
    check_aggregation(aggr)


class First(pyg.Aggregation):
    """Only the first message counts."""

    def forward(self, x, index=None, ptr=None, dim_size=None, dim=-2):  # type: ignore[no-untyped-def]
        return x[ptr[:-1]]


class Centred(pyg.SumAggregation):
    def forward(self, x, index=None, ptr=None, dim_size=None, dim=-2):  # type: ignore[no-untyped-def]
        return super().forward(x - x.mean(0), index, ptr, dim_size, dim)


class Pooled(pyg.SumAggregation):
    def forward(self, x, index=None, ptr=None, dim_size=None, dim=-2):  # type: ignore[no-untyped-def]
        return super().forward(x - x.mean(1, keepdim=True), index, ptr, dim_size, dim)


class Root(pyg.SumAggregation):
    def forward(self, x, index=None, ptr=None, dim_size=None, dim=-2):  # type: ignore[no-untyped-def]
        return super().forward((0 * x).sqrt(), index, ptr, dim_size, dim)


@pytest.mark.parametrize(
    ("aggr", "sentence"),
    [
        (First(), "First depends on the order of the messages"),
        (Centred(), "Centred mixes the messages of nodes"),
        (Pooled(), "Pooled mixes images"),
        (Root(), "The gradient of Root is NaN or infinite"),
        ("lstm(in_channels=3, out_channels=3)", r"does not fit a round: LSTMAggregation cannot"),
        ("plus", "Unknown aggregation 'plus'"),
    ],
    ids=str,
)
def test_what_is_wrong_with_an_aggregation(aggr: Any, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_aggregation(aggr)


def test_graphs() -> None:
    assert check_graph(create_graph("ws_flex", n=16, k=4, p=0.2, seed=0)) == []
    assert check_graph(nx.karate_club_graph()) == []
    assert check_graph(nx.gnp_random_graph, n=12, p=0.5, seed=1) == []
    apart = nx.Graph([(0, 1)])
    apart.add_node(2)
    assert check_graph(apart) == [
        "The graph is disconnected: its path length is infinite.",
        "1 of 3 nodes hear themselves alone.",
    ]
    with pytest.raises(AssertionError, match="cannot become a relational graph: .*multigraph"):
        check_graph(nx.MultiGraph([(0, 1), (0, 1)]))

    def loose() -> Any:
        return nx.gnp_random_graph(12, 0.5, seed=random)

    def drifting(calls: list[int] = []) -> Any:  # noqa: B006
        calls.append(1)
        return nx.path_graph(3 + len(calls))

    with pytest.raises(AssertionError, match="global random state"):
        check_graph(loose)
    with pytest.raises(AssertionError, match="another graph at each call"):
        check_graph(drifting)


@dataclass(frozen=True, kw_only=True)
class _Rule(Rewiring):
    def drop_scores(self, view: Candidates) -> Tensor:
        return view.weights.flatten(1).abs().amax(1) if view.weights.dim() > 1 else view.weights

    def grow_scores(self, view: Candidates) -> Tensor:
        return torch.rand(view.num_places, generator=view.generator)


@dataclass(frozen=True, kw_only=True)
class _Global(_Rule):
    def grow_scores(self, view: Candidates) -> Tensor:
        return torch.rand(view.num_places)


@dataclass(frozen=True, kw_only=True)
class _OfActive(_Rule):
    def grow_scores(self, view: Candidates) -> Tensor:
        return torch.rand(len(view.active), generator=view.generator)


@dataclass(frozen=True, kw_only=True)
class _Forgetful(_Rule):
    calls: ClassVar[list[int]] = []

    def drop_scores(self, view: Candidates) -> Tensor:
        self.calls.append(1)
        return super().drop_scores(view) * len(self.calls)


@dataclass(frozen=True, kw_only=True)
class _Nan(_Rule):
    def drop_scores(self, view: Candidates) -> Tensor:
        return super().drop_scores(view) * math.nan


@dataclass(frozen=True, kw_only=True)
class _Writes(_Rule):
    def drop_scores(self, view: Candidates) -> Tensor:
        return view.weights.abs_().flatten(1).sum(1)


def test_rewirings_that_keep_the_contract() -> None:
    for rule in ("rigl", "set(every=7)", "static", _Rule,
                 "rigl(granularity='weight', density=0.1)"):  # fmt: skip
        relmp.testing.check_rewiring(rule)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (_Global, "grow_scores of _Global reads global random numbers"),
        (_OfActive, r"grow_scores of _OfActive must return \[25\]"),
        (_Forgetful, "drop_scores of _Forgetful differs from call to call"),
        (_Nan, "drop_scores of _Nan are NaN or infinite"),
        (_Writes, "drop_scores of _Writes changes the weights"),
        ("rigl(every=0)", "It cannot be made: "),
    ],
)
def test_rewirings_that_break_the_contract(rule: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        relmp.testing.check_rewiring(rule)
