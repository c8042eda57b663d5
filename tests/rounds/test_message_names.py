"""Messages by name, with arguments, from plug-ins and by import; and back to text."""

from __future__ import annotations

from functools import partial
from importlib.metadata import EntryPoint
from typing import Any

import pytest
import torch

import relmp
from relmp import registry
from relmp.graphs import create_graph
from relmp.models import create_model
from relmp.models.budget import matched_options
from relmp.models.factory import ModelConfig
from relmp.registry import format_call, parse_call
from relmp.rounds import Round, resolve_message
from relmp.rounds.names import message_text

GRAPH = create_graph("ws_flex", n=16, k=5, p=0.3, seed=0)


def test_text_is_read_and_written() -> None:
    for text in ("sum", "low_rank(rank=2)", "a.b:C.d(x='y', z=[1, 2.5], w=None)"):
        assert format_call(*parse_call(text)) == text
    assert parse_call(" f( a = 1 ) ") == ("f", {"a": 1})
    for text in ("f(", "f(1)", "f(a=b)", "f(a=open('x'))", "f(a=1)()", "f(a=1) + 1"):
        with pytest.raises(ValueError, match="cannot be read"):
            parse_call(text)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("gated", "gated"),
        ("linear", "linear"),
        (relmp.LinearMessage, "linear"),
        ("low_rank(rank=2)", "low_rank(rank=2)"),
        (
            partial(partial(relmp.MLPMessage, hidden=3), hidden=5),
            "mlp(hidden=5)",
        ),
    ],
    ids=str,
)
def test_a_message_and_its_text_build_the_same(message: Any, text: str) -> None:
    assert message_text(message) == text
    assert message_text(text) == text
    options = {"in_features": 9, "width": 32, "seed": 3}
    model = create_model("mlp", graph=GRAPH, message=message, **options)
    again = ModelConfig.from_dict(model.config.to_dict()).create()
    x = torch.randn(2, 9)
    assert torch.equal(model.eval()(x), again.eval()(x))


def test_a_plug_in_is_found_and_loaded_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("whisper", "relmp.rounds.messages.gated:GatedMessage", "relmp.messages")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    assert "whisper" in relmp.message_names()
    assert resolve_message("whisper") is relmp.GatedMessage
    assert isinstance(Round(GRAPH, 32, 32, message="whisper").message_module, relmp.GatedMessage)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="Unknown message 'gatd'; choose one of attention, cla"):
        Round(GRAPH, 32, 32, message="gatd")
    with pytest.raises(ValueError, match="Cannot import 'relmp.nowhere:It'"):
        create_model("mlp", graph=GRAPH, message="relmp.nowhere:It")
    with pytest.raises(ValueError, match="is no message but '0"):
        resolve_message("relmp:__version__")

    class Local(relmp.Message):
        pass

    for message in (Local, lambda e, i, o: None, partial(relmp.GatedMessage, kernel_size=Local)):
        with pytest.raises(ValueError, match="cannot be written to a configuration"):
            message_text(message)


@pytest.mark.parametrize("message", ["gated", "low_rank(rank=2)", "scalar", "shared", "mlp"])
@pytest.mark.parametrize("model", ["mlp", "resnet20"])
def test_budgets_count_what_the_message_costs(message: str, model: str) -> None:
    shape, width = ((1, 8, 8), 48) if model == "mlp" else ((3, 32, 32), 16)
    graph = create_graph("ws_flex", n=8, k=4, p=0.3, seed=0)
    options: dict[str, Any] = {"graph": graph, "width": width, "input_shape": shape}
    matched = relmp.match_flops(model, message=message, **options)
    budget = relmp.count_flops(create_model(model, width=width, **_input(model, shape)), shape)
    found = relmp.count_flops(matched, shape)
    if model == "mlp":  # the smallest width that reaches the budget
        smaller = matched.config.options | {"width": matched.config.options["width"] - 1}
        below = create_model(model, graph=graph, **smaller)
        assert relmp.count_flops(below, shape) < budget <= found
    else:
        assert abs(found / budget - 1) < 0.05
    linear = matched_options(model, num_classes=10, **options)["width"]
    if message == "shared":
        assert matched.config.options["width"] == linear
    else:
        assert matched.config.options["width"] != linear


def _input(model: str, shape: tuple[int, ...]) -> dict[str, int]:
    return {"in_features": 64} if model == "mlp" else {"in_channels": shape[0]}


def test_a_message_without_a_cost_cannot_be_matched() -> None:
    class Free(relmp.Message):
        def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
            super().__init__()

    with pytest.raises(NotImplementedError, match="Free does not say what it costs"):
        relmp.match_flops("mlp", graph=GRAPH, message=Free, width=64)


@pytest.mark.parametrize("message", ["gated", "attention", "low_rank", "mlp"])
def test_any_model_takes_them(message: str) -> None:
    from torch import nn

    plain = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 24, 3, stride=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 20), nn.ReLU(), nn.Linear(20, 5),
    )  # fmt: skip
    model = relmp.relationalize(plain, GRAPH, message=message, aggr="max")
    rounds = [m for m in model.modules() if isinstance(m, Round)]
    assert [type(r.message_module).__name__.lower() for r in rounds] == [
        message.replace("_", "") + "message"
    ] * 2
    assert all(r.aggr == "max" for r in rounds)
    assert model(torch.randn(2, 3, 12, 12)).shape == (2, 5)
    if message == "gated":
        with pytest.raises(ValueError, match="Layer '2': .*not one linear map"):
            relmp.relationalize(plain, GRAPH, message=message, keep_weights=True)
