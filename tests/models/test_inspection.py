"""What summary and verify say of a model."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn

import relmp
from relmp.graphs import RelationalGraph, create_graph
from relmp.models import count_flops, count_parameters, create_model
from relmp.rounds import Message, RelationalConv2d, RelationalLinear, Round
from relmp.rounds.layout import EdgeLayout
from tests.models.zoo import GRAPH, NAMES, SMALL


@pytest.mark.parametrize("name", NAMES)
def test_summary_adds_up_to_the_model(name: str) -> None:
    options, shape = SMALL[name]
    model = create_model(name, graph=GRAPH, num_classes=5, **options)
    frame = relmp.summary(model, shape).frame
    assert frame["flops"].sum() == count_flops(model, shape)
    norms = [m for m in model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    inside = {id(p) for m in model.modules() if isinstance(m, Round) for p in m.parameters()}
    outside = sum(p.numel() for m in norms for p in m.parameters() if id(p) not in inside)
    assert frame["parameters"].sum() + outside == count_parameters(model)
    rounds = frame.dropna(subset=["nodes"])
    assert len(rounds) == sum(isinstance(m, Round) for m in model.modules())
    assert (rounds["density"] == GRAPH.density).all()
    assert (rounds["edges"] == GRAPH.num_edges).all()


def test_summary_of_one_layer_by_hand() -> None:
    layer = RelationalConv2d(GRAPH, 10, 24, 3, stride=2, padding=1, execution="message_passing")
    row = relmp.summary(layer, (10, 6, 8)).frame.iloc[0]
    assert row["sizes"] == "1-2 -> 3"
    assert row["activation_bytes"] == 24 * 3 * 4 * 4
    # Every edge carries two padded channels in and three out, as floats.
    assert row["message_bytes"] == GRAPH.num_edges * (2 * 6 * 8 + 3 * 3 * 4) * 4
    assert row["flops"] == (row["parameters"] - 24) * 12
    assert row["execution"] == "message_passing"


def test_summary_prints_names_reasons_and_totals() -> None:
    model = torchvision.models.mobilenet_v2(num_classes=3)
    graph = create_graph("ws_flex", n=16, k=4, p=0.2, seed=0)
    relational = relmp.relationalize(model, graph, skip=["features.18.0"])
    summary = relmp.summary(relational, (3, 64, 64))
    text = str(summary)
    assert "features.1.conv.0.0 " in text
    assert "depth-wise" in text
    assert "skipped as asked" in text
    assert f"{count_flops(relational, (3, 64, 64)):,} FLOPs an image" in text
    assert "nan" not in text.lower()
    assert "<table" in summary._repr_html_()


def test_summary_needs_a_shape_that_fits() -> None:
    with pytest.raises(ValueError, match="Linear does not say which images it takes; pass"):
        relmp.summary(nn.Linear(3, 3))
    with pytest.raises(ValueError, match=r"cannot take an image of shape \[4\]"):
        relmp.summary(nn.Linear(3, 3), (4,))
    assert len(relmp.summary(create_model("mlp")).frame) == 5


class Silent(Message):
    """Does not say what it costs."""

    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.out_dim = out_dim

    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return x_j.mean(2, keepdim=True).expand(-1, -1, self.out_dim)


def test_a_message_of_unknown_cost_is_left_open() -> None:
    model = create_model("mlp", graph=GRAPH, in_features=9, width=16, message=Silent)
    frame = relmp.summary(model).frame
    assert frame["flops"].isna().sum() == 3
    assert "5 layers" in str(relmp.summary(model))


@pytest.mark.parametrize(
    "name", [name if name in ("mlp", "small_cnn") else pytest.param(name, marks=pytest.mark.slow)
             for name in NAMES]
)  # fmt: skip
def test_verify_finds_all_executions_equal(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    model = create_model(name, graph=GRAPH, num_classes=5, **SMALL[name][0])
    state = {key: value.clone() for key, value in model.state_dict().items()}
    assert relmp.verify(model) < 1e-12
    out = capsys.readouterr().out
    rounds = [key for key, module in model.named_modules() if isinstance(module, Round)]
    for key in rounds:
        assert sum(line.split()[:1] == [key] for line in out.splitlines()) >= 2
    assert "Largest difference from message passing" in out
    assert all(torch.equal(model.state_dict()[key], value) for key, value in state.items())


@pytest.mark.parametrize("message", ["frozen", "low_rank", "scalar", "shared"])
def test_verify_takes_convolutions_of_every_linear_map(message: str) -> None:
    layer = RelationalConv2d(GRAPH, 8, 9, 3, stride=2, dilation=2, padding=1, message=message)
    assert relmp.verify(layer) < 1e-12


@pytest.mark.parametrize("aggr", ["sum", "mean"])
def test_verify_sees_an_execution_that_errs(aggr: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = Round(GRAPH, 10, 24, aggr=aggr)
    assert relmp.verify(layer) < 1e-12
    right = EdgeLayout.forward
    monkeypatch.setattr(EdgeLayout, "forward", lambda self, weight: right(self, weight).flip(0))
    assert relmp.verify(layer) > 1e-2


def test_verify_lists_rounds_with_one_execution(capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Sequential(RelationalLinear(GRAPH, 8, 9), Round(GRAPH, 9, 9, aggr="max"))
    assert relmp.verify(model, seed=3) < 1e-12
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.split()[:1] == ["1"] for line in lines) == 1
    with pytest.raises(ValueError, match="Linear has no rounds to verify"):
        relmp.verify(nn.Linear(3, 3))


def test_a_checkpoint_of_another_graph_names_the_layer() -> None:
    state = create_model("resnet20", graph=GRAPH, width=8, stem_width=8).state_dict()
    other = RelationalGraph.from_edges([(0, 7)], 8)
    with pytest.raises(RuntimeError, match=r"'stages.0.0.body.0' was saved for another graph"):
        create_model("resnet20", graph=other, width=8, stem_width=8).load_state_dict(state)
