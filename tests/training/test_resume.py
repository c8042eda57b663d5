"""A run that was stopped, killed or interrupted at any step is the run that never was."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import relmp
from relmp.graphs import create_graph
from relmp.training import ImageData
from relmp.training.folder import RunFolder
from relmp.training.interrupt import deferred_interrupts
from relmp.training.population import members

ROOT = Path(__file__).parents[2]
GRAPH = create_graph("ws_flex", n=16, k=4, p=0.3, seed=1)
EVERYTHING: dict[str, Any] = {
    "epochs": 3, "batch_size": 64, "train_size": 260, "validation": 0.2, "optimizer": "adamw",
    "lr": 1e-2, "warmup_epochs": 1, "precision": "bfloat16", "ema_decay": 0.9, "precise_bn": 2,
    "clip_norm": 1.0, "label_smoothing": 0.1, "device": "cpu",
}  # fmt: skip
TIMINGS = ["seconds", "images_per_second", "peak_memory"]


def model() -> nn.Module:
    return relmp.create_model("mlp", graph=GRAPH, in_features=64, width=32)


def data() -> ImageData:
    return replace(relmp.load_data("digits"), shift=1)


def assert_same_run(one: Path, other: Path) -> None:
    """Records but for the times, and every tensor of the checkpoint, bit for bit."""
    tables = [
        pd.DataFrame(RunFolder(folder).records()).drop(columns=TIMINGS) for folder in (one, other)
    ]
    pd.testing.assert_frame_equal(*tables, rtol=0, atol=0)
    states = [torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (one, other)]
    for state in states:
        del state["records"]
    assert_equal(*states)


def assert_equal(one: Any, other: Any) -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    else:
        assert one == other


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every option that keeps a state, never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    torch.set_num_threads(1)
    relmp.train(model(), data(), out=folder, **EVERYTHING)
    return folder


class KilledError(Exception):
    pass


@settings(
    deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(stops=st.lists(st.integers(1, 14), min_size=1, max_size=3))
def test_goes_on_from_any_step(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, stops: list[int]
) -> None:
    """3 epochs of 3 steps and 2 evaluated batches each; stopped at these calls of the pause."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(members, "SAVE_SECONDS", 0.0)  # save after every step
        for stop in stops:
            calls = 0

            def count(done: int, total: int, stop: int = stop) -> None:
                nonlocal calls
                calls += 1
                if calls == stop:
                    raise KilledError

            with contextlib.suppress(KilledError):
                relmp.train(model(), data(), out=folder, on_step=count, **EVERYTHING)
    relmp.train(model(), data(), out=folder, **EVERYTHING)
    assert_same_run(whole, folder)


def test_a_checkpoint_within_an_epoch_holds_its_step(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        steps.append((done, total))
        if done == 5:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        relmp.train(model(), data(), out=tmp_path, on_step=stop, **EVERYTHING)
    checkpoint = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert (checkpoint["epoch"], checkpoint["step"]) == (1, 2)
    assert len(checkpoint["records"]) == 1
    assert steps[-1] == (5, 9), "the step in hand was to be the last"


def test_one_interrupt_ends_the_run_with_everything_saved(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        folder = tmp_path / str(number)
        for at in (2, 4, 6, 9):  # in an epoch and at its end

            def stop(done: int, total: int, at: int = at, number: int = number) -> None:
                if done == at:
                    signal.raise_signal(number)

            with pytest.raises(KeyboardInterrupt):
                relmp.train(model(), data(), out=folder, on_step=stop, **EVERYTHING)
            assert "after the step in hand" in capsys.readouterr().err
        relmp.train(model(), data(), out=folder, **EVERYTHING)
        assert_same_run(whole, folder)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_second_interrupt_stops_at_once() -> None:
    with deferred_interrupts() as asked:
        assert not asked()
        signal.raise_signal(signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_handlers_of_others_are_left_alone() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        with deferred_interrupts() as asked:
            signal.raise_signal(signal.SIGINT)
            assert not asked()
        assert seen == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)


KILLED = """
import os, random, signal, sys, time
import torch
torch.set_num_threads(1)
from pathlib import Path
import relmp
from relmp.training.population import members
from tests.training.test_resume import EVERYTHING, data, model

members.SAVE_SECONDS = 0.0  # a checkpoint after every step, on a slow disk, so that many kills meet
fsync = os.fsync        # one half written
os.fsync = lambda file: (fsync(file), time.sleep(0.003))
whole, folder, kills = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
digits = data()

def child(out):
    pid = os.fork()
    if pid == 0:
        relmp.train(model(), digits, out=out, **{**EVERYTHING, "epochs": 100})
        os._exit(0)
    return pid

began = time.monotonic()
assert os.waitpid(child(whole), 0)[1] == 0
seconds = time.monotonic() - began
times, torn = random.Random(0), 0
for killed in range(kills):  # all within some 40 % of the time that the run takes
    pid = child(folder)
    time.sleep(times.uniform(0.0, 0.8 * seconds / kills))
    os.kill(pid, signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(pid, 0)[1]), f"the run ended before kill {killed}"
    torn += any(folder.glob(".checkpoint.pt.*.part"))
assert os.waitpid(child(folder), 0)[1] == 0
print(torn)
"""


@pytest.mark.slow
def test_killed_at_20_random_times(tmp_path: Path) -> None:
    folders = [str(tmp_path / "whole"), str(tmp_path / "killed")]
    result = subprocess.run(
        [sys.executable, "-c", KILLED, *folders, "20"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(result.stdout) >= 1, "no kill met a checkpoint that was being written"
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.slow
def test_ctrl_c_on_the_command_line(tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "relmp", "train", "complete(n=16)", "--out", str(tmp_path),
        "--width", "32", "--epochs", "100000", "--device", "cpu",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 120
    while not (tmp_path / "checkpoint.pt").exists():
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from here" in errors
    assert "Traceback" not in errors
    done = len(RunFolder(tmp_path).records())
    assert done >= 1
    checkpoint = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert checkpoint["epoch"] == done
