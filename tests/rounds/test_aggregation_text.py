"""Aggregations of the user's own: as a class, an object, a factory or text, and back to text."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.nn import aggr as pyg

import relmp
from relmp.models import create_model
from relmp.models.factory import ModelConfig
from relmp.rounds.aggregation import AGGREGATIONS, aggregation_text, foreign_aggregations

GRAPH = relmp.create_graph("ws_flex", n=8, k=4, p=0.3, seed=0)
HERE = __name__


class RMS(pyg.Aggregation):
    """The root mean square, with an argument that it keeps."""

    def __init__(self, floor: float = 1e-6) -> None:
        super().__init__()
        self.floor = floor

    def forward(self, x, index=None, ptr=None, dim_size=None, dim=-2):  # type: ignore[no-untyped-def]
        squares = self.reduce(x * x, index, ptr, dim_size, dim, reduce="mean")
        return (squares + self.floor).sqrt()


class Forgetful(RMS):
    """Does not keep its argument under its name."""

    def __init__(self, twice: float = 0.0) -> None:
        super().__init__(2 * twice)


def by_degree(channels: int, degrees: Tensor, floor: float = 0.0) -> pyg.Aggregation:
    return RMS(floor + float(degrees.max()))


ANY = RMS(0.5)
SCALED = "degree_scaled(aggr=['{}', 'max'], scaler=['linear'], mode='sum', train_norm=False)"


@pytest.mark.parametrize(
    ("aggr", "text"),
    [
        (RMS, f"{HERE}:RMS"),
        (RMS(), f"{HERE}:RMS"),
        (RMS(floor=0.25), f"{HERE}:RMS(floor=0.25)"),
        (partial(RMS, floor=0.25), f"{HERE}:RMS(floor=0.25)"),
        (by_degree, f"{HERE}:by_degree"),
        (partial(by_degree, floor=1.0), f"{HERE}:by_degree(floor=1.0)"),
        (f"{HERE}:ANY", f"{HERE}:ANY"),
        ([RMS, "max"], [f"{HERE}:RMS", "max"]),
        (f"multi(aggrs=['{HERE}:RMS', 'max'])", f"multi(aggrs=['{HERE}:RMS', 'max'])"),
        (relmp.degree_scaled([RMS, "max"], ["linear"], mode="sum"), SCALED.format(f"{HERE}:RMS")),
        (pyg.SoftmaxAggregation(learn=True), "softmax(learn=True)"),
        (pyg.MaxAggregation, "max"),
        (pyg.VarAggregation(), "var"),
    ],
)
def test_an_aggregation_and_its_text_build_the_same(aggr: Any, text: Any) -> None:
    assert aggregation_text(aggr) == text == aggregation_text(text)
    options = {"in_features": 9, "width": 21, "message": "gated", "seed": 3}
    model = create_model("mlp", graph=GRAPH, aggr=aggr, **options)
    again = ModelConfig.from_dict(model.config.to_dict()).create()
    assert model.state_dict().keys() == again.state_dict().keys()
    x = torch.randn(2, 9)
    assert torch.equal(model.eval()(x), again.eval()(x))


def test_its_code_is_known_again_however_it_is_given() -> None:
    given = (RMS, RMS(0.5), f"{HERE}:RMS", f"{HERE}:ANY", relmp.degree_scaled([RMS], ["linear"]))
    found = {ModelConfig("mlp", GRAPH, options={"aggr": aggr}).code()["aggr"] for aggr in given}
    assert len(found) == 1
    assert "aggr" not in ModelConfig("mlp", GRAPH, options={"aggr": "softmax(learn=True)"}).code()


def test_what_text_would_import_is_found_wherever_it_stands() -> None:
    assert list(foreign_aggregations(["sum", "softmax(learn=True)", SCALED.format("mean")])) == []
    for text in ("a:B", "a:B(c=1)"):
        nested = SCALED.format(text.replace("'", '"'))
        for aggr in (text, ["sum", text], f"multi(aggrs=[['{text}', 'max']])", nested):
            assert list(foreign_aggregations(aggr)) == [text]


def test_a_registered_one_goes_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AGGREGATIONS, "_items", {**AGGREGATIONS._items})
    AGGREGATIONS.register("rms")(RMS)
    assert aggregation_text(RMS(0.5)) == "rms(floor=0.5)"
    assert relmp.Round(GRAPH, 16, 16, aggr="rms(floor=0.5)").aggr_module.floor == 0.5
    assert list(foreign_aggregations(f"{HERE}:RMS")) == []


def test_what_makes_a_factory_is_text_too() -> None:
    """relmp.degree_scaled gives what makes an aggregation, and stands for it as text."""
    arguments = "(aggr=['mean', 'max'], scaler='identity')"
    layers = [
        relmp.Round(GRAPH, 16, 16, aggr=aggr, bias=False)
        for aggr in (f"relmp:degree_scaled{arguments}", f"degree_scaled{arguments}",
                     relmp.degree_scaled(["mean", "max"], "identity"))
    ]  # fmt: skip
    for layer in layers[1:]:
        layer.load_state_dict(layers[0].state_dict())
    x = torch.randn(3, 16)
    for layer in layers[1:]:
        torch.testing.assert_close(layer(x), layers[0](x))


def test_mistakes_are_named() -> None:
    for call in ("aggr='mean', scaler='amplificatio'", "aggr=['mean'], scaler=['loud']"):
        with pytest.raises(ValueError, match="there is no scaler '.*', only identity, amplif"):
            relmp.Round(GRAPH, 16, 16, aggr=f"degree_scaled({call})")

    class Local(RMS):
        pass

    for aggr in (Local, Local(), Forgetful(0.5), lambda c, d: RMS(), pyg.QuantileAggregation(0.3)):
        with pytest.raises(ValueError, match="cannot be written to a configuration"):
            aggregation_text(aggr)
    with pytest.raises(ValueError, match=r"'.*:RMS\(wdith=1\)' does not fit its arguments"):
        relmp.Round(GRAPH, 16, 16, aggr=f"{HERE}:RMS(wdith=1)")
    with pytest.raises(ValueError, match="Cannot import 'relmp.nowhere:It'"):
        relmp.Round(GRAPH, 16, 16, aggr="relmp.nowhere:It")
    with pytest.raises(ValueError, match="'relmp:__version__' cannot be made: it is '0"):
        relmp.Round(GRAPH, 16, 16, aggr="relmp:__version__")
