"""Folders of the version before (no key in config.json) load, resume and are collected."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import relmp
from relmp.graphs import create_graph
from relmp.training.folder import RunFolder

WRITTEN = Path(__file__).parents[1] / "fixtures" / "format_1"
GRAPH = create_graph("ws_flex", n=8, k=4, p=0.2, seed=1)
SETTINGS: dict[str, Any] = {"data": "digits", "train_size": 100, "batch_size": 50}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(WRITTEN, tmp_path / "written"))


def test_a_run_loads_and_goes_on_to_the_same_result(folder: Path) -> None:
    assert len(relmp.load_run(folder / "stopped").history) == 1
    model = relmp.match_flops("mlp", graph=GRAPH, width=16, input_shape=(1, 8, 8))
    history = relmp.train(model, epochs=2, out=folder / "stopped", device="cpu", **SETTINGS)
    whole = pd.DataFrame(json.loads((folder / "history.json").read_text()))
    assert len(history) == 2
    for column in ("train_error", "test_error", "train_loss", "test_loss"):
        assert history[column].tolist() == pytest.approx(whole[column].tolist(), rel=1e-4)
    with pytest.raises(ValueError, match=r"training\.epochs: 2 there, 3 here"):
        relmp.train(model, epochs=3, out=folder / "stopped", **SETTINGS)


def test_a_sweep_is_collected_and_goes_on(folder: Path) -> None:
    out = folder / "sweep"
    before = relmp.collect(out)
    assert len(before) == 2
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("checkpoint.pt")}
    sweep: dict[str, Any] = {
        "graphs": [GRAPH], "out": out, "epochs": 1, "width": 16, "message": relmp.GatedMessage,
        "workers": 0, "show_progress": False, **SETTINGS,
    }  # fmt: skip
    after = relmp.run_sweep("mlp", seeds=2, **sweep)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps, "trained again"
    assert len(after) == 4
    pd.testing.assert_frame_equal(
        after[after["run"].isin(before["run"])].reset_index(drop=True), before
    )
    with pytest.raises(ValueError, match=r"training\.epochs: 1 there, 2 here"):
        relmp.run_sweep("mlp", seeds=2, **{**sweep, "epochs": 2})
    with pytest.raises(ValueError, match="width: 16 there, 32 here"):
        relmp.run_sweep("mlp", seeds=2, **{**sweep, "width": 32})


def test_an_edited_configuration_is_seen(folder: Path) -> None:
    path = next((folder / "sweep").glob("*/config.json"))
    config = json.loads(path.read_text())
    config["training"]["lr"] = 0.7
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match="was changed after the run was started"):
        RunFolder(path.parent).config()
