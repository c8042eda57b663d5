"""Models as one over the disjoint union of their graphs, against the models themselves."""

from __future__ import annotations

import copy
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import relmp
from relmp.models.parts.union import DisjointUnion, union_refusal
from relmp.rounds import Round

CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def graph_of(n: int, seed: int, density: float) -> relmp.RelationalGraph:
    """A directed graph; not every node hears itself, and some may hear nothing."""
    arcs = np.random.RandomState(seed).rand(n, n) < density
    return relmp.RelationalGraph(n, np.argwhere(arcs).T, self_loops=False)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 99)), min_size=1, max_size=5))
def test_a_union_of_graphs_is_that_of_networkx(sizes: list[tuple[int, int]]) -> None:
    graphs = [graph_of(n, seed, 0.4) for n, seed in sizes]
    union = relmp.disjoint_union(graphs)
    wanted = nx.disjoint_union_all(
        [nx.from_numpy_array(adjacency(graph), create_using=nx.DiGraph) for graph in graphs]
    )
    assert union.num_nodes == wanted.number_of_nodes()
    assert set(map(tuple, union.edges.T.tolist())) == set(wanted.edges)


def adjacency(graph: relmp.RelationalGraph) -> Any:
    found = np.zeros((graph.num_nodes, graph.num_nodes))
    found[graph.edges[0], graph.edges[1]] = 1
    return found


def test_attributes_stay_where_all_have_them() -> None:
    edges = np.array([[0, 1], [1, 0]])
    one = relmp.RelationalGraph(2, edges, [3.0, 4.0])
    other = relmp.RelationalGraph(2, edges, [5.0, 6.0])
    attr = relmp.disjoint_union([one, other]).edge_attr
    assert attr is not None
    assert one.edge_attr is not None
    assert other.edge_attr is not None
    torch.testing.assert_close(attr, torch.cat([one.edge_attr, other.edge_attr]))
    assert relmp.disjoint_union([one, graph_of(2, 0, 1)]).edge_attr is None
    with pytest.raises(ValueError, match="at least one graph"):
        relmp.disjoint_union([])


def models_of(
    name: str, sizes: list[tuple[int, int]], dtype: torch.dtype = torch.float64, **options: Any
) -> list[nn.Module]:
    return [
        relmp.create_model(
            name, graph=graph_of(n, n + extra, 0.5), num_classes=5, in_features=7,
            width=n + extra, seed=extra, **options,
        ).to(dtype)
        for n, extra in sizes
    ]  # fmt: skip


SIZES = st.lists(st.tuples(st.integers(2, 7), st.integers(0, 9)), min_size=1, max_size=4)


@pytest.mark.parametrize("name", ["mlp", "residual_mlp"])
@pytest.mark.parametrize("aggr", ["sum", "mean"])
@pytest.mark.parametrize("execution", ["message_passing", "dense", "gathered", "cpu_kernel"])
@settings(deadline=None, max_examples=2)
@given(sizes=SIZES)
def test_a_union_computes_what_its_members_do(
    name: str, aggr: str, execution: str, sizes: list[tuple[int, int]]
) -> None:
    members = models_of(name, sizes, aggr=aggr, execution=execution)
    alone = copy.deepcopy(members)
    union = DisjointUnion(members)
    x = torch.randn(11, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(11) % 5
    for training in (True, False):  # in evaluation the statistics of the step before count
        union.train(training)
        scores = union(x)
        assert len(scores) == len(members)
        sum(F.cross_entropy(own, labels) for own in scores).backward()
        for model, own in zip(alone, scores, strict=True):
            wanted = model.train(training)(x)
            torch.testing.assert_close(own, wanted, **CLOSE)
            F.cross_entropy(wanted, labels).backward()
        for model, member, places in zip(alone, members, union.places, strict=True):
            gradients = {
                id(place.own): place.whole.grad[place.slots]
                for place in places
                if place.whole.grad is not None
            }
            for own, theirs in zip(model.parameters(), member.parameters(), strict=True):
                torch.testing.assert_close(gradients[id(theirs)], own.grad, **CLOSE)
                own.grad = None
        union.zero_grad()
    union.scatter()
    for model, member in zip(alone, members, strict=True):
        torch.testing.assert_close(member.state_dict(), model.state_dict(), **CLOSE)


def test_every_tensor_of_a_member_has_its_place() -> None:
    members = models_of("mlp", [(3, 2), (5, 0)])
    union = DisjointUnion(members)
    for member, places in zip(members, union.places, strict=True):
        learned = {id(p) for p in member.parameters()}
        counted = {
            id(b) for m in member.modules() if isinstance(m, nn.BatchNorm1d) for b in m.buffers()
        }
        assert len(places) == len(learned | counted)
        assert {id(place.own) for place in places} == learned | counted
    for place in [place for places in union.places for place in places]:
        place.own.data.copy_(torch.arange(place.own.numel()).view_as(place.own))
    before = [copy.deepcopy(member.state_dict()) for member in members]
    union.gather()
    for member in members:
        for tensor in (*member.parameters(), *member.buffers()):
            if tensor.is_floating_point():
                tensor.data.zero_()
    union.scatter()
    for member, state in zip(members, before, strict=True):
        torch.testing.assert_close(member.state_dict(), state)


def test_padding_stays_zero_under_training() -> None:
    union = DisjointUnion(models_of("mlp", [(3, 5), (5, 0), (4, 9)]))
    optimizer = torch.optim.AdamW(union.parameters(), lr=0.1)
    held = {id(place.whole): torch.zeros_like(place.whole, dtype=torch.bool)
            for places in union.places for place in places}  # fmt: skip
    for places in union.places:
        for place in places:
            held[id(place.whole)][place.slots] = True
    x = torch.randn(9, 7, dtype=torch.float64)
    for _ in range(5):
        optimizer.zero_grad()
        sum(scores.square().mean() for scores in union(x)).backward()
        optimizer.step()
    padded = 0
    for parameter in union.parameters():
        outside = parameter[~held[id(parameter)]]
        padded += outside.numel()
        assert (outside == 0).all()
    assert padded > 0


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("cnn", {}, "no model of vectors|only MLPs"),
        ("mlp", {"message": "gated"}, "other messages than linear"),
        ("mlp", {"aggr": "max"}, "aggregates by max"),
        ("mlp", {"message": "scored(keep=0.5)"}, "other messages than linear"),
        ("mlp", {"message": "scored(keep=0.5)", "scored": "all"}, "stem|other messages"),
        ("residual_mlp", {"fold": (1,)}, "update of layer"),
    ],
)
def test_what_cannot_be_part_of_a_union(name: str, options: dict[str, Any], reason: str) -> None:
    graph = relmp.create_graph("cycle", n=4)
    model = relmp.create_model(name, graph=graph, width=8, **options)
    assert union_refusal(model) is not None
    with pytest.raises(ValueError, match=f"cannot be part of a union: .*({reason})"):
        DisjointUnion([model, copy.deepcopy(model)])


def test_models_of_one_union_have_one_architecture() -> None:
    deep = models_of("residual_mlp", [(3, 2)], depth=2)
    with pytest.raises(ValueError, match="of one architecture"):
        DisjointUnion([*deep, *models_of("residual_mlp", [(3, 2)], depth=3)])


class Mixing(relmp.models.mlp.MLP):
    """Its forward pass mixes channels, of which the layers know nothing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).softmax(1)


def test_a_model_derived_from_a_known_one_is_not_taken_for_it() -> None:
    assert "only MLPs" in (union_refusal(Mixing(relmp.create_graph("cycle", n=4), width=8)) or "")


def test_dropout_in_an_update_is_refused() -> None:
    model = relmp.create_model("mlp", graph=relmp.create_graph("cycle", n=4), width=8)
    layer = next(module for module in model.modules() if isinstance(module, Round))
    layer.update_module = nn.Sequential(nn.BatchNorm1d(8), nn.Dropout())
    assert "Dropout" in (union_refusal(model) or "")


def test_members_may_be_executed_in_different_ways() -> None:
    members = models_of("mlp", [(4, 2), (6, 3)])
    for member, execution in zip(members, ("dense", "cpu_kernel"), strict=True):
        for layer in member.modules():
            if isinstance(layer, Round):
                layer.set_execution(execution)
    x = torch.randn(9, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for order in (members, members[::-1]):
        scores = DisjointUnion(order)(x)
        for found, member in zip(scores, order, strict=True):
            torch.testing.assert_close(found, member(x), **CLOSE)
