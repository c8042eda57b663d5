"""Messages and aggregations, composed and subclassed, against what one node hears written out; and
edges that change, against a dictionary of edges."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

import relmp
from relmp.graphs import RelationalGraph
from relmp.rounds import MESSAGES, Edges, Round
from relmp.rounds.aggregation import aggregation_names, resolve_aggregation
from relmp.rounds.dynamic.rewire import moved_rows
from relmp.rounds.execution import possible_executions
from tests.fuzz.how import changed_text, fuzzed, refused_in_a_sentence
from tests.fuzz.test_layers import ANY, agree
from tests.fuzz.twin import flat_of, laid_out, nodes_of
from tests.strategies import deaf_graphs


class Product(relmp.Message):
    """Two messages of its own, multiplied."""

    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.one = relmp.LinearMessage(num_edges, in_dim, out_dim)
        self.two = relmp.LinearMessage(num_edges, in_dim, out_dim)

    def forward(self, x_j: Tensor, x_i: Tensor) -> Tensor:
        return self.one(None, x_j) * self.two(None, x_i)


class Bent(relmp.LinearMessage):
    """A subclass whose forward is no linear map."""

    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return super().forward(x_i, x_j).tanh() - 0.5


class Bounded(relmp.LinearMessage):
    """A subclass that computes its weight."""

    @property
    def is_odd(self) -> bool:
        return True

    def forward(self, x_i: Tensor, x_j: Tensor, edges: Edges) -> Tensor:
        share = (edges.target + 1).to(x_j) / edges.ptr.numel()
        return super().forward(x_i, x_j) * share.view(-1, 1, 1)


class Plain(nn.Module):
    """No relmp.Message at all."""

    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.map = nn.Linear(in_dim, out_dim)

    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return self.map(x_j - x_i)


OWN: list[Any] = [Product, Bent, Bounded, Plain, partial(Bent), relmp.GatedMessage]
ARGUMENTS = {
    "low_rank": st.fixed_dictionaries({"rank": st.integers(-1, 4)}),
    "mlp": st.fixed_dictionaries({}, optional={"hidden": st.integers(-1, 5) | st.none()}),
    "attention": st.fixed_dictionaries({}, optional={"negative_slope": st.floats(-1, 1)}),
    "frozen": st.fixed_dictionaries({}, optional={"values": st.sampled_from(["sign", "normal",
    "a"])}),
    "class_shared": st.fixed_dictionaries({"num_classes": st.integers(0, 4)},
    optional={"column": st.integers(-2, 2)}),
    "edge_attr": st.fixed_dictionaries({}, optional={"attr_dim": st.integers(0, 2)}),
    "scored": st.fixed_dictionaries({"keep": st.floats(0, 1)}, optional={"granularity":
    st.sampled_from(["weight", "edge"])}),
}  # fmt: skip


@st.composite
def messages(draw: st.DrawFn) -> Any:
    name = draw(st.sampled_from([*MESSAGES.names(), "own"]))
    if name == "own":
        return draw(st.sampled_from(OWN))
    arguments = draw(ARGUMENTS.get(name, st.just({})))
    return f"{name}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})" if arguments else name


@st.composite
def aggregations(draw: st.DrawFn, deep: bool = True) -> Any:
    name = draw(st.sampled_from(["sum", "mean", "max", *aggregation_names()]))
    if deep and draw(st.integers(0, 4)) == 0:
        members = draw(st.lists(aggregations(deep=False), min_size=1, max_size=3))
        if draw(st.booleans()):
            return members
        mode = draw(
            st.sampled_from(["sum", "mean", "max", "min", "logsumexp", "std", "var", "proj", "a"])
        )
        return f"multi(aggrs={members!r}, mode={mode!r})"
    arguments: dict[str, Any] = {
        "softmax": {"t": draw(st.floats(-2, 2)), "learn": draw(st.booleans())},
        "powermean": {"p": draw(st.sampled_from([1.0, 2.0, 3.0])), "learn": draw(st.booleans())},
        "quantile": {"q": draw(st.floats(-0.1, 1.1))},
        "degree_scaled": {"aggr": ["sum", "max"], "scaler": draw(st.lists(st.sampled_from(
            ["identity", "amplification", "attenuation", "linear", "inverse_linear"]),
            min_size=1, max_size=2))},
    }.get(name, {})  # fmt: skip
    return f"{name}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})" if arguments else name


@st.composite
def attributed(draw: st.DrawFn) -> RelationalGraph:
    graph = draw(deaf_graphs(5))
    columns = draw(st.sampled_from([0, 0, 1, 2]))
    if not columns or not graph.num_edges:
        return graph
    values = st.lists(
        st.integers(0, 3), min_size=columns * graph.num_edges, max_size=columns * graph.num_edges
    )
    attr = np.array(draw(values), dtype=float).reshape(-1, columns)
    return RelationalGraph(graph.num_nodes, graph.edges, attr, self_loops=False)


def written_out(layer: Round, x: Tensor) -> Tensor:
    """The definition: what is said along each edge, what every node makes of what it hears."""
    graph = layer.graph
    nodes = nodes_of(x, graph.num_nodes)
    source, target = layer.edge_index
    x_j, x_i = nodes[source], nodes[target]
    given = {"x_i": x_i, "x_j": x_j, "edges": layer.edges}
    call = layer._call
    said = layer.message_module(
        *[given[name] for name in call.states], **({"edges": given["edges"]} if call.edges else {})
    )
    said = said * layer.target_mask[:, None].to(said)
    heard = []
    for node in range(graph.num_nodes):
        mine = said[target == node]
        if not len(mine):
            heard.append(said.new_zeros(said.shape[1:]))
            continue
        index = torch.zeros(len(mine), dtype=torch.int64)
        ptr = torch.tensor([0, len(mine)])
        heard.append(layer.aggr_module(mine, index=index, ptr=ptr, dim_size=1, dim=0)[0])
    out = flat_of(heard, layer.out_channels)
    return out if layer.bias is None else out + layer.bias


@fuzzed(400, attributed(), messages(), aggregations(), st.integers(0, 2**31), st.integers(1, 3),
        st.sampled_from([1, 2, 4]), st.integers(0, 3), st.sampled_from([None, 1]))  # fmt: skip
def test_rounds_written_out(
    graph: RelationalGraph, message: Any, aggr: Any, seed: int, times: int, batch: int, way: int,
    chunk: int | None,
) -> None:  # fmt: skip
    torch.manual_seed(seed)
    channels = (graph.num_nodes * times + seed % 3, graph.num_nodes * 2 + seed % 2)
    layer = None
    with refused_in_a_sentence():
        layer = Round(graph, *channels, message=message, aggr=aggr, chunk_size=chunk).double()
    if layer is None:
        return
    known = possible_executions(layer)
    layer.set_execution(known[way % len(known)])
    x = torch.randn(batch, channels[0], dtype=torch.float64, requires_grad=True)
    wanted = [x, *(p for p in layer.parameters() if p.requires_grad)]
    results = []
    for apply in (layer, partial(written_out, layer), copy.deepcopy(layer)):
        torch.manual_seed(seed)  # of aggregations that draw
        out = apply(x)
        inner = wanted if apply is not None else []
        grads = torch.autograd.grad(out.sin().sum(), inner, allow_unused=True)
        results.append([out, *grads])
        if len(results) == 2:
            break
    if not all(bool(r.isfinite().all()) for r in results[1] if r is not None):
        return
    agree(results[0], results[1], torch.float64)
    twin = Round(graph, *channels, message=message, aggr=aggr).double()
    twin.load_state_dict(layer.state_dict())
    agree([twin.eval()(x)], [layer.eval()(x)], torch.float64)


@st.composite
def histories(draw: st.DrawFn) -> dict[str, Any]:
    n = draw(st.integers(1, 5))
    count = draw(st.integers(0, n * n))
    graphs = st.permutations(range(n * n)).map(lambda order: sorted(order[:count]))
    steps = st.lists(
        st.sampled_from(["rewire", "rewire", "draw", "step", "save", "copy", "execute", "half"]),
        min_size=1, max_size=6,
    )  # fmt: skip
    chosen = draw(steps)
    return {"n": n, "graphs": [draw(graphs) for _ in range(len(chosen) + 1)], "steps": chosen,
            "channels": draw(st.tuples(st.integers(n, 3 * n), st.integers(n, 3 * n))),
            "way": draw(st.integers(0, 3)), "seed": draw(st.integers(0, 2**31)),
            "aggr": draw(st.sampled_from(["sum", "mean"]))}  # fmt: skip


def graph_of(n: int, codes: list[int]) -> RelationalGraph:
    return RelationalGraph(
        n, np.array([divmod(c, n) for c in codes]).reshape(-1, 2).T, self_loops=False
    )


@fuzzed(100, histories())
def test_edges_that_change(about: dict[str, Any]) -> None:
    """Weights, biases and momentum follow their edges through any history."""
    torch.manual_seed(about["seed"])
    n, channels = about["n"], about["channels"]
    graph = graph_of(n, about["graphs"][0])
    layer = relmp.RelationalLinear(graph, *channels, aggr=about["aggr"]).double()
    known = possible_executions(layer)
    layer.set_execution(known[about["way"] % len(known)])
    optimizer = torch.optim.SGD(layer.parameters(), 0.1, momentum=0.9)

    def rows(tensor: Tensor) -> dict[tuple[int, int], Tensor]:
        return dict(
            zip(map(tuple, layer.graph.edges.T.tolist()), tensor.detach().clone(), strict=True)
        )

    weights, momenta = rows(layer.weight), rows(torch.zeros_like(layer.weight))
    for kind, codes in zip(about["steps"], about["graphs"][1:], strict=True):
        if kind in ("rewire", "draw"):
            graph = graph_of(n, codes)
            old = layer.rewire(graph, new="zero" if kind == "rewire" else "draw")
            state = optimizer.state[layer.weight]
            if state:
                state["momentum_buffer"].copy_(moved_rows(state["momentum_buffer"], old))
            for known_rows, now in ((weights, rows(layer.weight)), (momenta, None)):
                kept = {edge: row for edge, row in known_rows.items() if edge in rows(layer.weight)}
                new = set(rows(layer.weight)) - set(kept)
                known_rows.clear()
                zero = torch.zeros_like(layer.weight[0]) if len(layer.weight) else None
                for edge in rows(layer.weight):
                    fresh = now[edge] if now is not None and kind == "draw" else zero
                    known_rows[edge] = kept.get(edge, fresh)
                assert new.isdisjoint(kept)
        elif kind == "step":
            optimizer.zero_grad()
            x = torch.randn(3, channels[0], dtype=torch.float64)
            layer(x).square().sum().backward()
            gradient = rows(layer.weight.grad)
            optimizer.step()
            for edge in weights:
                momenta[edge] = 0.9 * momenta[edge] + gradient[edge]
                weights[edge] = weights[edge] - 0.1 * momenta[edge]
        elif kind == "save":
            twin = relmp.RelationalLinear(
                graph_of(n, about["graphs"][0]), *channels, aggr=about["aggr"]
            )
            twin = twin.double()
            twin.load_state_dict(layer.state_dict())
            assert twin.graph == layer.graph
            x = torch.randn(2, channels[0], dtype=torch.float64)
            agree([twin(x)], [layer(x)], torch.float64)
        elif kind == "copy":
            x = torch.randn(2, channels[0], dtype=torch.float64)
            agree([copy.deepcopy(layer)(x)], [layer(x)], torch.float64)
        elif kind == "execute":
            ways = possible_executions(layer)
            layer.set_execution(ways[codes[0] % len(ways)] if codes else "auto")
        found = rows(layer.weight)
        assert found.keys() == weights.keys() == {tuple(e) for e in graph.edges.T.tolist()}
        agree(list(found.values()), [weights[edge] for edge in found], torch.float64)
        x = torch.randn(2, channels[0], dtype=torch.float64)
        matrix = laid_out(graph, layer.weight.detach(), channels, mean=about["aggr"] == "mean")
        agree([layer(x)], [F.linear(x, matrix, layer.bias)], torch.float64)


TEXTS = [
    *MESSAGES.names(),
    *aggregation_names(),
    "a.b:C",
    "low_rank(rank=2)",
    "softmax(learn=True)",
]


WORDS = ["rank", "hidden", "negative_slope", "num_classes", "column", "attr_dim", "keep", "values",
         "granularity", "kernel_size", "learn", "t", "p", "q"]  # fmt: skip


@st.composite
def calls(draw: st.DrawFn) -> str:
    """A name with arguments that others have, of any kind."""
    given = draw(st.dictionaries(st.sampled_from(WORDS), ANY, max_size=2))
    return f"{draw(st.sampled_from(TEXTS))}({', '.join(f'{k}={v!r}' for k, v in given.items())})"


@fuzzed(700, st.data())
def test_any_name(data: Any) -> None:
    text = data.draw(changed_text(st.sampled_from(TEXTS)) | messages() | aggregations() | calls())
    with refused_in_a_sentence():
        Round(RelationalGraph(2, [[0], [1]]), 4, 4, message=text)
    with refused_in_a_sentence():
        resolve_aggregation(text, 3)
