"""What scores choose in training: recorded, resumed, on the map and in the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import relmp
from relmp.rounds import Round
from relmp.rounds.scored.selection import scored_parts
from relmp.training.rewiring.topology import read_topology

GRAPH = relmp.create_graph("complete", n=8)
EDGE, WEIGHT = "scored(keep=0.4, granularity='edge')", "scored(keep=0.4)"


def model(message: str = EDGE, **options: Any) -> Any:
    return relmp.create_model("mlp", GRAPH, in_features=64, width=16, message=message, **options)


def train(net: Any, out: Path | None = None, **settings: Any) -> Any:
    return relmp.train(
        net,
        "digits",
        **{"epochs": 3, "train_size": 200, "batch_size": 100, "out": out, "device": "cpu"}
        | settings,
    )


def rounds(net: Any) -> dict[str, Round]:
    return {name: layer for name, layer in net.named_modules() if isinstance(layer, Round)}


def test_records_are_those_of_the_chosen_graphs(tmp_path: Path) -> None:
    net = model()
    start = {name: layer.selected() for name, layer in rounds(net).items()}
    train(net, tmp_path)
    end = {name: layer.selected() for name, layer in rounds(net).items()}
    records = read_topology(tmp_path)
    assert [r["rewiring"] for r in records] == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert [r["step"] for r in records[::3]] == [0, 2, 4, 6]
    for name in start:
        own = [r for r in records if r["layer"] == name]
        for record, graph in ((own[0], start[name]), (own[-1], end[name])):
            assert record["edges"] == graph.num_edges
            assert record["density"] == graph.density
            assert record["clustering"] == pytest.approx(graph.clustering)
            assert record["in_degree"][1] == pytest.approx(graph.num_edges / 8)
        pairs = [{tuple(pair) for pair in g.edges.T.tolist()} for g in (start[name], end[name])]
        assert own[-1]["overlap"] == pytest.approx(len(pairs[0] & pairs[1]) / len(pairs[0]))
        assert sum(r["changed"] for r in own) >= len(pairs[1] - pairs[0])
        assert own[-1]["tried"] >= len(pairs[0] | pairs[1]) / 64
        assert own[0]["overlap"] == 1.0
        assert own[0]["changed"] == 0


def test_single_weights_are_recorded_as_strengths(tmp_path: Path) -> None:
    net = model(WEIGHT)
    train(net, tmp_path, epochs=1)
    last = read_topology(tmp_path)[-1]
    layer = rounds(net)["rounds.2"]
    entries = 16 * 16
    assert last["edges"] == entries - int(0.6 * entries)
    assert last["density"] == last["edges"] / entries
    assert last["clustering"] == pytest.approx(layer.selected().clustering)
    assert last["changed"] is last["tried"] is last["overlap"] is None


def test_a_resumed_run_writes_what_the_whole_one_writes(tmp_path: Path) -> None:
    train(model(), tmp_path / "whole")

    def stop(record: Any) -> None:
        if record["epoch"] == 2:
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        train(model(), tmp_path / "killed", on_epoch=stop)
    with (tmp_path / "killed" / "topology.jsonl").open("a") as file:
        file.write(json.dumps({"rewiring": 3, "layer": "rounds.0", "torn": True}) + "\n")
    train(model(), tmp_path / "killed")
    texts = [(tmp_path / which / "topology.jsonl").read_text() for which in ("whole", "killed")]
    assert texts[0] == texts[1]


def test_a_trained_run_is_loaded_with_its_frozen_weights(tmp_path: Path) -> None:
    net = model(WEIGHT, scored="all")
    before = [part.selection.frozen.clone() for part in scored_parts(net)]
    train(net, tmp_path, ema_decay=0.9)
    loaded = relmp.load_run(tmp_path, device="cpu").model
    for frozen, here, there in zip(before, scored_parts(net), scored_parts(loaded), strict=True):
        assert torch.equal(here.selection.frozen, frozen)
        assert torch.equal(there.selection.frozen, frozen)
        kept = here.selection.entries - int((1 - 0.4) * here.selection.entries)
        assert int(here.selection.select(here.scores).sum()) == kept
    x = torch.randn(5, 64)
    assert torch.equal(loaded(x), net.eval()(x))


@pytest.mark.parametrize("message", [EDGE, WEIGHT])
def test_on_the_map_and_in_the_report(message: str, tmp_path: Path) -> None:
    train(model(message), tmp_path / "run")
    figure = relmp.plot_topology(tmp_path / "run", null_models=3)
    (axes,) = figure.axes
    paths = [
        line for line in axes.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 4
    ]
    assert len(paths) == 3
    relmp.run_sweep(
        "mlp", graphs=[GRAPH, relmp.create_graph("ws_flex", n=8, k=4, p=0.2, seed=0)], seeds=1,
        width=16, epochs=1, train_size=100, message=message, out=tmp_path / "sweep", workers=0,
        show_progress=False,
    )  # fmt: skip
    relmp.analyse(tmp_path / "sweep", tmp_path / "report")
    assert len(list((tmp_path / "report").glob("topology_*.png"))) == 2


def test_rules_that_change_edges_are_refused() -> None:
    with pytest.raises(ValueError, match="Layer 'rounds.0' cannot be rewired by rigl"):
        train(model(), rewiring="rigl(every=2)")


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from relmp.cli import main

    arguments = ["train", "complete(n=8)", "--model", "residual_mlp(scored='all', fold=[1])",
                 "--message", WEIGHT, "--width", "16", "--epochs", "1",
                 "--train-size", "100", "--device", "cpu", "--out"]  # fmt: skip
    main([*arguments, str(tmp_path / "run")])
    options = json.loads((tmp_path / "run" / "config.json").read_text())["model"]["options"]
    assert options["message"] == WEIGHT
    assert options["scored"] == "all"
    assert options["fold"] == [1]
    assert relmp.load_run(tmp_path / "run").config.model.plain_options() == options
    with pytest.raises(SystemExit) as caught:
        main([*arguments[:4], "--message", "scored(keep=2)", "--out", str(tmp_path / "bad")])
    assert caught.value.code == 2
    assert "keep must be a share above 0 and at most 1, but is 2" in capsys.readouterr().err
