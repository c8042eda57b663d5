"""Every message against its formula, written out edge by edge, and against its contract."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from relmp.graphs import RelationalGraph, create_graph
from relmp.rounds import LinearMessage, Round, dense_weight, keep_dense_weight
from relmp.rounds.message import WeightedMessage
from relmp.rounds.messages import (
    AttentionMessage,
    ClassSharedMessage,
    EdgeAttrMessage,
    FrozenMessage,
    GatedMessage,
    LowRankMessage,
    MLPMessage,
    ScalarMessage,
    SharedMessage,
    linear_map,
)

# Every node hears at least one other; attention over one edge would be a constant.
ARCS = [(0, 1), (1, 2), (3, 0), (4, 2), (0, 2), (2, 3), (1, 4)]
ATTRS = np.array(
    [[0, 0.5], [1, -1.0], [0, 2.0], [1, 0.25], [1, 1.5], [0, -0.5], [1, 0.75]], dtype=float
)
GRAPH = RelationalGraph(5, np.array(ARCS).T, ATTRS, self_loop_attr=2.0)
KERNEL = {"kernel_size": 3, "stride": 2, "padding": 1}

MESSAGES: dict[str, Callable[..., nn.Module]] = {
    "linear": linear_map,
    "gated": GatedMessage,
    "attention": AttentionMessage,
    "low_rank": partial(LowRankMessage, rank=2),
    "shared": SharedMessage,
    "class_shared": partial(ClassSharedMessage, num_classes=3),
    "scalar": ScalarMessage,
    "sign": FrozenMessage,
    "frozen": partial(FrozenMessage, values="normal"),
    "mlp": partial(MLPMessage, hidden=4),
    "edge_attr": partial(EdgeAttrMessage, attr_dim=2),
}
FORMS: dict[str, dict[str, Any]] = {"vectors": {}, "images": KERNEL}
AGGREGATIONS: list[Any] = ["sum", "mean", "max", "softmax", ["sum", "max"]]


def make(
    name: str, form: str = "vectors", channels: tuple[int, int] = (11, 13), **kw: Any
) -> Round:
    torch.manual_seed(0)
    message = partial(MESSAGES[name], **FORMS[form])
    return Round(GRAPH, *channels, message=message, bias=False, **kw)


def inputs(form: str, channels: int = 11, images: int = 3) -> Tensor:
    pixels = (5, 4) if form == "images" else ()
    return torch.randn(images, channels, *pixels, dtype=torch.float64)


# The formulas, for one edge and its real channels alone --------------------------------


def said(name: str, p: dict[str, Tensor], e: int, x_i: Tensor, x_j: Tensor, out: int) -> Tensor:
    """What is said along edge e, ``x_i`` and ``x_j [B, c, ...]`` -> ``[B, out, ...]``."""

    def apply(weight: Tensor, x: Tensor) -> Tensor:
        if weight.dim() == 2 and x.dim() == 4:
            weight = weight[:, :, None, None]
            return F.conv2d(x, weight)
        return F.conv2d(x, weight, stride=2, padding=1) if x.dim() == 4 else x @ weight.T

    def pooled(x: Tensor) -> Tensor:
        return x.flatten(2).mean(2) if x.dim() == 4 else x

    heard, spoken = x_i.size(1), x_j.size(1)
    kernel = (3, 3) if x_j.dim() == 4 else ()
    attr = torch.as_tensor(GRAPH.edge_attr).double()
    pixels = [1] * len(kernel)
    match name:
        case "linear" | "sign" | "frozen":
            return apply(p["weight"][e, :out, :spoken], x_j)
        case "gated":
            score = pooled(x_i) @ p["gate.listener"][e, :heard]
            score = score + pooled(x_j) @ p["gate.speaker"][e, :spoken] + p["bias"][e]
            return torch.sigmoid(score).view(-1, 1, *pixels) * apply(
                p["value.weight"][e, :out, :spoken], x_j
            )
        case "attention":  # the value; its weight is computed for all in-edges together
            return apply(p["value.weight"][e, :out, :spoken], x_j)
        case "low_rank":
            return apply(p["hearing"][e, :out], apply(p["speaking"][e, :, :spoken], x_j))
        case "shared":
            return apply(p["basis"][0, :out, :spoken], x_j)
        case "class_shared":
            return apply(p["basis"][int(attr[e, 0]), :out, :spoken], x_j)
        case "edge_attr":
            weight = p["basis"][0] + attr[e, 0] * p["basis"][1] + attr[e, 1] * p["basis"][2]
            return apply(weight[:out, :spoken], x_j)
        case "scalar":
            weight = torch.zeros(out, spoken, *kernel, dtype=torch.float64)
            smaller = min(out, spoken)
            for o in range(out):
                for i in range(spoken):
                    if (o - i) % smaller == 0:
                        weight[o, i] = p["number"][e]
            return apply(weight, x_j)
        case "mlp":
            width = p["first"].size(2) // 2
            hidden = apply(p["first"][e, :, :heard], x_i)
            hidden = hidden + apply(p["first"][e, :, width : width + spoken], x_j)
            hidden = (hidden + p["bias"][e].view(-1, *pixels)).relu()
            return apply(p["second"][e, :out], hidden)
    raise AssertionError(name)


def by_hand(name: str, layer: Round, x: Tensor) -> Tensor:
    """The sum of the messages of every node, from the formula alone."""
    p = {k: v.detach() for k, v in layer.message_module.state_dict(keep_vars=True).items()}
    ends = [np.cumsum([0, *part.sizes]) for part in (layer.in_partition, layer.out_partition)]
    nodes = [x[:, a:b] for a, b in zip(ends[0], ends[0][1:], strict=False)]
    outs = []
    for i in range(5):
        into = [e for e in range(GRAPH.num_edges) if GRAPH.edges[1, e] == i]
        size = int(layer.out_partition.sizes[i])
        messages = [said(name, p, e, nodes[i], nodes[GRAPH.edges[0, e]], size) for e in into]
        if name == "attention":
            scores = []
            for e in into:
                x_i, x_j = (
                    n.flatten(2).mean(2) if n.dim() == 4 else n
                    for n in (nodes[i], nodes[GRAPH.edges[0, e]])
                )
                score = x_i @ p["score.listener"][e, : x_i.size(1)]
                scores.append(score + x_j @ p["score.speaker"][e, : x_j.size(1)])
            shares = F.leaky_relu(torch.stack(scores), 0.2).softmax(0)
            messages = [
                share.view(-1, *[1] * (m.dim() - 1)) * m
                for share, m in zip(shares, messages, strict=True)
            ]
        outs.append(sum(messages))
    return torch.cat(outs, dim=1)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("channels", [(11, 13), (15, 5)])
def test_is_its_formula(name: str, form: str, channels: tuple[int, int]) -> None:
    layer = make(name, form, channels, execution="message_passing").double()
    if name in ("gated", "mlp"):
        nn.init.normal_(layer.message_module.bias)
    x = inputs(form, channels[0])
    torch.testing.assert_close(layer(x), by_hand(name, layer, x), rtol=0, atol=1e-12)


# Against dense formulations -------------------------------------------------------------


def adjacency(layer: Round, values: Tensor) -> Tensor:
    matrix = torch.zeros(5, 5, dtype=torch.float64)
    matrix[layer.edge_index[1], layer.edge_index[0]] = values
    return matrix


def test_linear_message_with_the_sum_is_the_dense_layer() -> None:
    complete = create_graph("complete", n=4)
    layer = Round(complete, 8, 12, message=linear_map, execution="message_passing").double()
    dense = torch.zeros(12, 8, dtype=torch.float64)
    for e, (source, target) in enumerate(complete.edges.T.tolist()):
        weight = layer.message_module.weight[e].detach()
        dense[3 * target : 3 * target + 3, 2 * source : 2 * source + 2] = weight
    x = inputs("vectors", 8)
    torch.testing.assert_close(layer(x), F.linear(x, dense, layer.bias), rtol=0, atol=1e-12)


@pytest.mark.parametrize("execution", ["message_passing", "dense"])
def test_shared_and_scalar_messages_are_kronecker_products(execution: str) -> None:
    x = inputs("vectors", 15)
    shared = make("shared", channels=(15, 20), execution=execution).double()
    matrix = torch.kron(
        adjacency(shared, torch.ones(GRAPH.num_edges, dtype=torch.float64)),
        shared.message_module.basis[0],
    )
    torch.testing.assert_close(shared(x), x @ matrix.T, rtol=0, atol=1e-12)
    scalar = make("scalar", channels=(15, 15), execution=execution).double()
    matrix = torch.kron(
        adjacency(scalar, scalar.message_module.number), torch.eye(3, dtype=torch.float64)
    )
    torch.testing.assert_close(scalar(x), x @ matrix.T, rtol=0, atol=1e-12)


def test_attention_is_a_dense_softmax() -> None:
    layer = make("attention", channels=(15, 20)).double()
    message = layer.message_module
    x = inputs("vectors", 15)
    nodes = x.view(-1, 5, 3)
    scores = torch.full((5, 5, len(x)), -torch.inf, dtype=torch.float64)  # target, source, image
    values = torch.zeros(5, 5, len(x), 4, dtype=torch.float64)
    for e, (j, i) in enumerate(GRAPH.edges.T.tolist()):
        score = nodes[:, i] @ message.score.listener[e] + nodes[:, j] @ message.score.speaker[e]
        scores[i, j] = F.leaky_relu(score, 0.2)
        values[i, j] = nodes[:, j] @ message.value.weight[e].T
    expected = torch.einsum("ijb,ijbo->bio", scores.softmax(1), values).flatten(1)
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("aggr", ["sum", "mean"])
def test_linear_maps_run_as_one_dense_product_too(name: str, form: str, aggr: str) -> None:
    literal = make(name, form, aggr=aggr, execution="message_passing").double()
    if not isinstance(literal.message_module, WeightedMessage):
        with pytest.raises(ValueError, match="is not one linear map"):
            make(name, form, aggr=aggr, execution="dense")
        assert make(name, form, aggr=aggr).execution == "message_passing"
        return
    dense = make(name, form, aggr=aggr, execution="dense").double()
    assert make(name, form, aggr="max").execution == "message_passing"
    x = inputs(form).requires_grad_()
    results = []
    for layer in (literal, dense):
        out = layer(x)
        results.append([out, *torch.autograd.grad(out.sin().sum(), [x, *layer.parameters()])])
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)
    mask = literal.target_mask[:, :, None] & literal.source_mask[:, None, :]
    weight = literal.message_module.weight
    assert not weight[~mask].any(), "padded slots hold weights"
    assert weight[mask].any()


# The contract ---------------------------------------------------------------------------


@pytest.mark.parametrize("aggr", AGGREGATIONS, ids=str)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MESSAGES)
def test_pairs_run_forward_and_backward(name: str, form: str, aggr: Any) -> None:
    layer = make(name, form, aggr=aggr).double()
    x = inputs(form).requires_grad_()
    out = layer(x)
    assert out.shape == ((3, 13, 3, 2) if form == "images" else (3, 13))
    gradients = torch.autograd.grad(out.sin().sum(), [x, *layer.parameters()])
    assert all(bool(g.isfinite().all()) and bool(g.any()) for g in gradients)
    again = layer(x)
    assert torch.equal(out, again), "two passes differ"
    twin = make(name, form, aggr=aggr)
    for parameter in twin.parameters():
        nn.init.zeros_(parameter)
    twin = twin.double()
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(twin(x), out), "the state_dict does not hold everything"


SMOOTH = [
    "linear",
    "gated",
    "low_rank",
    "shared",
    "scalar",
    "edge_attr",
    "class_shared",
    "attention",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("aggr", ["sum", "softmax"])
def test_gradcheck(name: str, form: str, aggr: str) -> None:
    layer = make(name, form, (6, 7), aggr=aggr, execution="message_passing").double()
    parameters = dict(layer.named_parameters())
    x = inputs(form, 6, 2)[..., :3] if form == "images" else inputs(form, 6, 2)
    assert torch.autograd.gradcheck(
        lambda x, *values: torch.func.functional_call(
            layer, dict(zip(parameters, values, strict=True)), (x,)
        ),
        (x.requires_grad_(), *parameters.values()),
        fast_mode=True,
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MESSAGES)
def test_unreal_parameters_are_inert_and_not_counted(name: str, form: str) -> None:
    """Counted by hand: a parameter is real if it can change the output."""
    layer = make(name, form, execution="message_passing").double()
    x = inputs(form, images=8).requires_grad_()
    for parameter in layer.parameters():
        # Away from zero, so that every path is open; dead slots stay at zero.
        parameter.data += 0.1 * (parameter.data != 0)
    out = layer(x)
    gradients = torch.autograd.grad(out.sin().sum(), list(layer.parameters()) or [x])
    if not list(layer.parameters()):
        assert layer.num_parameters() == 0
        return
    reached = sum(int((g != 0).sum()) for g in gradients)
    assert layer.num_parameters() == reached
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.1)
    dead = [g == 0 for g in gradients]
    before = [p.detach().clone() for p in layer.parameters()]
    for parameter, gradient in zip(layer.parameters(), gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()
    for parameter, was, still in zip(layer.parameters(), before, dead, strict=True):
        assert torch.equal(parameter.detach()[still], was[still])
        assert (was[still] == 0).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MESSAGES)
def test_flops_follow_the_formula(name: str, form: str) -> None:
    layer = make(name, form)
    sizes = [part.sizes.tolist() for part in (layer.in_partition, layer.out_partition)]
    taps, positions = (9, 6) if form == "images" else (1, 1)
    total = 0
    for j, i in GRAPH.edges.T.tolist():
        heard, spoken, made = sizes[0][i], sizes[0][j], sizes[1][i]
        linear = spoken * made * taps * positions
        total += {
            "gated": linear + made * positions + heard + spoken,
            "attention": linear + made * positions + heard + spoken,
            "low_rank": 2 * (spoken * taps + made) * positions,
            "scalar": max(spoken, made) * taps * positions,
            "mlp": 4 * ((heard + spoken) * taps + made) * positions,
        }.get(name, linear)
    assert layer.flops(positions) == total


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MESSAGES)
def test_relabelled_nodes_compute_the_same(name: str, form: str) -> None:
    """The same edges under other numbers, with the same parameters, and the nodes' channels."""
    layer = make(name, form, (15, 10)).double()
    order = [3, 0, 4, 1, 2]  # the new number of each node
    arcs = np.array(order)[GRAPH.edges]
    other = RelationalGraph(5, arcs, GRAPH.edge_attr)
    twin = Round(other, 15, 10, message=partial(MESSAGES[name], **FORMS[form]), bias=False).double()
    place = {edge: e for e, edge in enumerate(map(tuple, arcs.T.tolist()))}
    edges = [place[edge] for edge in map(tuple, other.edges.T.tolist())]
    ours = layer.message_module.state_dict()
    twin.message_module.load_state_dict(
        {k: v if k == "basis" else v[edges] for k, v in ours.items()}
    )
    x = inputs(form, 15)
    moved = x.unflatten(1, (5, 3))[:, np.argsort(order)].flatten(1, 2)
    expected = layer(x).unflatten(1, (5, 2))[:, np.argsort(order)].flatten(1, 2)
    torch.testing.assert_close(twin(moved), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", MESSAGES)
def test_starts_with_the_variance_that_was_asked_for(name: str) -> None:
    torch.manual_seed(0)
    layer = Round(GRAPH, 5 * 40, 5 * 40, message=MESSAGES[name], bias=False)
    message, edges = layer.message_module, layer.edges
    std = torch.full((GRAPH.num_edges,), 0.7)
    message.draw(edges, std)
    x = torch.randn(400, 5 * 40)
    nodes = layer.to_nodes(x)
    extra = {"edges": edges} if name == "attention" else {}
    messages = message(nodes[edges.target], nodes[edges.source], **extra)
    found = messages.square().mean().sqrt().item()
    rough = name in ("scalar", "attention", "edge_attr")
    assert found == pytest.approx(0.7, rel=0.35 if rough else 0.1)


def test_mistakes_are_named() -> None:
    plain = RelationalGraph.from_edges(ARCS, 5, directed=True)
    with pytest.raises(ValueError, match=r"LowRankMessage takes .* \[B, C\], but was given 4"):
        make("low_rank", "vectors", execution="message_passing")(torch.randn(2, 11, 4, 4))
    with pytest.raises(ValueError, match=r"Conv2dMessage takes .* \[B, C, H, W\], but was given 2"):
        make("gated", "images")(torch.randn(2, 11))
    with pytest.raises(ValueError, match="give its kernel_size too"):
        Round(GRAPH, 11, 13, message=partial(SharedMessage, stride=2))
    with pytest.raises(ValueError, match="rank must be a whole number of at least 1"):
        Round(GRAPH, 11, 13, message=partial(LowRankMessage, rank=0))
    with pytest.raises(ValueError, match="hidden must be a whole number"):
        Round(GRAPH, 11, 13, message=partial(MLPMessage, hidden=0))
    with pytest.raises(ValueError, match="'sign' or 'normal'"):
        Round(GRAPH, 11, 13, message=partial(FrozenMessage, values="uniform"))
    with pytest.raises(ValueError, match="made for 1 edge attributes, but the graph has 0"):
        Round(plain, 11, 13, message=EdgeAttrMessage)
    with pytest.raises(ValueError, match="column 0 of the edge attributes, but the graph has 0"):
        Round(plain, 11, 13, message=partial(ClassSharedMessage, num_classes=2))
    with pytest.raises(ValueError, match="classes 0 to 1, but column 0 .* holds 2"):
        Round(GRAPH, 11, 13, message=partial(ClassSharedMessage, num_classes=2))
    with pytest.raises(ValueError, match="SharedMessage computes the weights"):
        keep_dense_weight(make("shared"), dense_weight(make("shared")))


def test_a_class_that_no_edge_has_is_not_counted() -> None:
    layer = Round(GRAPH, 15, 15, message=partial(ClassSharedMessage, num_classes=5), bias=False)
    assert layer.num_parameters() == 3 * 9  # classes 0, 1 and 2
    assert not layer.message_module.basis[3:].any()


def test_linear_messages_choose_their_form() -> None:
    assert isinstance(linear_map(3, 2, 2), LinearMessage)
    assert linear_map(3, 2, 2, kernel_size=1).weight.shape == (3, 2, 2, 1, 1)
