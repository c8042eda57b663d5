"""The options of the loop, each against what it is defined to do."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import asdict, fields
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import relmp
from relmp.graphs import create_graph
from relmp.training import DataConfig, ImageData, LoopOptions, TrainConfig
from relmp.training.config import SETTINGS, Settings
from relmp.training.data import plan_epoch
from relmp.training.loop import train_epochs
from relmp.training.optimizer import MovingAverage, make_optimizer, parameter_groups
from relmp.training.state import TrainState

GRAPH = create_graph("ws_flex", n=16, k=4, p=0.3, seed=1)


def training_config(data: str, settings: dict[str, Any]) -> TrainConfig:
    return Settings.of(data, settings).training


def small_model(**options: Any) -> nn.Module:
    return relmp.create_model("mlp", graph=GRAPH, in_features=64, width=32, **options)


def images(train: int = 48, classes: int = 4, size: int = 8, seed: int = 0) -> ImageData:
    """Colour images whose brightness tells the class."""
    generator = torch.Generator().manual_seed(seed)
    parts: list[torch.Tensor] = []
    for count in (train, 24):
        labels = torch.arange(count) % classes
        noise = torch.randint(0, 60, (count, 3, size, size), generator=generator)
        parts += [(noise + 40 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels]
    return ImageData("bright", *parts, classes, (90.0,) * 3, (50.0,) * 3)


class Convolutions(nn.Module):
    """A small ordinary network; it notes the layout of what it is given."""

    def __init__(self, seed: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.body = nn.Sequential(
                nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(dropout)
            )
            self.head = nn.Linear(8, 4)
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(x)
        return self.head(self.body(x).mean((2, 3)))


# Schedules ------------------------------------------------------------------------------


def test_schedules_by_hand() -> None:
    rates = lambda **s: [training_config("digits", s).learning_rate(e) for e in range(4)]  # noqa: E731
    half = [0.5 * (1 + math.cos(math.pi * e / 4)) for e in range(4)]
    assert rates(epochs=4, lr=1.0) == pytest.approx(half)
    assert rates(epochs=4, lr=2.0, schedule="constant") == [2.0] * 4
    assert rates(epochs=4, lr=1.0, schedule="step") == pytest.approx([1, 1, 0.1, 0.01])
    stepped = rates(epochs=4, lr=1.0, schedule="step", steps=(0.25,), step_factor=0.5)
    assert stepped == pytest.approx([1, 0.5, 0.5, 0.5])
    warmed = rates(epochs=4, lr=1.0, schedule="constant", warmup_epochs=2)
    assert warmed == pytest.approx([0.1, 0.55, 1, 1])


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.9])
def test_a_step_at_a_share_of_ten_epochs_falls_where_it_says(share: float) -> None:
    config = training_config("digits", {"epochs": 10, "schedule": "step", "steps": (share,)})
    lowered = [config.learning_rate(epoch) < config.lr for epoch in range(10)]
    assert lowered.index(True) == round(10 * share)


@given(st.integers(1, 60), st.integers(0, 59), st.sampled_from(["cosine", "step", "constant"]))
def test_learning_rates_stay_between_zero_and_lr(epochs: int, warmup: int, schedule: str) -> None:
    config = training_config(
        "digits",
        {"epochs": epochs, "lr": 0.3, "schedule": schedule, "warmup_epochs": warmup % epochs},
    )
    rates = [config.learning_rate(epoch) for epoch in range(epochs)]
    assert all(0 < rate <= 0.3 for rate in rates)
    after = rates[warmup % epochs :]
    assert after == sorted(after, reverse=True)


# Optimisers -----------------------------------------------------------------------------


def test_adamw_written_out() -> None:
    data = images(train=16)
    model, twin = Convolutions(), Convolutions()
    relmp.train(
        model, data, epochs=1, batch_size=16, optimizer="adamw", lr=0.01, momentum=0.8,
        weight_decay=0.1,
    )  # fmt: skip
    (step,) = plan_epoch(16, 16, seed=0, epoch=0)
    x, y = data.normalise(data.train_images[step.indices]), data.train_labels[step.indices]
    gradients = torch.autograd.grad(F.cross_entropy(twin(x), y), list(twin.parameters()))
    for (name, p), q, g in zip(model.named_parameters(), twin.parameters(), gradients, strict=True):
        # In the first step both moments, corrected for their bias, are those of the gradient.
        expected = q.detach() * (1 - 0.01 * 0.1) - 0.01 * g / (g.abs() + 1e-8)
        big = g.abs() > 1e-5  # below, the sign of rounding errors decides
        torch.testing.assert_close(p.detach()[big], expected[big], rtol=1e-3, atol=1e-6, msg=name)


def test_only_weights_decay_where_asked() -> None:
    model = small_model()
    groups = parameter_groups(model, 0.1, decay_all=False)
    decaying, still = groups
    assert (decaying["weight_decay"], still["weight_decay"]) == (0.1, 0.0)
    names = {id(p): name for name, p in model.named_parameters()}
    kept = {names[id(p)] for p in still["params"]}
    assert kept == {name for name in names.values() if name.endswith("bias") or ".1.weight" in name
                    or "update_module.0" in name}  # fmt: skip
    assert len(decaying["params"]) + len(still["params"]) == len(names)
    (one,) = parameter_groups(model, 0.1, decay_all=True)
    assert len(one["params"]) == len(names)
    frozen = copy.deepcopy(model).requires_grad_(False)
    with pytest.raises(ValueError, match="MLP has no parameters to train"):
        make_optimizer(frozen, TrainConfig())
    frozen.head.weight.requires_grad_(True)
    (one,) = parameter_groups(frozen, 0.1, decay_all=False)
    assert len(one["params"]) == 1


def test_gradients_are_clipped_and_labels_smoothed() -> None:
    data = images(train=16)
    settings: dict[str, Any] = {
        "epochs": 1, "batch_size": 16, "lr": 1.0, "momentum": 0.0, "weight_decay": 0.0
    }  # fmt: skip
    (step,) = plan_epoch(16, 16, seed=0, epoch=0)
    x, y = data.normalise(data.train_images[step.indices]), data.train_labels[step.indices]
    twin = Convolutions()
    loss = F.cross_entropy(twin(x), y, label_smoothing=0.3)
    gradients = torch.autograd.grad(loss, list(twin.parameters()))
    norm = torch.stack([g.norm() for g in gradients]).norm()
    model = Convolutions()
    history = relmp.train(model, data, label_smoothing=0.3, clip_norm=0.01, **settings)
    assert history["train_loss"][0] == pytest.approx(loss.item(), rel=1e-5)
    assert norm > 0.1
    for p, q, g in zip(model.parameters(), twin.parameters(), gradients, strict=True):
        torch.testing.assert_close(p, q - g * 0.01 / norm, rtol=1e-4, atol=1e-6)


# The moving average ---------------------------------------------------------------------


def test_moving_average_by_hand() -> None:
    model = small_model()
    average = MovingAverage(model, 0.5)
    expected = {name: t.clone() for name, t in model.state_dict().items()}
    for steps in range(1, 13):
        with torch.no_grad():
            for p in model.parameters():
                p.add_(1.0)
            for name, buffer in model.named_buffers():
                if "num_batches" in name:
                    buffer.add_(1)
                elif "running" in name:
                    buffer.add_(2.0)
        average.update()
        decay = min(0.5, (1 + steps) / (10 + steps))
        for name, tensor in model.state_dict().items():
            new = decay * expected[name] + (1 - decay) * tensor
            expected[name] = new if tensor.is_floating_point() else tensor
    for name, tensor in average.model.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], msg=name)
    assert not any(p.requires_grad for p in average.model.parameters())


def test_the_averaged_model_is_evaluated_kept_and_loaded(tmp_path: Any) -> None:
    settings: dict[str, Any] = {"epochs": 2, "train_size": 300, "batch_size": 64}
    plain = small_model()
    relmp.train(plain, **settings)
    model = small_model()
    history = relmp.train(model, out=tmp_path, ema_decay=0.9, **settings)
    run = relmp.load_run(tmp_path)
    data = relmp.load_data("digits")
    error = 100 * float((run.predict(data.test_images) != data.test_labels).double().mean())
    assert error == pytest.approx(history["test_error"].iloc[-1])
    state, checkpoint = run.model.state_dict(), torch.load(tmp_path / "checkpoint.pt")
    for name, tensor in model.state_dict().items():
        assert torch.equal(state[name], tensor), "the model in hand is not the one loaded"
    # The weights that were trained are those of a run without averaging.
    for name, tensor in plain.state_dict().items():
        assert torch.equal(checkpoint["model"][name], tensor)
    assert not torch.equal(state["head.weight"], plain.state_dict()["head.weight"])


# Precision, layout, compilation, statistics ---------------------------------------------


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_reduced_precision_learns_and_keeps_float32_weights(precision: str) -> None:
    model = small_model()
    history = relmp.train(model, epochs=6, precision=precision)
    assert history["test_error"].iloc[-1] < 8
    assert all(p.dtype == torch.float32 for p in model.parameters())
    full = relmp.train(small_model(), epochs=6)
    assert history["train_loss"][0] != full["train_loss"][0]
    assert history["train_loss"][0] == pytest.approx(full["train_loss"][0], rel=0.1)


def test_float16_scales_the_loss() -> None:
    state = TrainState(small_model(), training_config("digits", {"precision": "float16"}))
    next(train_epochs(state, relmp.load_data("digits", train_size=256)))
    assert state.scaler.is_enabled()
    assert state.state_dict()["scaler"]["_growth_tracker"] > 0


def test_channels_last_reaches_the_model_and_changes_no_result() -> None:
    data = images()
    settings: dict[str, Any] = {"epochs": 2, "batch_size": 16, "lr": 0.01}
    model, usual = Convolutions(), Convolutions()
    history = relmp.train(model, data, channels_last=True, **settings)
    other = relmp.train(usual, data, **settings)
    last = torch.channels_last
    assert all(x.is_contiguous(memory_format=last) for x in model.seen[1:])
    assert model.body[0].weight.is_contiguous(memory_format=last)
    assert not usual.seen[1].is_contiguous(memory_format=last)
    assert history["test_loss"].iloc[-1] == pytest.approx(other["test_loss"].iloc[-1], rel=1e-3)


@pytest.mark.parametrize("execution", ["dense", "message_passing"])
def test_convolutional_rounds_take_every_option(execution: str) -> None:
    """Their weights have five dimensions, their edges are buffers of integers."""
    model = relmp.create_model(
        "resnet20", graph=GRAPH, num_classes=4, width=16, execution=execution
    )
    history = relmp.train(
        model, images(train=16), epochs=2, batch_size=8, optimizer="adamw", lr=1e-3,
        precision="bfloat16", channels_last=True, ema_decay=0.9, precise_bn=1, decay_all=False,
    )  # fmt: skip
    assert history["train_loss"].between(0.1, 10).all()
    assert model.stem[0].weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.slow
@pytest.mark.parametrize("execution", ["dense", "message_passing"])
def test_a_compiled_run_is_the_run(execution: str, tmp_path: Any) -> None:
    settings: dict[str, Any] = {"epochs": 2, "train_size": 300, "batch_size": 64}
    model = small_model(execution=execution)
    compiled = relmp.train(model, compile=True, out=tmp_path, **settings)
    eager = relmp.train(small_model(execution=execution), **settings)
    assert compiled["train_loss"].tolist() == pytest.approx(eager["train_loss"].tolist(), rel=1e-3)
    state = relmp.load_run(tmp_path).model.state_dict()
    assert all(torch.equal(state[name], t) for name, t in model.state_dict().items())


def test_precise_statistics_are_the_means_over_batches() -> None:
    data = images(train=64)
    model = Convolutions()
    relmp.train(model, data, epochs=1, batch_size=16, precise_bn=3, lr=0.1)
    conv, norm = model.body[0], model.body[1]
    means, variances = [], []
    with torch.no_grad():
        for step in plan_epoch(64, 16, seed=0, epoch=0)[:3]:
            hidden = conv(data.normalise(data.train_images[step.indices]))
            means.append(hidden.mean((0, 2, 3)))
            variances.append(hidden.var((0, 2, 3)))
    torch.testing.assert_close(norm.running_mean, torch.stack(means).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack(variances).mean(0))
    assert norm.momentum == 0.1


def test_evaluation_no_oftener_than_asked() -> None:
    data, models = images(train=64), [Convolutions(), Convolutions()]
    models[1].load_state_dict(models[0].state_dict())
    often, seldom = (
        relmp.train(model, data, epochs=5, batch_size=16, evaluate_every=every)
        for model, every in zip(models, (1, 2), strict=True)
    )
    assert seldom["test_error"].isna().tolist() == [True, False, True, False, False]
    rows = [1, 3, 4]
    for column in ("test_error", "test_loss"):
        assert seldom[column][rows].tolist() == often[column][rows].tolist()
    assert seldom["train_loss"].tolist() == often["train_loss"].tolist()
    for one, other in zip(*(model.state_dict().values() for model in models), strict=True):
        assert torch.equal(one, other)


def test_dropout_is_drawn_anew_in_every_step_and_alike_in_every_run() -> None:
    data = images()
    settings: dict[str, Any] = {"epochs": 2, "batch_size": 16}
    losses = [
        relmp.train(Convolutions(dropout=0.5), data, seed=seed, **settings)["train_loss"].tolist()
        for seed in (0, 0, 1)
    ]
    assert losses[0] == losses[1] != losses[2]
    masks: list[torch.Tensor] = []
    model = Convolutions(dropout=0.5)
    model.body[3].register_forward_hook(lambda m, x, y: masks.append(y == 0))
    relmp.train(model, data, **settings)
    training = [m for m in masks if len(m) == 16 and m.float().mean() > 0.4]
    assert len(training) == 6
    assert len({m.numpy().tobytes() for m in training}) == 6


# Validation and top 5 -------------------------------------------------------------------


def test_records_hold_validation_and_top_5() -> None:
    data = images(train=60)
    history = relmp.train(Convolutions(), data, epochs=1, batch_size=16, validation=0.2)
    assert {"val_loss", "val_error", "val_top5_error"} <= set(history.columns)
    assert history["test_top5_error"][0] == 0, "of four classes, five are always right"

    class Ranked(nn.Module):
        """Ranks the classes 0, 1, 2, ... whatever it is shown."""

        def __init__(self) -> None:
            super().__init__()
            self.scores = nn.Parameter(-torch.arange(10.0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.scores.expand(len(x), -1)

    digits = relmp.load_data("digits")
    history = relmp.train(Ranked(), digits, epochs=1, lr=1e-6)
    counts = digits.test_labels.bincount() / len(digits.test_labels)
    assert history["test_error"][0] == pytest.approx(100 * float(1 - counts[0]), rel=1e-5)
    assert history["test_top5_error"][0] == pytest.approx(100 * float(counts[5:].sum()), rel=1e-5)


# Settings -------------------------------------------------------------------------------


def test_settings_by_name_are_those_of_the_configuration() -> None:
    names = {f.name for f in (*fields(TrainConfig), *fields(LoopOptions), *fields(DataConfig))}
    assert set(SETTINGS) == names - {"name", "loop"}
    found = Settings.of("digits", {"lr": 0.2, "ema_decay": 0.9, "steps": (0.5,), "validation": 0.1})
    assert found.data == DataConfig(name="digits", validation=0.1)
    config = found.training
    assert config == TrainConfig(lr=0.2, loop=LoopOptions(ema_decay=0.9, steps=(0.5,)))
    assert TrainConfig.from_dict(json.loads(json.dumps(asdict(config)))) == config
    with pytest.raises(ValueError, match=r"Unknown setting 'ema'; choose one of image_size, .*"):
        relmp.train(small_model(), ema=0.9)
    with pytest.raises(ValueError, match="Did you mean 'schedule'"):
        relmp.train(small_model(), scedule="step")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("optimizer", "adam"), ("schedule", "linear"), ("precision", "int8"),
        ("label_smoothing", 1.0), ("clip_norm", -1.0), ("ema_decay", math.nan),
        ("precise_bn", -1), ("warmup_epochs", 20), ("steps", (0.5, 1.5)), ("step_factor", 2.0),
        ("validation", 1.0), ("subset_seed", -1),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        training_config("digits", {name: value})
