"""Every aggregation of PyG either works on rounds or is refused by name."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
import torch_geometric.typing
from torch import nn
from torch_geometric.nn import aggr as pyg

from relmp.graphs import RelationalGraph
from relmp.rounds import LinearMessage, Round
from relmp.rounds.aggregation import (
    MODES,
    CombinedAggregation,
    aggregation_names,
    degree_scaled,
)

GRAPH = RelationalGraph.from_edges([(0, 1), (1, 2), (3, 0), (4, 2), (0, 2)], 5, directed=True)
# Not for a round, and what it says when it is tried with arguments that it would take.
MATRICES = "cannot aggregate messages of shape .*requires two-dimensional inputs"
REFUSED = {
    # One image's messages would have to be laid out as a matrix [E, c] for each position.
    "gru": ("gru(in_channels=3, out_channels=3)", MATRICES),
    "lstm": ("lstm(in_channels=3, out_channels=3)", MATRICES),
    "lcm": ("lcm(in_channels=3, out_channels=3)", MATRICES),
    "mlp": ("mlp(in_channels=3, out_channels=3, max_num_elements=3, num_layers=1)", MATRICES),
    "sort": ("sort(k=2)", MATRICES),
    "set2set": ("set2set(in_channels=3, processing_steps=2)", MATRICES),
    "settransformer": ("settransformer(channels=3)", MATRICES),
    "graphmultisettransformer": ("graphmultisettransformer(channels=3, k=2)", MATRICES),
    "patchtransformer": (
        "patchtransformer(in_channels=3, out_channels=3, patch_size=2, hidden_channels=4)",
        MATRICES,
    ),
    # Solves an optimisation problem for each node, of matrices only.
    "equilibrium": (
        "equilibrium(in_channels=3, out_channels=3, num_layers=[4])",
        "cannot aggregate messages of shape",
    ),
}
# In, with arguments; without them PyG does not know what is meant.
WITH_ARGUMENTS = {
    "quantile": ("quantile(q=0.3)", lambda m: m.quantile(0.3, 0)),
    "multi": (
        "multi(aggrs=['sum', 'max'], mode='mean')",
        lambda m: (m.sum(0) + m.amax(0)) / 2,
    ),
    "degreescaler": (
        "degreescaler(aggr=['mean', 'max'], scaler=['identity', 'linear'], mode='sum')",
        # Every node of the graph hears 10 / 5 = 2 others on average, itself included.
        lambda m: (m.mean(0) + m.amax(0)) * (1 + len(m) / 2),
    ),
}

DEFINITIONS = {
    "sum": lambda m: m.sum(0),
    "mean": lambda m: m.mean(0),
    "min": lambda m: m.amin(0),
    "max": lambda m: m.amax(0),
    "mul": lambda m: m.prod(0),
    "median": lambda m: m.median(0).values,
    "var": lambda m: m.var(0, unbiased=False),
    # PyG sets deviations below the square root of 1e-5 to zero.
    "std": lambda m: F.threshold(m.var(0, unbiased=False), 1e-5, 0).sqrt(),
    "softmax": lambda m: (m.softmax(0) * m).sum(0),
    "powermean": lambda m: m.mean(0),  # its exponent is 1 unless it is learned
    "deepsets": lambda m: m.sum(0),  # its networks are none unless they are given
    "variancepreserving": lambda m: m.sum(0) / len(m) ** 0.5,
}
LEARNED = {  # by name: what a round tells it, it learns from there
    "attentional": ("attentional", 3 + 1),
    "softmax": ("softmax(learn=True)", 1),
    "powermean": ("powermean(learn=True, p=2.0)", 1),
    "multi": ("multi(aggrs=['sum', 'max'], mode='proj')", 2 * 3 * 3),
    "degreescaler": (
        "degreescaler(aggr=['mean', 'std'], scaler=['amplification', 'attenuation'])",
        4 * 3 * 3,
    ),
}


def test_every_aggregation_of_pyg_is_in_or_out() -> None:
    inside = DEFINITIONS.keys() | WITH_ARGUMENTS.keys() | LEARNED.keys()
    assert not inside & REFUSED.keys()
    assert set(aggregation_names()) == inside | REFUSED.keys() | {"degree_scaled"}


BY_TEXT = {**{name: (name, f) for name, f in DEFINITIONS.items()}, **WITH_ARGUMENTS}


@pytest.mark.parametrize("name", sorted(BY_TEXT))
def test_is_its_definition(name: str) -> None:
    text, definition = BY_TEXT[name]
    torch.manual_seed(0)
    layer = Round(GRAPH, 11, 13, aggr=text, bias=False)
    x = torch.randn(4, 11, requires_grad=True)
    out = layer(x)
    messages = layer.message_module(None, layer.to_nodes(x)[layer.edge_index[0]])
    for node in range(5):
        heard = messages[layer.edge_index[1] == node]
        place = layer.out_partition.slots[node][layer.out_partition.mask[node]]
        expected = definition(heard)
        torch.testing.assert_close(out[:, place], expected[:, : len(place)], rtol=1e-4, atol=1e-5)
    assert torch.autograd.grad(out.sum(), x)[0].abs().sum() > 0


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_is_refused_and_says_why(name: str) -> None:
    text, reason = REFUSED[name]
    with pytest.raises(ValueError, match=reason):
        Round(GRAPH, 10, 15, aggr=text)
    with pytest.raises(ValueError, match=f"Aggregation '{name}' does not fit its arguments"):
        Round(GRAPH, 10, 15, aggr=name)


@pytest.mark.parametrize("name", sorted(LEARNED))
def test_learns_in_each_round(name: str) -> None:
    text, parameters = LEARNED[name]
    plain = Round(GRAPH, 11, 13)
    layers = [Round(GRAPH, 11, 13, aggr=text) for _ in range(2)]
    own = [list(layer.aggr_module.parameters()) for layer in layers]
    assert not {id(p) for p in own[0]} & {id(p) for p in own[1]}
    assert layers[0].num_parameters() == plain.num_parameters() + parameters
    x = torch.rand(4, 11)
    gradients = torch.autograd.grad(layers[0](x).square().sum(), own[0])
    assert all(g.isfinite().all() for g in gradients)
    assert any(g.any() for g in gradients)
    twin = copy.deepcopy(layers[0])
    twin.reset_parameters()
    twin.load_state_dict(layers[0].state_dict())
    assert torch.equal(twin(x), layers[0](x))


@pytest.mark.parametrize("mode", MODES)
def test_several_are_combined_as_stated(mode: str) -> None:
    torch.manual_seed(0)
    layer = Round(GRAPH, 11, 15, aggr=f"multi(aggrs=['sum', 'min', 'std'], mode='{mode}')")
    messages = torch.randn(10, 4, 3)
    index = layer.edge_index[1]
    out = layer.aggr_module(messages, index=index, ptr=layer.ptr, dim_size=5, dim=0)
    parts = [pyg.SumAggregation(), pyg.MinAggregation(), pyg.StdAggregation()]
    apart = [part(messages, index=index, ptr=layer.ptr, dim_size=5, dim=0) for part in parts]
    if mode == "proj":
        expected = torch.cat(apart, -1) @ layer.aggr_module.proj.weight.T
    else:
        expected = getattr(torch, mode)(torch.stack(apart), dim=0)
        expected = expected if isinstance(expected, torch.Tensor) else expected.values
    torch.testing.assert_close(out, expected)


def test_scalers_know_the_degrees_of_the_graph() -> None:
    degrees = torch.from_numpy(GRAPH.in_degrees).float()
    log = (degrees + 1).log()
    scalers = {
        "identity": torch.ones(5),
        "amplification": log / log.mean(),
        "attenuation": log.mean() / log,
        "linear": degrees / degrees.mean(),
        "inverse_linear": degrees.mean() / degrees,
    }
    for scaler, factor in scalers.items():
        layer = Round(GRAPH, 10, 15, aggr=degree_scaled(["sum"], [scaler], mode="sum"), bias=False)
        plain = Round(GRAPH, 10, 15, bias=False)
        plain.load_state_dict(layer.state_dict(), strict=False)
        x = torch.randn(4, 10)
        scaled = plain(x).unflatten(1, (5, 3)) * factor[:, None]
        torch.testing.assert_close(layer(x), scaled.flatten(1))


def test_objects_lists_and_modes() -> None:
    x = torch.randn(4, 11)
    torch.manual_seed(1)
    both = Round(GRAPH, 11, 13, aggr=["sum", "max"], bias=False)
    apart = []
    for name in ("sum", "max"):
        layer = Round(GRAPH, 11, 13, aggr=name, bias=False)
        layer.load_state_dict(both.state_dict(), strict=False)
        apart.append(layer(x))
    torch.testing.assert_close(both(x), apart[0] + apart[1])
    assert Round(GRAPH, 11, 13, aggr=pyg.SumAggregation()).execution == "dense"
    Round(GRAPH, 11, 13, aggr=pyg.QuantileAggregation(0.3))(x)
    Round(GRAPH, 11, 13, aggr=pyg.MultiAggregation(["min", "max"], mode="mean"))(x)
    with pytest.raises(ValueError, match=r"\[2, 3, 6\]"):
        Round(GRAPH, 15, 15, aggr=pyg.MultiAggregation(["min", "max"], mode="cat"))
    with pytest.raises(ValueError, match="Unknown aggregation 'sun'; choose one of attentional, "):
        Round(GRAPH, 11, 13, aggr="sun")
    with pytest.raises(ValueError, match="aggr must be"):
        Round(GRAPH, 11, 13, aggr=[])
    with pytest.raises(ValueError, match="'sum\\(' cannot be read"):
        Round(GRAPH, 11, 13, aggr="sum(")
    with pytest.raises(ValueError, match="Unknown mode 'cat'; choose one of sum, mean"):
        Round(GRAPH, 11, 13, aggr="multi(aggrs=['sum', 'max'], mode='cat')")
    with pytest.raises(ValueError, match="'softmax.temperature=2.' does not fit its arguments"):
        Round(GRAPH, 11, 13, aggr="softmax(temperature=2)")
    with pytest.raises(ValueError, match="Aggregation 'quantile.q=2.' cannot be made"):
        Round(GRAPH, 11, 13, aggr="quantile(q=2)")
    with pytest.raises(ValueError, match="must return a tensor, but returned list"):
        Round(GRAPH, 11, 13, aggr=_Listing())
    with pytest.raises(ValueError, match="3 channels into 7, which is no multiple"):
        CombinedAggregation(_Odd(), 3, "sum")


class _Listing(pyg.Aggregation):
    def forward(self, x, index=None, ptr=None, dim_size=None, dim=-2):  # type: ignore[no-untyped-def]
        return [x]


class _Odd(pyg.Aggregation):
    def forward(self, x, index=None, ptr=None, dim_size=None, dim=-2):  # type: ignore[no-untyped-def]
        return x.new_zeros(dim_size, x.size(1), 7)


def test_a_callable_is_told_channels_and_degrees() -> None:
    told = []

    def factory(channels: int, degrees: torch.Tensor) -> pyg.Aggregation:
        told.append((channels, degrees.tolist()))
        return pyg.SumAggregation()

    Round(GRAPH, 11, 13, aggr=factory)
    assert told == [(3, GRAPH.in_degrees.tolist())]


def test_learnable_aggregations_are_each_rounds_own() -> None:
    softmax = pyg.SoftmaxAggregation(learn=True)
    layers = [Round(GRAPH, 11, 13, aggr=softmax) for _ in range(2)]
    parameters = [id(p) for layer in layers for p in layer.aggr_module.parameters()]
    assert len(set(parameters)) == 2
    assert id(softmax.t) not in parameters
    assert layers[0].num_parameters() == Round(GRAPH, 11, 13).num_parameters() + 1


class _Plain(nn.Module):
    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.inner = LinearMessage(num_edges, in_dim, out_dim)
        nn.init.normal_(self.inner.weight)

    def forward(self, x_i: torch.Tensor, x_j: torch.Tensor) -> torch.Tensor:
        return self.inner(x_i, x_j)


@pytest.mark.parametrize("name", ["sum", "mean", "min", "max", "mul", "softmax", "std"])
def test_with_and_without_torch_scatter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch_geometric.typing.WITH_TORCH_SCATTER:
        pytest.skip("torch-scatter is not installed")
    import torch_scatter

    used = []
    segment = torch_scatter.segment_csr
    monkeypatch.setattr(
        torch_scatter, "segment_csr", lambda *a, **k: used.append(1) or segment(*a, **k)
    )
    found = []
    for installed in (True, False):
        monkeypatch.setattr(torch_geometric.typing, "WITH_TORCH_SCATTER", installed)
        torch.manual_seed(0)
        layer = Round(GRAPH, 11, 13, message=_Plain, aggr=name).double()
        x = torch.randn(4, 11, dtype=torch.float64, requires_grad=True)
        out = layer(x)
        found.append([out, *torch.autograd.grad(out.square().sum(), [x, *layer.parameters()])])
        # Deterministic mode reduces the sorted edges segment by segment instead.
        torch.use_deterministic_algorithms(True)
        try:
            layer = Round(GRAPH, 11, 13, message=_Plain, aggr=name).double()
            state = torch.manual_seed(0)
            layer = Round(GRAPH, 11, 13, message=_Plain, aggr=name).double()
            out = layer(x)
            found.append([out, *torch.autograd.grad(out.square().sum(), [x, *layer.parameters()])])
            del state
        finally:
            torch.use_deterministic_algorithms(False)
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-12)
    if name in ("sum", "mean", "min", "max"):
        assert used
