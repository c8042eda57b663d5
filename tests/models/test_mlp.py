"""The MLP of the paper: what is relational, what it computes, how it starts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from relmp.graphs import create_graph
from relmp.models import count_parameters, create_model
from relmp.models.mlp import MLP
from relmp.rounds import Message, Round

GRAPH = create_graph("ws_flex", n=16, k=5, p=0.3, seed=0)
OPTIONS = {"in_features": 20, "width": 40, "stem_width": 32}


def test_inner_layers_are_rounds_over_one_graph() -> None:
    model = create_model("mlp", graph=GRAPH, **OPTIONS)
    rounds = [m for m in model.modules() if isinstance(m, Round)]
    assert len(rounds) == 3
    assert all(layer.graph is GRAPH for layer in rounds)
    dense = [m for m in model.modules() if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in dense] == [(20, 32), (40, 10)]
    assert [m.bias is not None for m in dense] == [False, True]


@pytest.mark.parametrize("execution", ["message_passing", "dense"])
def test_complete_graph_is_the_ordinary_network(execution: str) -> None:
    complete = create_graph("complete", n=16)
    ours = create_model("mlp", graph=complete, execution=execution, **OPTIONS).double()
    plain = create_model("mlp", graph=None, **OPTIONS).double()
    assert count_parameters(ours) == count_parameters(plain)
    plain.stem.load_state_dict(ours.stem.state_dict())
    plain.head.load_state_dict(ours.head.state_dict())
    for layer, twin in zip(ours.rounds, plain.rounds, strict=True):
        from relmp.rounds import dense_weight

        twin[0].weight.data.copy_(dense_weight(layer))
    x = torch.randn(6, 20, dtype=torch.float64, requires_grad=True)
    for train in (True, False):
        ours.train(train), plain.train(train)
        one, other = ours(x), plain(x)
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
        gradients = [torch.autograd.grad(y.square().sum(), x)[0] for y in (one, other)]
        torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)


def test_initial_weights_follow_the_paper_and_the_seed_alone() -> None:
    torch.manual_seed(1)
    one = create_model("mlp", graph=GRAPH, seed=4)
    after = torch.rand(())
    torch.manual_seed(1)
    assert torch.rand(()) == after  # the global generator was left as it was found
    other = create_model("mlp", graph=GRAPH, seed=4)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(one.stem[0].weight, create_model("mlp", seed=5).stem[0].weight)
    for layer in one.rounds:
        real = layer.message_module.weight.detach()
        assert float(real[real != 0].std()) == pytest.approx(0.01, rel=0.02)
    assert float(one.stem[0].weight.detach().std()) == pytest.approx(0.01, rel=0.02)


def test_every_parameter_gets_a_gradient_and_images_are_flattened() -> None:
    model = create_model("mlp", graph=GRAPH, **OPTIONS)
    model(torch.randn(8, 5, 2, 2)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


class Doubling(Message):
    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.out_dim = out_dim

    def forward(self, x_i: torch.Tensor, x_j: torch.Tensor) -> torch.Tensor:
        return 2 * x_j.mean(2, keepdim=True).expand(-1, -1, self.out_dim)


def test_message_and_aggregation_by_object_and_by_name() -> None:
    by_object = create_model("mlp", graph=GRAPH, message=Doubling, aggr="max", **OPTIONS)
    path = f"{__name__}:Doubling"
    by_name = create_model("mlp", graph=GRAPH, message=path, aggr="max", **OPTIONS)
    x = torch.randn(4, 20)
    torch.testing.assert_close(by_object(x), by_name(x))
    assert by_object.config.to_dict()["options"]["message"] == path
    again = type(by_object.config).from_dict(by_object.config.to_dict()).create()
    torch.testing.assert_close(again(x), by_object(x))


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"Layer 'rounds.0': 8 channels cannot be shared by 16"):
        create_model("mlp", graph=GRAPH, width=8, stem_width=32)
    with pytest.raises(ValueError, match="Unknown model 'mpl'; choose one of .*Did you mean 'mlp'"):
        create_model("mpl")
    with pytest.raises(ValueError, match="no option 'wdith'; its options are in_features, width"):
        create_model("mlp", wdith=3)
    with pytest.raises(ValueError, match="num_classes must be a whole number between 1 and"):
        create_model("mlp", num_classes=0)
    with pytest.raises(ValueError, match="Cannot import 'nowhere:Nothing'"):
        create_model("mlp", graph=GRAPH, message="nowhere:Nothing")
    with pytest.raises(ValueError, match="cannot be written to a configuration"):
        create_model(
            "mlp", graph=GRAPH, message=lambda *_: Doubling(*_), **OPTIONS
        ).config.to_dict()
    assert MLP(None).head.out_features == 10
