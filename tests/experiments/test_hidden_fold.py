"""The study of frozen weights, shrunk, and what it rests on."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import relmp
from relmp.training.optimizer import make_optimizer

RECIPES = Path(__file__).parents[2] / "experiments" / "recipes"


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    monkeypatch.syspath_prepend(str(RECIPES))
    return importlib.import_module


@pytest.mark.slow
def test_the_study_runs_and_goes_on(tmp_path: Path, recipe: Callable[[str], Any]) -> None:
    threads = torch.get_num_threads()
    study = recipe("hidden_fold")
    small = replace(study.quick, out=str(tmp_path), parts=("fold", "edges"))
    small.run()
    lines = (tmp_path / "runs.jsonl").read_text().splitlines()
    assert len(lines) == 2 * (6 + 4)
    text = (tmp_path / "summary.md").read_text()
    assert text.count("| digits | fold |") == 6
    assert "| digits | 4 |" in text, "a row for every round"
    assert (tmp_path / "map.png").stat().st_size > 0
    # A torn study goes on where it was.
    (tmp_path / "runs.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    small.run()
    again = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert again[-1] == json.loads(lines[-1])
    torch.set_num_threads(threads)


def test_the_published_settings(recipe: Callable[[str], Any]) -> None:
    study = recipe("hidden_fold_resnet50")
    plans = replace(study.quick, seeds=2).plan()
    assert {name: len(plan) for name, plan in plans.items()} == dict.fromkeys(study.NETWORKS, 2)
    run = plans["hidden-fold"][0]
    assert run.model.plain_options() == {
        "in_channels": 3, "stem": "cifar", "message": "scored(keep=0.3)", "scored": "all",
        "fold": [3, 4], "width": 32,
    }  # fmt: skip
    for task, lr in (("cifar100", 0.1), ("imagenet", 0.256)):
        training = relmp.TrainConfig(
            **study.TASKS[task]["training"],
            loop=relmp.LoopOptions(nesterov=False, **study.TASKS[task]["loop"]),
        )
        assert training.lr == lr
        model = torch.nn.Linear(2, 2)
        optimizer = make_optimizer(model, training)
        assert not optimizer.defaults["nesterov"]
        assert {group["weight_decay"] for group in optimizer.param_groups} == {
            training.weight_decay
        }


@pytest.mark.slow
def test_scores_alone_learn_digits() -> None:
    def error(**options: Any) -> float:
        model = relmp.create_model(
            "residual_mlp", in_features=64, width=128, message="scored(keep=0.3)", scored="all",
            fold=(1,), **options,
        )  # fmt: skip
        history = relmp.train(model, "digits", epochs=20, evaluate_every=20, device="cpu")
        return float(history.iloc[-1]["test_error"])

    untrained = relmp.create_model(
        "residual_mlp", in_features=64, width=128, message="scored(keep=0.3)", scored="all"
    ).train()
    data = relmp.load_data("digits")
    images, labels = next(iter(data.batches("test")))
    wrong = (untrained(images).argmax(1) != labels).float().mean()
    assert wrong > 0.5, "a random mask knows nothing"
    assert error() < 6
