"""One run: trained, resumed where it was stopped, and loaded again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from relmp.models import ModelConfig, count_flops, count_parameters
from relmp.rounds import Round
from relmp.training.config import TrainConfig, pick_device
from relmp.training.data import ImageData, load_data
from relmp.training.folder import CHECKPOINT_FORMAT, RunFolder
from relmp.training.loop import Record, make_optimizer, predict_scores, train_epochs


def train(
    model: nn.Module,
    data: str | ImageData = "digits",
    *,
    epochs: int = 20,
    batch_size: int = 128,
    lr: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    seed: int = 0,
    train_size: int | None = None,
    data_folder: str | Path = "data",
    download: bool = False,
    device: str | torch.device | None = None,
    out: str | Path | None = None,
    on_epoch: Callable[[Record], None] | None = None,
) -> pd.DataFrame:
    """Train a model and return its history, one row an epoch, errors in percent.

    Args:
        model: The model, trained in place; from :func:`create_model` where ``out`` is given.
        data: Name of a data set, or an :class:`ImageData`.
        epochs, batch_size, lr, momentum, weight_decay, seed, train_size: See
            :class:`TrainConfig`.
        data_folder: Where the files of the data set lie.
        download: Whether missing files are fetched.
        device: Where to train; a GPU where there is one by default.
        out: Folder of the run. It keeps configuration, records and checkpoint, goes on where
            it was stopped, and is read by :func:`load_run`.
        on_epoch: Called with every record as it comes.

    Raises:
        ValueError: For settings out of range, or a folder of another run.
        FileNotFoundError: If the files of the data set are not there.
        FloatingPointError: If the loss becomes infinite or NaN.
    """
    name = data if isinstance(data, str) else data.name
    config = TrainConfig(name, train_size, epochs, batch_size, lr, momentum, weight_decay, seed)
    picked = pick_device(device)
    loaded = load_data(data, folder=data_folder, download=download, train_size=train_size)
    check_fit(model, loaded)
    report = on_epoch or (lambda record: None)
    if out is None:
        model.to(picked)
        records = []
        for record in train_epochs(model, loaded.to(picked), config, make_optimizer(model, config)):
            records.append(record)
            report(record)
        return pd.DataFrame(records)
    folder = RunFolder(Path(out))
    folder.start(run_config(model_config(model), config) | derived(model, loaded))
    with folder.lock():
        return pd.DataFrame(train_in_folder(folder, model, loaded, config, picked, report))


def train_in_folder(
    folder: RunFolder,
    model: nn.Module,
    data: ImageData,
    config: TrainConfig,
    device: torch.device,
    report: Callable[[Record], None],
) -> list[Record]:
    """Train a run that is locked, from its last checkpoint on; returns all its records."""
    checkpoint = folder.load()
    model.to(device)  # on which it depends how rounds are executed
    executions = [layer.execution for layer in model.modules() if isinstance(layer, Round)]
    if checkpoint is None:
        checkpoint = {
            "format": CHECKPOINT_FORMAT,
            "records": [],
            "executions": executions,
            "data": {"mean": data.mean, "std": data.std, "input_shape": data.input_shape},
        }
    elif checkpoint["executions"] != executions:
        _use_executions(model, checkpoint["executions"])
    optimizer = make_optimizer(model, config)
    if "model" in checkpoint:
        model.load_state_dict(checkpoint["model"])
        optimizer.load_state_dict(checkpoint["optimizer"])
    records: list[Record] = checkpoint["records"]
    if folder.records() != records:
        folder.rewrite_records(records)
    for record in train_epochs(model, data.to(device), config, optimizer, start=len(records)):
        checkpoint["model"] = model.state_dict()
        checkpoint["optimizer"] = optimizer.state_dict()
        folder.save(checkpoint, record)
        report(record)
    return records


@dataclass(frozen=True)
class LoadedRun:
    """A trained model with what it takes to use it.

    Args:
        folder: Where it was loaded from.
        config: The configuration of the run, as written.
        history: One row an epoch.
        model: The trained model, in evaluation mode.
        input_shape: Shape of an image, ``(C, H, W)``.
        mean, std: What normalisation takes out, in the units of the pixels.
    """

    folder: Path
    config: dict[str, Any]
    history: pd.DataFrame
    model: nn.Module
    input_shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def predict(self, images: Tensor) -> Tensor:
        """Classes ``[N]`` of images ``[N, C, H, W]`` with pixels as in the data set.

        Raises:
            ValueError: If the images have another shape than those trained on.
        """
        if tuple(images.shape[1:]) != self.input_shape:
            raise ValueError(
                f"This model takes images [N, {', '.join(map(str, self.input_shape))}], but was "
                f"given {list(images.shape)}."
            )
        device = next(self.model.parameters()).device
        mean = torch.tensor(self.mean, device=device).view(-1, 1, 1)
        std = torch.tensor(self.std, device=device).view(-1, 1, 1)
        scores = predict_scores(self.model, (images.to(device).float() - mean) / std)
        return scores.argmax(1).to(images.device)


def load_run(folder: str | Path, *, device: str | torch.device | None = None) -> LoadedRun:
    """The trained model of a run, ready to predict.

    Args:
        folder: Folder of the run (``out`` of :func:`train`, or one in a sweep's folder).
        device: Where to put the model; a GPU where there is one by default.

    Raises:
        FileNotFoundError: If there is no run, or it has not finished an epoch.
        ValueError: If its files are damaged.
    """
    run = RunFolder(Path(folder))
    if not (run.path / "config.json").exists():
        raise FileNotFoundError(f"'{folder}' holds no run: there is no config.json in it.")
    config, checkpoint = run.config(), run.load()
    if checkpoint is None:
        raise FileNotFoundError(f"The run in '{folder}' has not finished an epoch yet.")
    model = ModelConfig.from_dict(config["model"]).create()
    _use_executions(model, checkpoint["executions"])
    model.load_state_dict(checkpoint["model"])
    model.to(pick_device(device)).eval()
    data = checkpoint["data"]
    return LoadedRun(
        run.path,
        config,
        pd.DataFrame(checkpoint["records"]),
        model,
        tuple(data["input_shape"]),
        tuple(data["mean"]),
        tuple(data["std"]),
    )


def run_config(model: ModelConfig, training: TrainConfig) -> dict[str, Any]:
    """The complete configuration of a run, as plain values."""
    return {"model": model.to_dict(), "training": training.to_dict()}


def derived(model: nn.Module, data: ImageData) -> dict[str, Any]:
    """What follows from a configuration and is written beside it: cost of the model."""
    flops = count_flops(model, data.input_shape)
    return {"derived": {"flops": flops, "parameters": count_parameters(model)}}


def model_config(model: nn.Module) -> ModelConfig:
    """The configuration of a model made by :func:`create_model`.

    Raises:
        ValueError: If the model was made otherwise.
    """
    config = getattr(model, "config", None)
    if not isinstance(config, ModelConfig):
        raise ValueError(
            f"Only a model from relmp.create_model or relmp.match_flops can be saved as a run, "
            f"since it must be built again; {type(model).__name__} was given. Train it without "
            f"out=, and save its state_dict yourself."
        )
    return config


def check_fit(model: nn.Module, data: ImageData) -> None:
    """Raise ``ValueError`` unless the model takes the images and has all the classes."""
    image = data.normalise(data.test_images[:1])
    device = next(model.parameters()).device
    try:
        classes = predict_scores(model, image.to(device)).size(1)
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"The model does not take the images of {data.name}, {list(data.input_shape)}: {error}"
        ) from error
    if classes < data.num_classes:
        raise ValueError(
            f"The model has {classes} classes, but {data.name} has {data.num_classes}."
        )


def _use_executions(model: nn.Module, executions: list[str]) -> None:
    """Execute every round as it was executed when the run began."""
    rounds = [layer for layer in model.modules() if isinstance(layer, Round)]
    for layer, execution in zip(rounds, executions, strict=True):
        layer.set_execution(execution)
