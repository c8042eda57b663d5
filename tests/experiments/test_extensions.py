"""The files to copy run, and do what they say."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import relmp

ROOT = Path(__file__).parents[2]
EXTENSIONS = ROOT / "experiments" / "extensions"


@pytest.fixture
def extension(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(EXTENSIONS))  # workers of a sweep inherit it
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield importlib.import_module(request.param)
    torch.set_num_threads(threads)


def test_there_are_six_and_each_is_short() -> None:
    names = {path.stem for path in EXTENSIONS.glob("*.py")}
    subjects = ("message", "aggregation", "update", "graph", "dataset", "tracker")
    assert names == {f"own_{subject}" for subject in subjects}
    for path in EXTENSIONS.glob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) <= 70
        assert f"python experiments/extensions/{path.name}" in text


@pytest.mark.parametrize("extension", ["own_aggregation", "own_graph"], indirect=True)
def test_runs(extension: Any, capsys: pytest.CaptureFixture[str]) -> None:
    history = extension.main(epochs=2)
    assert len(history) == 2
    assert "test error" in capsys.readouterr().out


@pytest.mark.parametrize("extension", ["own_update"], indirect=True)
def test_an_update_of_ones_own(extension: Any) -> None:
    history = extension.main(epochs=4)
    assert history["test_error"].iloc[-1] < 50


@pytest.mark.slow
def test_a_tracker_of_ones_own(tmp_path: Path) -> None:
    # In a process of its own: workers write where the first sweep of their process wrote.
    code = "import sys, own_tracker; own_tracker.main(out=sys.argv[1], epochs=1)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(EXTENSIONS), str(ROOT)])},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    table = relmp.collect(tmp_path)
    assert all(f"{run} epoch 1: test error" in done.stdout for run in table["run"])


@pytest.mark.parametrize("extension", ["own_dataset"], indirect=True)
def test_a_data_set_of_ones_own(extension: Any) -> None:
    data = extension.load_strokes(50, 20)
    longer = (data.train_images > 200).sum((1, 2))[:, [3, 9]].argmax(1)
    assert torch.equal(longer, data.train_labels)
    history = extension.main(epochs=5)
    assert history["test_error"].iloc[-1] < 30


@pytest.mark.parametrize("extension", ["own_message"], indirect=True)
def test_a_message_of_ones_own_in_a_sweep(extension: Any, tmp_path: Path) -> None:
    table = extension.main(out=tmp_path, epochs=1, seeds=1)
    assert len(table) == 4
    assert table["flops"].min() >= 64 * 64 + 3 * 64 * 64 + 640
    layer = relmp.Round(
        relmp.create_graph("complete", n=4), 8, 8, message=extension.Difference, bias=False
    )
    same = torch.ones(1, 4, 1) * torch.randn(1, 1, 2)  # all nodes alike: only self-loops count
    own = layer.message_module.own.weight[layer.edge_index[0] == layer.edge_index[1]]
    expected = torch.einsum("noi,bni->bno", own, same).flatten(1)
    torch.testing.assert_close(layer(same.flatten(1)), expected)
