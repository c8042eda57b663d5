"""A run: the loop, exact repetition, resuming, loading, and what can go wrong."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import relmp
from relmp.graphs import create_graph
from relmp.rounds.execution.rule import execution_table
from relmp.training import RunConfig, TrainConfig, load_data
from relmp.training.data import plan_epoch
from relmp.training.folder import CHECKPOINT_FORMAT, RunFolder
from relmp.training.loop import train_epochs
from relmp.training.state import TrainState

GRAPH = create_graph("ws_flex", n=16, k=4, p=0.3, seed=1)
SETTINGS: dict[str, Any] = {"epochs": 3, "train_size": 300, "batch_size": 64}


def small_model(seed: int = 0, **options: Any) -> nn.Module:
    return relmp.create_model("mlp", graph=GRAPH, in_features=64, width=32, seed=seed, **options)


def comparable(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=["seconds", "images_per_second", "peak_memory"])


def test_learns_digits() -> None:
    history = relmp.train(small_model(), "digits", epochs=6)
    assert list(history.columns) == [
        "epoch", "lr", "train_loss", "train_error", "test_loss", "test_error",
        "test_top5_error", "seconds", "images_per_second", "peak_memory",
    ]  # fmt: skip
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert history["test_error"].iloc[-1] < 8
    assert history["train_loss"].iloc[-1] < 0.1 * history["train_loss"].iloc[0]


def test_one_epoch_equals_sgd_written_out() -> None:
    """Nesterov momentum, weight decay and the cosine, from their definitions."""
    data = load_data("digits", train_size=128)
    model, twin = small_model(), small_model()
    config = TrainConfig(epochs=2, batch_size=128, lr=0.3, weight_decay=0.01)
    relmp.train(model, data, epochs=2, batch_size=128, lr=0.3, weight_decay=0.01)
    twin.train()
    momenta = [torch.zeros_like(p) for p in twin.parameters()]
    for epoch in range(2):
        lr = 0.3 * 0.5 * (1 + math.cos(math.pi * epoch / 2))
        assert config.learning_rate(epoch) == pytest.approx(lr)
        ((order, _),) = plan_epoch(128, 128, seed=0, epoch=epoch)
        x, y = data.normalise(data.train_images[order]), data.train_labels[order]
        gradients = torch.autograd.grad(F.cross_entropy(twin(x), y), list(twin.parameters()))
        with torch.no_grad():
            for p, g, m in zip(twin.parameters(), gradients, momenta, strict=True):
                step = g + 0.01 * p
                m.mul_(0.9).add_(step)
                p.sub_(lr * (step + 0.9 * m))
    for (name, p), q in zip(model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6, msg=name)


def test_repeats_exactly_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    first = relmp.train(small_model(), **SETTINGS)
    after = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(3), after)
    torch.rand(10)  # what ran before has no influence
    again = relmp.train(small_model(), **SETTINGS)
    pd.testing.assert_frame_equal(comparable(first), comparable(again))
    other = relmp.train(small_model(), seed=1, **SETTINGS)
    assert not comparable(first).equals(comparable(other))


@pytest.mark.parametrize("stop_after", [1, 2])
def test_resumed_run_is_the_run_never_stopped(tmp_path: Path, stop_after: int) -> None:
    whole = relmp.train(small_model(), out=tmp_path / "whole", **SETTINGS)

    class KilledError(Exception):
        pass

    def kill(record: dict[str, Any]) -> None:
        if record["epoch"] == stop_after:
            raise KilledError

    with pytest.raises(KilledError):
        relmp.train(small_model(), out=tmp_path / "part", on_epoch=kill, **SETTINGS)
    seen: list[int] = []
    part = relmp.train(
        small_model(), out=tmp_path / "part", on_epoch=lambda r: seen.append(r["epoch"]), **SETTINGS
    )
    assert seen == list(range(stop_after + 1, 4))
    pd.testing.assert_frame_equal(comparable(whole), comparable(part))
    states = [relmp.load_run(tmp_path / name).model.state_dict() for name in ("whole", "part")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_records_lost_or_torn_in_a_kill_are_mended(tmp_path: Path) -> None:
    whole = relmp.train(small_model(), out=tmp_path, **SETTINGS)
    metrics = tmp_path / "metrics.jsonl"
    text = metrics.read_text()
    metrics.write_text(text[:-30])
    with pytest.warns(UserWarning, match="Dropped the torn last line"):
        assert len(RunFolder(tmp_path).records()) == 2
    again = relmp.train(small_model(), out=tmp_path, **SETTINGS)
    pd.testing.assert_frame_equal(whole, again)
    assert metrics.read_text() == text


def test_loaded_run_predicts(tmp_path: Path) -> None:
    model = small_model()
    history = relmp.train(model, out=tmp_path / "run", **SETTINGS)
    run = relmp.load_run(tmp_path / "run")
    pd.testing.assert_frame_equal(run.history, history)
    data = load_data("digits")
    classes = run.predict(data.test_images)
    error = 100 * float((classes != data.test_labels).double().mean())
    assert error == pytest.approx(history["test_error"].iloc[-1])
    model.eval()
    expected = model(data.normalise(data.test_images)).argmax(1)
    assert torch.equal(classes, expected)
    with pytest.raises(ValueError, match=r"takes images \[N, 1, 8, 8\], but was given \[2, 64\]"):
        run.predict(torch.zeros(2, 64))


def test_the_execution_of_a_run_is_kept(tmp_path: Path) -> None:
    relmp.train(small_model(), out=tmp_path, **{**SETTINGS, "epochs": 2})
    checkpoint = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert checkpoint["executions"] == ["dense"] * 3
    checkpoint["executions"] = ["message_passing"] * 3
    torch.save(checkpoint, tmp_path / "checkpoint.pt")
    run = relmp.load_run(tmp_path)
    assert [layer.execution for layer in run.model.rounds] == ["message_passing"] * 3


def test_folder_of_another_configuration_is_not_touched(tmp_path: Path) -> None:
    relmp.train(small_model(), out=tmp_path, **SETTINGS)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=r"training.epochs: 3 there, 4 here"):
        relmp.train(small_model(), out=tmp_path, **{**SETTINGS, "epochs": 4})
    other = relmp.create_model(
        "mlp", graph=create_graph("complete", n=16), in_features=64, width=32
    )
    with pytest.raises(
        ValueError, match=r"model.graph: ws_flex\(.*\) there, complete\(n=16\) here"
    ):
        relmp.train(other, out=tmp_path, **SETTINGS)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no run"):
        relmp.load_run(tmp_path)
    with pytest.raises(ValueError, match="has no parameters"):
        relmp.train(nn.Sequential(nn.Flatten()), out=tmp_path / "a")
    with pytest.raises(ValueError, match=r"does not take the images of digits, \[1, 8, 8\]"):
        relmp.train(relmp.create_model("mlp", in_features=65, width=16))
    with pytest.raises(ValueError, match="has 3 classes, but digits has 10"):
        relmp.train(relmp.create_model("mlp", num_classes=3, in_features=64, width=16))
    with pytest.raises(ValueError, match="Device 'gpu' cannot be used"):
        relmp.train(small_model(), device="gpu")
    blocked = tmp_path / "file"
    blocked.write_text("mine")
    with pytest.raises(OSError, match="file"):
        relmp.train(small_model(), out=blocked, **SETTINGS)
    assert blocked.read_text() == "mine"
    for name, value in (
        ("epochs", 0), ("batch_size", 1), ("lr", math.nan), ("lr", -1), ("momentum", 1.0),
        ("weight_decay", math.inf), ("seed", -1),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=name):
            TrainConfig(**{name: value})


def test_a_broken_checkpoint_is_reported_and_the_one_before_is_used(tmp_path: Path) -> None:
    whole = relmp.train(small_model(), out=tmp_path, **SETTINGS)
    weights = relmp.load_run(tmp_path).model.state_dict()
    path = tmp_path / "checkpoint.pt"
    good = path.read_bytes()
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1  # in the middle of a tensor
    for broken in (good[:1000], b"", bytes(flipped)):
        path.write_bytes(broken)
        with pytest.warns(UserWarning, match=r"checkpoint.pt' is damaged.*the one before is used"):
            run = relmp.load_run(tmp_path)
        assert len(run.history) == 2
        assert path.read_bytes() == broken, "loading changed the folder"
    with pytest.warns(UserWarning, match="the one before is used"):
        again = relmp.train(small_model(), out=tmp_path, **SETTINGS)
    pd.testing.assert_frame_equal(comparable(whole), comparable(again))
    found = relmp.load_run(tmp_path).model.state_dict()
    assert all(torch.equal(weights[name], found[name]) for name in weights)
    assert (tmp_path / "checkpoint.broken.pt").read_bytes() == bytes(flipped)
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match=r"checkpoint.pt' is damaged.* and .*previous.*move it"):
        relmp.train(small_model(), out=tmp_path, **SETTINGS)
    assert path.read_bytes() == b""


def test_a_broken_checkpoint_never_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for epoch in (1, 2):
        folder.save({"format": CHECKPOINT_FORMAT, "records": [{"epoch": epoch}]})
    (tmp_path / "checkpoint.pt").write_bytes(b"broken")
    with pytest.warns(UserWarning, match="the one before is used"):
        assert folder.resume()["records"] == [{"epoch": 1}]
    folder.save({"format": CHECKPOINT_FORMAT, "records": [{"epoch": 2}]})
    (tmp_path / "checkpoint.pt").write_bytes(b"broken again")
    with pytest.warns(UserWarning, match="the one before is used"):
        assert folder.load()["records"] == [{"epoch": 1}]


def test_a_full_disk_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, calls = torch.save, []

    def fill(value: object, file: Any) -> None:
        calls.append(file)
        if len(calls) == 3:
            with Path("/dev/full").open("wb") as full:
                save(value, full)
        save(value, file)

    monkeypatch.setattr(torch, "save", fill)
    with pytest.raises(OSError, match="No space left"):
        relmp.train(small_model(), out=tmp_path, **SETTINGS)
    monkeypatch.undo()
    assert len(relmp.load_run(tmp_path).history) == 2
    assert len(relmp.train(small_model(), out=tmp_path, **SETTINGS)) == 3


def test_a_checkpoint_of_another_model_or_format_is_refused(tmp_path: Path) -> None:
    for name, width in (("a", 32), ("b", 48)):
        model = relmp.create_model("mlp", graph=GRAPH, in_features=64, width=width)
        relmp.train(model, out=tmp_path / name, **{**SETTINGS, "epochs": 1})
    path = tmp_path / "a" / "checkpoint.pt"
    mine = path.read_bytes()
    path.write_bytes((tmp_path / "b" / "checkpoint.pt").read_bytes())
    with pytest.raises(
        ValueError, match="checkpoint in '.*a' is of another model: .*size mismatch"
    ):
        relmp.train(small_model(), out=tmp_path / "a", **{**SETTINGS, "epochs": 1})
    path.write_bytes(mine)
    state = torch.load(path, weights_only=True)
    torch.save({**state, "format": 99}, path)
    with pytest.raises(ValueError, match="has format 99, and this version reads 2"):
        relmp.load_run(tmp_path / "a")


def test_other_data_of_the_same_name_are_refused(tmp_path: Path) -> None:
    relmp.train(small_model(), out=tmp_path, **SETTINGS)
    other = replace(load_data("digits"), shift=1)
    with pytest.raises(ValueError, match=r"other data \(augmentation.shift: 0 there, 1 here\)"):
        relmp.train(small_model(), other, out=tmp_path, **SETTINGS)
    images = load_data("digits").test_images.clone()
    images[3, 0, 4, 4] += 1  # one pixel, and numbers and statistics are the same
    with pytest.raises(ValueError, match=r"other data \(fingerprint: \w+ there, \w+ here\)"):
        relmp.train(
            small_model(), replace(load_data("digits"), test_images=images), out=tmp_path,
            **SETTINGS,
        )  # fmt: skip


def test_a_loss_that_explodes_stops_the_run() -> None:
    with pytest.raises(
        FloatingPointError, match=r"loss became (nan|inf) in step [234] of epoch 1 at .*lower lr"
    ):
        relmp.train(small_model(), lr=1e30, **{**SETTINGS, "epochs": 1})


def test_a_loss_that_becomes_nan_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    model = small_model()

    def spoil(record: dict[str, Any]) -> None:
        if record["epoch"] == 2:
            with torch.no_grad():
                model.head.weight[0, 0] = math.nan

    with pytest.raises(FloatingPointError, match=r"nan in step 1 of epoch 3.*of epoch 2 is kept"):
        relmp.train(model, out=tmp_path, on_epoch=spoil, **SETTINGS)
    run = relmp.load_run(tmp_path)
    assert len(run.history) == 2
    assert all(p.isfinite().all() for p in run.model.parameters())


def test_weights_spoiled_by_the_last_step_are_not_kept(tmp_path: Path) -> None:
    """The loss of the last step is still finite; the evaluation sees what came of it."""
    model = small_model()
    model.head.weight.register_hook(lambda gradient: gradient * math.nan)
    settings = {**SETTINGS, "train_size": 64}  # one step an epoch
    with pytest.raises(FloatingPointError, match=r"test loss became nan .*In '.*' none is kept"):
        relmp.train(model, out=tmp_path, **settings)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_two_processes_never_train_the_same_run(tmp_path: Path) -> None:
    relmp.train(small_model(), out=tmp_path, **{**SETTINGS, "epochs": 1})
    with RunFolder(tmp_path).lock(), pytest.raises(BlockingIOError, match="Another process"):
        relmp.train(small_model(), out=tmp_path, **{**SETTINGS, "epochs": 1})


def test_key_is_a_hash_of_the_configuration(tmp_path: Path) -> None:
    relmp.train(small_model(), out=tmp_path, **SETTINGS)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["data"]["train_size"] == 300
    assert config["machine"]["threads"] == torch.get_num_threads()
    assert config["machine"]["execution_table"] == execution_table().name
    assert config["derived"]["parameters"] == relmp.count_parameters(small_model())
    assert config["derived"]["flops"] == relmp.count_flops(small_model(), (64,))
    run = RunConfig.from_dict(config)
    assert run.key == config["key"] == RunFolder(tmp_path).config().key
    assert run.with_axis("training.seed", 1).key != run.key
    assert run.with_axis("training.lr", TrainConfig().lr).key == run.key


def test_epochs_are_yielded_as_they_end() -> None:
    model = small_model()
    data = load_data("digits", train_size=100)
    records = train_epochs(TrainState(model, TrainConfig(epochs=2, batch_size=50)), data)
    weight = model.head.weight.detach().clone()
    assert next(records)["epoch"] == 1
    assert not torch.equal(weight, model.head.weight)
    with torch.no_grad():
        scores = model(data.normalise(data.test_images))
    assert not model.training
    record = next(records)
    assert record["test_error"] <= 100
    assert float(F.cross_entropy(scores, data.test_labels)) != record["test_loss"]
