"""Models that are not relmp's: built, matched, trained, swept, loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import relmp
from relmp.graphs import create_graph
from tests.models import own_parts

GRAPH = create_graph("ws_flex", n=16, k=4, p=0.2, seed=0)
OTHER = create_graph("ws_flex", n=16, k=6, p=0.2, seed=0)
COMPLETE = create_graph("complete", n=16)
SHAPE = (1, 8, 8)
TINY: dict[str, Any] = {"train_size": 128, "epochs": 1}


@pytest.mark.parametrize("model", [own_parts.stacked, "tests.models.own_parts:stacked"])
def test_a_function_of_the_users_is_matched_to_the_complete_graphs_cost(model: Any) -> None:
    budget = relmp.count_flops(relmp.create_model(model, COMPLETE), SHAPE)
    found = relmp.match_flops(model, GRAPH, input_shape=SHAPE)
    assert found.graph == GRAPH
    assert found.config.name == "tests.models.own_parts:stacked"
    width = found.config.options["width"]
    assert width > 32
    narrower = relmp.create_model(model, GRAPH, in_features=64, width=width - 1)
    assert relmp.count_flops(narrower, SHAPE) < budget <= relmp.count_flops(found, SHAPE)


def test_stages_are_matched_together() -> None:
    found = relmp.match_flops(own_parts.Staged, GRAPH, input_shape=SHAPE)
    first, second = found.config.options["width"]
    assert first > 32
    assert second == pytest.approx(1.5 * first, abs=2)


@pytest.mark.slow
def test_a_factor_of_a_librarys_width_is_matched() -> None:
    shape, name = (3, 32, 32), "torchvision:mobilenet_v2"
    budget = relmp.count_flops(relmp.create_model(name, COMPLETE, width_mult=0.5), shape)
    found = relmp.match_flops(name, GRAPH, input_shape=shape, width_mult=0.5)
    assert found.config.options["width_mult"] > 0.5
    assert relmp.count_flops(found, shape) == pytest.approx(budget, rel=0.06)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (own_parts.Deaf, "ignores its graph: none of its layers is a round"),
        (own_parts.Rigid, "ignores its width: it costs the same at twice width=32"),
        (own_parts.Fixed, "has no width to be matched"),
        (own_parts.Plain, "takes no argument graph"),
        (own_parts.Plain(), "give the class itself"),
        ("torchvision:nothing", "torchvision has no model 'nothing'"),
        ("tests.models.own_parts:nothing", "Cannot import"),
        ("tests.models.own_parts:TINY", "Cannot import"),
    ],
)
def test_a_model_that_cannot_be_matched_says_why(model: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        relmp.match_flops(model, GRAPH, input_shape=SHAPE)


def test_a_model_of_the_users_is_swept_and_loaded(tmp_path: Path) -> None:
    table = relmp.run_sweep(
        own_parts.stacked, graphs=[GRAPH], seeds=2, workers=2, out=tmp_path, show_progress=False,
        **TINY,
    )  # fmt: skip
    assert len(table) == 4
    assert table["width"].nunique() == 2
    folder = tmp_path / table["run"].iloc[-1]
    with pytest.raises(ValueError, match="'tests.models.own_parts:stacked', which would be imp"):
        relmp.load_run(folder)
    run = relmp.load_run(folder, model=own_parts.stacked)
    assert run.graph == GRAPH
    assert relmp.verify(run.model) < 1e-12


def test_a_network_made_relational_is_a_step_of_the_configuration(tmp_path: Path) -> None:
    of = "tests.models.own_parts:Plain"
    with pytest.warns(UserWarning, match="not of equal cost. Model 'relationalized' has no width"):
        table = relmp.run_sweep(
            "relationalized", graphs=[GRAPH], seeds=1, workers=0, out=tmp_path, of=of,
            show_progress=False, **TINY,
        )  # fmt: skip
    assert table["flops"].nunique() == 2
    folder = tmp_path / table["run"].iloc[-1]
    with pytest.raises(ValueError, match=f"'{of}', which would be imported"):
        relmp.load_run(folder)
    run = relmp.load_run(folder, trust=True)
    assert isinstance(run.model.layers[3], relmp.RelationalLinear)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("timm:resnet18", {"checkpoint_path": "there.pth"}),
        ("timm:hf_hub:someone/model", {}),
        ("torchvision:resnet18", {"weights": "DEFAULT"}),
        ("relationalized", {"of": "torchvision:resnet18", "weights": "DEFAULT"}),
    ],
)
def test_what_would_be_fetched_needs_trust(name: str, options: dict[str, Any]) -> None:
    assert relmp.ModelConfig(name, GRAPH, options=options).foreign
    plain = {key: value for key, value in options.items() if key == "of"}
    assert not relmp.ModelConfig("torchvision:resnet18", GRAPH, options=plain).foreign


def test_of_a_model_built_by_hand_the_weights_are_kept(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = own_parts.stacked(GRAPH)
    with pytest.warns(UserWarning, match="keeps its weights alone"):
        relmp.train(model, "digits", out=tmp_path, **TINY)
    with pytest.raises(ValueError, match="holds weights alone"):
        relmp.load_run(tmp_path)
    with pytest.raises(ValueError, match="other layers, shapes or graphs"):
        relmp.load_run(tmp_path, model=own_parts.stacked(OTHER))
    run = relmp.load_run(tmp_path, model=own_parts.stacked(GRAPH))
    assert run.graph == GRAPH
    for name, value in model.state_dict().items():
        torch.testing.assert_close(run.model.state_dict()[name], value)


def test_a_local_model_trains_but_is_not_kept(tmp_path: Path) -> None:
    def local(graph: relmp.RelationalGraph, width: int = 32) -> nn.Module:
        return own_parts.stacked(graph, width=width)

    model = relmp.match_flops(local, GRAPH, input_shape=SHAPE)
    relmp.train(model, "digits", **TINY)
    model = relmp.create_model(local, GRAPH)
    with pytest.raises(ValueError, match="top level of a module"):
        relmp.train(model, "digits", out=tmp_path, **TINY)


def test_a_fused_layer_that_becomes_relational_is_named() -> None:
    graph = create_graph("cycle", n=8)
    model = relmp.relationalize(own_parts.Attention(), graph)
    frame = relmp.summary(model, (8,)).frame.set_index("layer")
    assert "across q, k and v" in frame.loc["qkv", "note"]
    assert frame["note"].notna().sum() == 3  # first, last, and this one
