"""Tasks in time: what they ask, their losses, and training on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import relmp
from relmp.graphs import RelationalGraph
from relmp.training.data import SequenceData, load_data
from relmp.training.data.objective import StepClassification, StepRegression, objective_of


def graph(n=12):
    rng = np.random.default_rng(0)
    there = (rng.random((n, n)) < 0.5) & ~np.eye(n, dtype=bool)
    return RelationalGraph(n, np.stack(np.nonzero(there)), self_loops=False)


@pytest.mark.parametrize("length", [3, 5, 10])
def test_sequence_memory(length):
    data = load_data(f"sequence_memory(length={length})")
    assert data.input_shape == (2 * length + 1, 2)
    assert (data.size("train"), data.size("test")) == (400, 100)
    x, y = data.train_inputs, data.train_labels[..., 0]
    assert torch.equal(x[:, length], torch.tensor([1.0, 0.0]).expand(400, 2))
    assert x[:, length + 1 :].abs().sum() == 0
    assert x[:, :length, 0].abs().sum() == 0
    assert y[:, : length + 1].isnan().all()
    assert torch.equal(y[:, length + 1 :], x[:, :length, 1])
    # What a constant leaves is the variance, 1/12 of numbers between 0 and 1.
    assert objective_of(data).variance == pytest.approx(1 / 12, rel=0.1)


def test_sequence_recall():
    data = load_data("sequence_recall(length=6)")
    assert data.input_shape == (12, 2)
    assert data.size("train") + data.size("test") == 1000
    assert torch.equal(data.train_labels[:, 6:, 0], data.train_inputs[:, :6, 1])
    assert (data.train_inputs[:, 6:, 0] == 1).all()


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_nback(n):
    data = load_data(f"nback(n={n})")
    assert data.input_shape == (6, 2)
    assert (data.size("train"), data.size("test")) == (800, 200)
    for part in ("train", "test"):
        x, y = next(iter(data.batches(part)))
        assert (y[:, :-1] == -100).all()
        same = x[:, 4, 1] == x[:, 4 - n, 1]
        assert torch.equal(same, y[:, -1] == 1)
        assert float(same.float().mean()) == 0.5
        assert (x[:, 4, 0] == 1).all()
        assert x[:, [0, 1, 2, 3, 5], 0].abs().sum() == 0


def test_nback_of_digits():
    data = load_data("digit_nback(n=3, trials=100)")
    assert data.input_shape == (7, 51)
    x, y = data.train_inputs, data.train_labels[:, -1]
    assert torch.equal(x[:, 5, -1], torch.ones(80))
    same = (x[:, 4] == x[:, 1]).all(-1)
    assert torch.equal(same, y == 1)
    assert not (x[:, 4] == x[:, 0]).all(-1).any()
    # The digits are told apart by the latents: the shown pictures differ.
    assert float(x[:, :5, :-1].std()) > 0.1


def test_memory_capacity_asks_what_came_before():
    data = load_data("memory_capacity(lags=7, steps=50, transient=10)")
    assert data.input_shape == (50, 1)
    u, y = data.train_inputs[0, :, 0], data.train_labels[0]
    assert y[:10].isnan().all()
    for lag in range(1, 8):
        assert torch.equal(y[10:, lag - 1], u[10 - lag : 50 - lag])
    assert float(u.abs().max()) <= 0.5


def test_data_are_drawn_from_their_seed():
    for task in ("sequence_memory", "sequence_recall", "nback", "digit_nback(trials=20)"):
        first, second = load_data(task), load_data(task)
        assert torch.equal(first.train_inputs, second.train_inputs)
        assert first.describe() == second.describe()
        assert first.name == task
    other = load_data("sequence_memory(seed=1)")
    assert not torch.equal(other.train_inputs, load_data("sequence_memory").train_inputs)


def test_losses_see_what_is_asked_alone():
    torch.manual_seed(0)
    scores, numbers = torch.randn(4, 6, 2), torch.randn(4, 6, 2)
    numbers[:, :4] = torch.nan
    regression = StepRegression(variance=2.0)
    expected = ((scores - numbers)[:, 4:] ** 2).mean()
    assert torch.allclose(regression.loss(scores, numbers), expected)
    assert float(regression.error(scores, numbers)) == pytest.approx(float(expected) / 2 * 4)
    changed = scores.clone()
    changed[:, :4] = 1e9
    assert torch.equal(regression.loss(changed, numbers), regression.loss(scores, numbers))
    with pytest.raises(ValueError, match="label_smoothing is for classes"):
        regression.loss(scores, numbers, 0.1)
    classes = torch.full((4, 6), -100)
    classes[:, 5] = torch.tensor([0, 1, 1, 0])
    found = StepClassification().loss(scores, classes)
    assert torch.allclose(found, F.cross_entropy(scores[:, 5], classes[:, 5]))
    wrong = (scores[:, 5].argmax(-1) != classes[:, 5]).sum()
    assert float(StepClassification().error(scores, classes)) == float(wrong)


@pytest.mark.parametrize("task", ["sequence_memory(length=2, trials=40)", "nback(trials=40)"])
def test_a_run_is_resumed_to_the_same_result(task, tmp_path):
    def model():
        return relmp.create_model(
            "rnn", graph=graph(), in_features=2, num_classes=load_data(task).num_classes
        )

    settings = {"epochs": 4, "batch_size": 8, "optimizer": "adamw", "lr": 1e-3, "device": "cpu"}
    whole = relmp.train(model(), task, out=tmp_path / "whole", **settings)

    def stop(record):
        if record["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        relmp.train(model(), task, out=tmp_path / "torn", on_epoch=stop, **settings)
    again = relmp.train(model(), task, out=tmp_path / "torn", **settings)
    columns = ["train_loss", "train_error", "test_loss", "test_error"]
    assert whole[columns].equals(again[columns])
    assert whole["train_loss"].iloc[-1] < whole["train_loss"].iloc[0]
    run = relmp.load_run(tmp_path / "torn")
    data = load_data(task)
    scores = run.scores(data.test_inputs)
    assert scores.shape == (*data.test_inputs.shape[:2], data.num_classes)
    loss = float(objective_of(data).loss(scores, data.test_labels))
    assert loss == pytest.approx(again["test_loss"].iloc[-1], rel=1e-5)
    assert run.predict(data.test_inputs).shape == data.test_inputs.shape[:2]


def test_a_plan_over_graphs_and_tasks(tmp_path):
    brain = graph()
    base = relmp.RunConfig(
        relmp.ModelConfig("rnn", options={"init": "degree"}),
        relmp.DataConfig(name="sequence_memory(length=2, trials=20)"),
        relmp.TrainConfig(epochs=1, batch_size=8),
    )
    graphs = [brain, relmp.null_model(brain, "degrees", 0)]
    plan = relmp.grid(base, **{"model.graph": graphs}, seed=[0, 1])
    assert plan[0].model.num_classes == 1
    table = relmp.run_plan(plan, tmp_path, workers=1, engine="local", show_progress=False)
    assert len(table) == 4
    assert table["data"].unique().tolist() == ["sequence_memory(length=2, trials=20)"]
    assert table["test_error"].notna().all()
    tasks = ["nback(trials=20)", "digit_nback(trials=20)"]
    chosen = relmp.grid(base, **{"data.name": tasks, "model.graph": graphs[:1]})
    assert [run.model.options["in_features"] for run in chosen] == [2, 51]


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("memory_capacity(lags=60, steps=50)", "must be below the number of steps"),
        ("memory_capacity(lags=0)", "lags must be a whole number"),
        ("sequence_memory(length=0)", "length must be a whole number"),
        ("sequence_memory(size=3)", "has no option 'size'; its options are length"),
        ("nback(n=5)", "n must be a whole number between 1 and 4"),
        ("nback(trials=11)", "must be even"),
        ("digits(n=3)", "its options are none"),
        ("sequence_memroy(length=3)", "Did you mean 'sequence_memory'"),
    ],
)
def test_bad_tasks(task, message):
    with pytest.raises(ValueError, match=message):
        load_data(task)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_inputs": torch.zeros(4, 0, 2)}, "have length 0"),
        ({"train_inputs": torch.zeros(4, 2)}, r"float32 \[N, T, C\]"),
        ({"test_inputs": torch.full((4, 3, 2), torch.nan)}, "must be finite"),
        ({"train_labels": torch.zeros(4, 2, 1)}, "for each of 4 sequences"),
        ({"test_labels": torch.full((4, 3, 1), torch.nan)}, "Nothing is asked of the test"),
        ({"train_labels": torch.full((4, 3), 7)}, "must lie between 0 and 0"),
    ],
)
def test_bad_sequences(changes, message):
    parts = {
        "train_inputs": torch.zeros(4, 3, 2),
        "train_labels": torch.zeros(4, 3, 1),
        "test_inputs": torch.zeros(4, 3, 2),
        "test_labels": torch.zeros(4, 3, 1),
    }
    with pytest.raises(ValueError, match=message):
        SequenceData("own", **{**parts, **changes}, num_classes=1)
