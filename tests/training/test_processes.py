"""Several processes that torchrun starts train like one with the whole batch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

import relmp
from relmp.graphs import create_graph
from relmp.training import load_data
from relmp.training.folder import RunFolder
from relmp.training.processes import Team

ROOT = Path(__file__).parents[2]
GRAPH = create_graph("ws_flex", n=16, k=4, p=0.3, seed=1)
SETTINGS: dict[str, Any] = {
    "epochs": 3, "batch_size": 64, "train_size": 300, "validation": 0.15, "lr": 0.05,
    "ema_decay": 0.9, "clip_norm": 1.0, "weight_decay": 1e-3, "device": "cpu",
}  # fmt: skip
TIMINGS = ["seconds", "images_per_second", "peak_memory"]


def data() -> Any:
    """Digits that are shifted and flipped at random: what is drawn must agree as well."""
    from dataclasses import replace

    return replace(load_data("digits"), shift=1, flip=True)


def model_without_norm() -> nn.Module:
    """Batch norm sees the share of a process only, so there is none."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(64, 32),
            nn.ReLU(),
            relmp.RelationalLinear(GRAPH, 32, 32, bias=False),
            nn.ReLU(),
            nn.Linear(32, 10),
        )


def model() -> nn.Module:
    return relmp.create_model("mlp", graph=GRAPH, in_features=64, width=32)


def torchrun(script: str, *arguments: str, processes: int = 2, **options: Any) -> Any:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone",
        f"--nproc-per-node={processes}", script, *arguments,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, text=True, **options)


SAME = """
import sys, torch
import relmp
from relmp.training.processes import join_team
from tests.training.test_processes import SETTINGS, data, model_without_norm

model = model_without_norm()
with join_team("cpu") as (team, device):
    assert team.size == 2
    if team.rank == 1:  # DDP starts from the weights of the first process
        torch.nn.init.zeros_(model[1].weight)
    history = relmp.train(model, data(), **SETTINGS)
    if team.leads:
        history.to_json(sys.argv[1] + "/history.json")
        torch.save(model.state_dict(), sys.argv[1] + "/weights.pt")
"""


@pytest.mark.slow
def test_two_processes_train_like_one_with_the_whole_batch(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SAME)
    process = torchrun(str(script), str(tmp_path), stderr=subprocess.PIPE)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    alone = model_without_norm()
    expected = relmp.train(alone, data(), **SETTINGS).drop(columns=TIMINGS)
    found = pd.read_json(tmp_path / "history.json").drop(columns=TIMINGS)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-4)
    weights = torch.load(tmp_path / "weights.pt", weights_only=True)
    for name, tensor in alone.state_dict().items():
        torch.testing.assert_close(weights[name], tensor, rtol=1e-3, atol=1e-5, msg=name)


RUN = """
import sys
import relmp
from relmp.training.population import members
from tests.training.test_processes import SETTINGS, data, model

members.SAVE_SECONDS = 0.0 if "save" in sys.argv else 1e9
relmp.train(model(), data(), out=sys.argv[1], **{**SETTINGS, "batch_size": 16,
            "epochs": int(sys.argv[2])})
"""


@pytest.mark.slow
def test_two_processes_keep_one_folder_and_go_on(tmp_path: Path) -> None:
    """Stopped by Ctrl-C, which every process of a terminal receives, and resumed."""
    script = tmp_path / "script.py"
    script.write_text(RUN)
    out, epochs = tmp_path / "run", 60
    process = torchrun(
        str(script), str(out), str(epochs), "save", stderr=subprocess.PIPE, start_new_session=True
    )
    end = time.monotonic() + 120
    while len(RunFolder(out).records()) < 2:
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=120)
    checkpoint = torch.load(out / "checkpoint.pt", weights_only=True)
    assert checkpoint["epoch"] < epochs
    assert len(RunFolder(out).records()) == checkpoint["epoch"]
    for folder in (out, tmp_path / "whole"):
        process = torchrun(str(script), str(folder), str(epochs), stderr=subprocess.PIPE)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    tables = [
        relmp.load_run(folder).history.drop(columns=TIMINGS) for folder in (out, tmp_path / "whole")
    ]
    assert len(tables[0]) == epochs
    # Sums over processes of an epoch that was cut in two are rounded once more.
    pd.testing.assert_frame_equal(*tables, rtol=1e-6)
    states = [relmp.load_run(f).model.state_dict() for f in (out, tmp_path / "whole")]
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


@pytest.mark.slow
def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    command = [
        "-m", "relmp", "train", "complete(n=16)", "--out", str(tmp_path / "run"),
        "--width", "32", "--batch-size", "65", "--device", "cpu",
    ]  # fmt: skip
    process = torchrun(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "relmp: A batch of 65 images cannot be shared evenly by 2 processes" in errors
    assert output.count("FLOPs") == 1, "one process reports"


def test_a_team_of_one_says_nothing() -> None:
    team, tensor = Team(), torch.tensor([1.0, 2.0])
    assert team.leads
    assert team.share == slice(0, None, 1)
    assert team.sum(tensor) is tensor
    assert team.any(True, torch.device("cpu"))
    assert not team.any(False, torch.device("cpu"))
    assert team.tell({"a": 1}) == {"a": 1}
    assert json.dumps(list(range(10))[Team(1, 3).share]) == "[1, 4, 7]"
