"""What is told of a run while it goes on: records, progress, TensorBoard, the command."""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

import relmp
from relmp import progress
from relmp.cli import Train, main
from relmp.progress import training_progress
from relmp.training import TensorBoard, tracking
from relmp.training.folder import RunFolder

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:tensorboard")


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(folder)).Reload()
    return {
        name: [(event.step, event.value) for event in found.Scalars(name)]
        for name in found.Tags()["scalars"]
    }


def test_tensorboard_shows_the_records(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    model = relmp.create_model("mlp", in_features=64, width=16)
    history = relmp.train(
        model, epochs=2, train_size=300, validation=0.2, on_epoch=TensorBoard(tmp_path)
    )
    found = curves(tmp_path)
    assert {"loss/train", "loss/val", "loss/test", "error/test", "lr", "seconds"} <= found.keys()
    expected = list(zip([1, 2], history["test_loss"], strict=True))
    assert found["loss/test"] == [(s, pytest.approx(v, rel=1e-6)) for s, v in expected]


def test_tensorboard_forgets_epochs_that_are_trained_again(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    first, second = TensorBoard(tmp_path), TensorBoard(tmp_path)
    for epoch in (1, 2, 3):
        first({"epoch": epoch, "test_loss": float(epoch)})
    for epoch in (2, 3):
        second({"epoch": epoch, "test_loss": 10.0 * epoch})
    assert curves(tmp_path)["loss/test"] == [(1, 1.0), (2, 20.0), (3, 30.0)]


def test_tensorboard_is_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ValueError, match=r"pip install 'relmp\[tensorboard\]'"):
        TensorBoard(tmp_path)


def test_records_carry_what_a_run_costs() -> None:
    model = relmp.create_model("mlp", in_features=64, width=16)
    seen: list[tuple[int, int]] = []
    history = relmp.train(
        model, epochs=2, batch_size=100, train_size=300, on_step=lambda *s: seen.append(s)
    )
    for record in history.to_dict("records"):
        assert record["seconds"] > 0
        assert record["images_per_second"] >= 300 / record["seconds"]
        assert record["peak_memory"] > 50
    assert seen == [(1, 6), (2, 6), (3, 6), (3, 6), (4, 6), (5, 6), (6, 6), (6, 6)]


def test_progress_tells_the_time_left_within_an_epoch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with training_progress(2) as (on_epoch, on_step):
        for step in range(1, 7):
            now = 10.0 * step
            on_step(step, 6)
            if step % 3 == 0:
                on_epoch({"epoch": step // 3, "test_error": 12.345})
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "epochs: 0 of 2, 20 s, 40 s left"
    assert lines[-1].startswith("epochs: 2 of 2, 60 s, 0 s left")
    with training_progress(2, show=False) as (on_epoch, on_step):
        now = 1000.0
        on_step(3, 6)
    assert capsys.readouterr().err == ""


def test_the_command_has_few_options() -> None:
    assert len(fields(Train)) <= 34


def test_the_command_hands_every_setting_on(tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments: list[Any] = [
        "train", "complete(n=16)", "--out", out, "--width", 32, "--device", "cpu",
        "--train-size", 0.2, "--validation", 0.1, "--subset-seed", 5, "--epochs", 2,
        "--batch-size", 50,
        "--optimizer", "adamw", "--lr", 0.002, "--momentum", 0.8, "--weight-decay", 0.01,
        "--schedule", "step", "--precision", "bfloat16", "--seed", 3, "--tensorboard",
        "--loop.steps", 0.5, "--loop.ema-decay", 0.9, "--loop.no-decay-all",
    ]  # fmt: skip
    main([str(argument) for argument in arguments])
    written = json.loads((out / "config.json").read_text())
    assert written["data"] == {
        "name": "digits", "image_size": None, "train_size": 0.2, "validation": 0.1,
        "subset_seed": 5, "crop": 0.08, "held_out": 0.2,
    }  # fmt: skip
    config = written["training"]
    loop = config.pop("loop")
    assert config == {
        "epochs": 2, "batch_size": 50, "optimizer": "adamw", "lr": 0.002,
        "momentum": 0.8, "weight_decay": 0.01, "schedule": "step", "precision": "bfloat16",
        "seed": 3, "init_from": None, "rewiring": None,
    }  # fmt: skip
    assert (loop["steps"], loop["ema_decay"], loop["decay_all"]) == ([0.5], 0.9, False)
    assert "loss/val" in curves(out / "tensorboard")
    assert len(RunFolder(out).records()) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--lr", "nan"], "lr must be a number of at least 0, but is nan"),
        (["--data", "cifar"], "Unknown data set 'cifar'"),
        (["--data", "folder", "--data-folder", "nowhere"], "'nowhere' is no folder of images"),
        (["--loop.warmup-epochs", "20"], "warmup_epochs must be below epochs"),
        (["--lr", "1e30"], "loss became"),
    ],
)
def test_mistakes_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: list[str], message: str
) -> None:
    arguments = ["train", "complete(n=16)", "--out", str(tmp_path / "run"), "--width", "32"]
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--device", "cpu", *change])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_gpu_memory_is_that_of_its_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    from relmp.training import device

    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 3 * 2**20)
    assert device.peak_memory(torch.device("cuda")) == 3.0


def test_what_is_no_tracker() -> None:
    with pytest.raises(ValueError, match="A tracker is 'tensorboard', .* but 3 was given"):
        tracking.several(3)  # type: ignore[arg-type]
