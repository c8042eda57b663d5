"""Every aggregation of PyG either works on rounds or is refused by name."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torch_geometric.typing
from torch import nn
from torch_geometric.nn import aggr as pyg

from relmp.graphs import RelationalGraph
from relmp.rounds import LinearMessage, Round
from relmp.rounds.aggregation import aggregation_names

GRAPH = RelationalGraph.from_edges([(0, 1), (1, 2), (3, 0), (4, 2), (0, 2)], 5, directed=True)
# What each of the others needs that a round cannot give by a name alone.
REFUSED = {
    "attentional": "needs arguments",
    "degreescaler": "needs arguments",
    "equilibrium": "needs arguments",
    "graphmultisettransformer": "needs arguments",
    "gru": "needs arguments",
    "lcm": "needs arguments",
    "lstm": "needs arguments",
    "mlp": "needs arguments",
    "multi": "needs arguments",
    "patchtransformer": "needs arguments",
    "quantile": "needs arguments",
    "set2set": "needs arguments",
    "settransformer": "needs arguments",
    "sort": "needs arguments",
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


def test_every_aggregation_of_pyg_is_in_or_out() -> None:
    assert set(aggregation_names()) == DEFINITIONS.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
def test_works_by_name(name: str) -> None:
    torch.manual_seed(0)
    layer = Round(GRAPH, 11, 13, aggr=name, bias=False)
    x = torch.randn(4, 11, requires_grad=True)
    out = layer(x)
    messages = layer.message_module(None, layer._to_nodes(x)[layer.edge_index[0]])
    for node in range(5):
        heard = messages[layer.edge_index[1] == node]
        place = layer.out_partition.slots[node][layer.out_partition.mask[node]]
        expected = DEFINITIONS[name](heard)
        torch.testing.assert_close(out[:, place], expected[:, : len(place)], rtol=1e-4, atol=1e-5)
    assert torch.autograd.grad(out.sum(), x)[0].abs().sum() > 0


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=REFUSED[name]):
        Round(GRAPH, 10, 15, aggr=name)


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
    with pytest.raises(ValueError, match="Unknown aggregation 'sun'; PyG has "):
        Round(GRAPH, 11, 13, aggr="sun")
    with pytest.raises(ValueError, match="aggr must be"):
        Round(GRAPH, 11, 13, aggr=[])


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
