"""What runs take from elsewhere and hand on: weights, ONNX, torchvision, trackers, early stops."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import relmp
from relmp.cli import main
from relmp.graphs import create_graph
from relmp.training.config import LoopOptions, TrainConfig
from relmp.training.outside.start import source_text

GRAPH = create_graph("ws_flex", n=16, k=4, p=0.2, seed=0)
TINY: dict[str, Any] = {"train_size": 256, "epochs": 2, "batch_size": 32}


def model(graph: relmp.RelationalGraph = GRAPH, **options: Any) -> Any:
    return relmp.create_model("mlp", graph, in_features=64, width=32, init="degree", **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "first"
    relmp.train(model(), "digits", out=folder, **TINY)
    return folder


# Going on ---------------------------------------------------------------------------------


def test_a_run_starts_from_the_weights_of_a_finished_one(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "second"
    history = relmp.train(model(), "digits", out=out, init_from=finished, lr=1e-9, **TINY)
    first, second = relmp.load_run(finished), relmp.load_run(out)
    for name, value in first.model.named_parameters():
        torch.testing.assert_close(second.model.get_parameter(name), value, rtol=0, atol=1e-5)
    config = second.config
    assert config.training.init_from == f"{first.config.key}@{finished.resolve()}"
    # The same again goes on, also when both were moved; where the first one lay does not matter.
    moved = tmp_path / "moved"
    shutil.copytree(finished, moved)
    again = relmp.train(model(), "digits", out=out, init_from=moved, lr=1e-9, **TINY)
    pd.testing.assert_frame_equal(again, history)
    with pytest.raises(ValueError, match="training.init_from"):
        relmp.train(model(), "digits", out=out, lr=1e-9, **TINY)


def test_runs_of_a_sweep_start_from_a_run(finished: Path, tmp_path: Path) -> None:
    base = relmp.load_run(finished).config
    plan = relmp.grid(base, **{"training.init_from": [None, finished], "training.seed": [1, 2]})
    table = relmp.run_plan(plan, tmp_path, workers=2, show_progress=False)
    assert len(table) == 4
    going_on = table["training.init_from"].notna()
    losses = table["train_loss"]
    assert losses[going_on].max() < losses[~going_on].min()
    complete = base.with_axis("model.graph", create_graph("complete", n=16))
    wrong = complete.with_axis("training.init_from", source_text(finished))
    with pytest.warns(UserWarning, match="weights of the run in .* do not fit this model"):
        table = relmp.run_plan([wrong], tmp_path / "wrong", workers=0, show_progress=False)


def test_a_run_that_cannot_be_started_from_says_why(finished: Path, tmp_path: Path) -> None:
    def start(source: Any, made: Any = None) -> None:
        relmp.train(made or model(), "digits", init_from=source, **TINY)

    with pytest.raises(ValueError, match="holds no run; name the folder of a finished run"):
        start(tmp_path)
    with pytest.raises(ValueError, match=r"do not fit this model: .*the same layers"):
        start(finished, model(create_graph("cycle", n=16)))
    half = tmp_path / "half"
    shutil.copytree(finished, half)
    lines = (half / "metrics.jsonl").read_text().splitlines()
    (half / "metrics.jsonl").write_text(lines[0] + "\n")
    with pytest.raises(ValueError, match="has done 1 of 2 epochs"):
        start(half)
    text = f"0123456789abcdef@{finished}"
    with pytest.raises(ValueError, match="holds another run"):
        start(text)


# Going out --------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_run_is_exported_to_onnx_and_run(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    file = tmp_path / "model.onnx"
    main(["export", str(finished), "--out", str(file)])
    assert f"Written to {file}." in capsys.readouterr().out
    images = relmp.load_data("digits").test_images.float()
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"images": images.numpy()})
    expected = relmp.load_run(finished, device="cpu").scores(images)
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-4)


class Gamma(relmp.Message):
    """What ONNX has no word for."""

    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.value = relmp.LinearMessage(num_edges, in_dim, out_dim)

    def forward(self, x_j: Tensor) -> Tensor:
        return torch.lgamma(self.value(None, x_j).abs() + 1)

    def flops(self, edges: Any, positions: int = 1) -> int:
        return self.value.flops(edges, positions)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_what_cannot_be_exported_is_one_sentence(finished: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    run = relmp.load_run(finished)
    with pytest.raises(ValueError, match="this run trained 'mlp'; export it to onnx"):
        run.export(tmp_path / "a.pt", to="torchvision")
    with pytest.raises(ValueError, match="onnx or torchvision, but 'tflite'"):
        run.export(tmp_path / "a", to="tflite")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="There is no folder"):
        run.export(tmp_path / "none" / "a.onnx")
    odd_model = relmp.create_model("mlp", GRAPH, in_features=64, width=32, message=Gamma)
    relmp.train(odd_model, "digits", out=tmp_path / "odd", **TINY)
    odd = relmp.load_run(tmp_path / "odd", message=Gamma)
    with pytest.raises(ValueError, match=r"which lacks what its rounds do.*'rounds.0' \(Gamma"):
        odd.export(tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()


@pytest.mark.slow
def test_a_torchvision_model_goes_back_to_torchvision(tmp_path: Path) -> None:
    import torchvision

    made = relmp.create_model("torchvision:resnet18", GRAPH, num_classes=10)
    settings = {"train_size": 8, "epochs": 1, "batch_size": 4}
    relmp.train(made, "noise", out=tmp_path, device="cpu", **settings)
    run = relmp.load_run(tmp_path, device="cpu")
    file = run.export(to="torchvision")
    plain = torchvision.models.resnet18(num_classes=10)
    plain.load_state_dict(torch.load(file, weights_only=True))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(plain.eval()(x), run.model(x), rtol=1e-4, atol=1e-4)


# Stopping early ---------------------------------------------------------------------------


def test_a_run_stops_when_validation_does_not_improve(tmp_path: Path) -> None:
    settings = {**TINY, "epochs": 9, "lr": 1e-12, "validation": 0.2, "patience": 2}
    history = relmp.train(model(), "digits", out=tmp_path, **settings)
    assert len(history) == 3, "the first is the best, and two more do not improve"
    assert "test_error" in history.columns
    again = relmp.train(model(), "digits", out=tmp_path, **settings)
    pd.testing.assert_frame_equal(again, history)
    assert relmp.load_run(tmp_path).config.training.is_finished(history.to_dict("records"))


@pytest.mark.parametrize(
    ("errors", "stops"),
    [([3, 2, 1], False), ([1, 2], False), ([1, 2, 1], True), ([2, 1, 2], False), ([], False)],
)
def test_patience_counts_evaluations_without_a_lower_error(errors: list[int], stops: bool) -> None:
    config = TrainConfig(epochs=50, loop=LoopOptions(patience=2))
    records: list[dict[str, float]] = []
    for error in errors:
        records += [{"train_loss": 1.0}, {"val_error": error}]  # every other epoch is evaluated
    assert config.is_finished(records) is stops
    assert not TrainConfig(epochs=50).is_finished(records)


def test_stopped_runs_of_a_sweep_are_finished(tmp_path: Path) -> None:
    settings: dict[str, Any] = {**TINY, "epochs": 9, "lr": 1e-12, "validation": 0.2, "patience": 1}
    table = relmp.run_sweep(
        "mlp", graphs=[GRAPH], seeds=2, width=32, out=tmp_path, workers=2, show_progress=False,
        **settings,
    )  # fmt: skip
    assert len(table) == 4
    assert (table["epoch"] < 9).all()
    assert "4 done" in _status(tmp_path)
    text = relmp.analyse(tmp_path, tmp_path / "analysis")
    assert "left out" not in text


def _status(folder: Path) -> str:
    from relmp.cli.runs import states

    found = [kind for _, kind in states(str(folder))]
    return f"{found.count('done')} done"


def test_patience_needs_validation_images(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="digits has none; hold some out"):
        relmp.train(model(), "digits", out=tmp_path / "a", patience=2, **TINY)
    assert not (tmp_path / "a").exists()


# Trackers ---------------------------------------------------------------------------------


def test_trackers_of_every_run_of_a_sweep(tmp_path: Path) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    ).EventAccumulator
    table = relmp.run_sweep(
        "mlp", graphs=[GRAPH], seeds=2, width=32, out=tmp_path, workers=2, show_progress=False,
        track=["tensorboard", "tests.training.own_tracker:Lines"], **TINY,
    )  # fmt: skip
    assert len(table) == 4
    for _, row in table.iterrows():
        events = accumulator(str(tmp_path / row["run"] / "tensorboard"))
        events.Reload()
        (last,) = events.Scalars("error/test")[-1:]
        assert (last.step, last.value) == (2, pytest.approx(row["test_error"]))
        lines = (tmp_path / row["run"] / "tracked.txt").read_text().splitlines()
        assert [json.loads(line) for line in lines] == [
            {"lr": 0.1}, {"epoch": 1}, {"epoch": 2}, {"closed": True},
        ]  # fmt: skip


def test_a_callable_is_told_of_every_record() -> None:
    seen: list[int] = []
    relmp.train(model(), "digits", track=lambda record: seen.append(record["epoch"]), **TINY)
    assert seen == [1, 2]


def test_trackers_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="writes into the run's folder; name one"):
        relmp.train(model(), "digits", track="tensorboard", **TINY)
    with pytest.raises(ValueError, match="Unknown tracker 'tensorbord'.*Did you mean"):
        relmp.train(model(), "digits", track="tensorbord", out=tmp_path / "a", **TINY)
    with pytest.raises(ValueError, match="given as text"):
        relmp.run_sweep("mlp", graphs=[GRAPH], out=tmp_path, track=print, **TINY)
    assert os.listdir(tmp_path) == []  # noqa: PTH208
