"""One run: trained, and resumed where it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from relmp.machine import processor
from relmp.models import count_flops, count_parameters
from relmp.models.own.described import check_fresh, model_config, require_model
from relmp.rounds.execution.rule import execution_table
from relmp.training.config import DataConfig, Settings, TrainConfig
from relmp.training.data import DataSet, as_data_set, load_data
from relmp.training.data.arrays import HELD_OUT
from relmp.training.data.given import batch_size_of
from relmp.training.folder import RunFolder
from relmp.training.loop import Record, predict_scores
from relmp.training.outside.start import check_patience, source_text
from relmp.training.population.members import Member, OnStep, train_members
from relmp.training.processes import Team, join_team
from relmp.training.run_config import RunConfig
from relmp.training.tracking import Track, several, tracked


def train(
    model: nn.Module,
    data: Any = "digits",
    *,
    data_folder: str | Path = "data",
    download: bool = False,
    device: str | torch.device | None = None,
    out: str | Path | None = None,
    same_code: bool = False,
    on_epoch: Callable[[Record], None] | None = None,
    on_step: OnStep | None = None,
    track: Track = (),
    **settings: Any,
) -> pd.DataFrame:
    """Train a model and return its history, one row an epoch, errors in percent.

    ``train(model, "cifar10", epochs=200, optimizer="adamw", lr=1e-3, ema_decay=0.999)``

    Started by ``torchrun``, the processes train together, each on its share of every batch;
    the first one reports and writes the folder.

    Args:
        model: The model, trained in place; fresh from :func:`create_model` where ``out`` is
            given. Of one that was built by hand ``out`` keeps the weights alone, which a warning
            says.
        data: Name of a data set, or data: PyTorch's data sets and loaders, arrays ``(images,
            labels)``, or ``(train, test)`` of either; see :func:`relmp.training.data.as_data_set`.
            A loader's batch size is taken where none is given.
        data_folder: Where the files of the data set lie.
        download: Whether missing files are fetched.
        device: Where to train; a GPU where there is one by default.
        out: Folder of the run. It keeps configuration, records and checkpoint, goes on where
            it was stopped, and is read by :func:`load_run`. A first Ctrl-C then ends the run
            after the step in hand with everything saved.
        same_code: Whether a message or model of your own whose code has changed since the run
            was started does the same.
        on_epoch: Called with every record as it comes.
        on_step: Called between steps with the number of steps done and of all steps.
        track: Who else is told of every record: ``"tensorboard"``, ``"package.module:Name"``, or
            callables; see :mod:`relmp.training.tracking`.
        **settings: The settings of :class:`DataConfig`, :class:`TrainConfig` and
            :class:`LoopOptions` by name.

    Raises:
        ValueError: For settings out of range, a folder of another run, or a model that its
            configuration does not describe.
        FileNotFoundError: If the files of the data set are not there.
        FloatingPointError: If the loss becomes infinite or NaN.
    """
    require_model(model)
    if not isinstance(data, str):
        if (size := batch_size_of(data)) is not None:
            settings.setdefault("batch_size", size)
        data = as_data_set(data, held_out=settings.get("held_out", HELD_OUT))
    track = several(track)
    if settings.get("init_from") is not None:
        settings["init_from"] = source_text(settings["init_from"])
    chosen = Settings.of(data if isinstance(data, str) else data.name, settings)
    with join_team(device) as (team, picked):
        with team.leader_first():
            loaded = data_of(chosen.data, data, data_folder, download=download and team.leads)
        check_fit(model, loaded)
        check_patience(chosen.training, loaded)
        folder = None if out is None else RunFolder(Path(out))
        with _started(folder, model, loaded, chosen, picked, team, same_code):
            described = {"data": asdict(chosen.data), "training": asdict(chosen.training)}
            with tracked(track if team.leads else (), out, described, on_epoch) as report:
                records = train_run(
                    model, loaded, chosen.training, picked, folder=folder,
                    report=report if team.leads else None, team=team, on_step=on_step,
                )  # fmt: skip
    return pd.DataFrame(records)


@contextmanager
def _started(
    folder: RunFolder | None,
    model: nn.Module,
    data: DataSet,
    settings: Settings,
    device: torch.device,
    team: Team,
    same_code: bool,
) -> Iterator[None]:
    """The folder of a run, locked and with its configuration in it."""
    if folder is None:
        yield
        return
    config = RunConfig(model_config(model), settings.data, settings.training)
    config.to_dict()  # complains of what cannot be written, before there is a folder
    with folder.lock() if team.leads else nullcontext():
        if team.leads:
            if not (folder.path / "config.json").exists():
                check_fresh(model, config.model)
            folder.start(config, beside(config, model, data, device), same_code=same_code)
        yield


def train_run(
    model: nn.Module,
    data: DataSet,
    config: TrainConfig,
    device: torch.device,
    *,
    folder: RunFolder | None = None,
    report: Callable[[Record], None] | None = None,
    team: Team | None = None,
    on_step: OnStep | None = None,
) -> list[Record]:
    """Train a model, with a folder from its last checkpoint on; returns all records.

    Args:
        model: The model, trained in place.
        data: The data, in the part and size that is wanted.
        config: The settings.
        device: Where to train.
        folder: Folder of the run, locked and started; None keeps nothing.
        report: Called with every record as it comes.
        team: The processes that train together.
        on_step: Called between steps.

    Raises:
        ValueError: If the checkpoint is of another model or other data.
        FloatingPointError: If a loss becomes infinite or NaN; the last good checkpoint is kept.
        KeyboardInterrupt: If a stop was asked for; with a folder everything is saved.
    """
    member = Member(model, folder, report)
    train_members([member], data, config, device, team=team, on_step=on_step)
    return member.records


def data_of(
    config: DataConfig, data: str | DataSet, folder: str | Path, *, download: bool
) -> DataSet:
    """The data of a run, in the part and size that its configuration says."""
    return load_data(
        data,
        folder=folder,
        download=download,
        image_size=config.image_size,
        crop=config.crop,
        held_out=config.held_out,
        train_size=config.train_size,
        validation=config.validation,
        subset_seed=config.subset_seed,
    )


def beside(
    config: RunConfig, model: nn.Module, data: DataSet, device: torch.device
) -> dict[str, Any]:
    """What is recorded beside a configuration: cost of the model, machine, the user's code."""
    flops = count_flops(model, data.input_shape)
    return {
        "derived": {"flops": flops, "parameters": count_parameters(model)},
        "machine": {
            "processor": processor(),
            "device": str(device),
            "threads": torch.get_num_threads(),
            "torch": str(torch.__version__),
            "execution_table": execution_table().name,
        },
        "code": config.model.code(),
    }


def check_fit(model: nn.Module, data: DataSet) -> None:
    """Raise ``ValueError`` unless the model takes the images and has all the classes."""
    device = next(model.parameters()).device
    try:
        classes = predict_scores(model, torch.zeros(1, *data.input_shape, device=device)).size(-1)
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"The model does not take the images of {data.name}, {list(data.input_shape)}"
            f"{_wants(model, data)}: {error}"
        ) from error
    if classes < data.num_classes:
        raise ValueError(
            f"The model has {classes} classes, but {data.name} has {data.num_classes}."
        )


def _wants(model: nn.Module, data: DataSet) -> str:
    first = next((layer for layer in model.modules() if isinstance(layer, nn.Conv2d)), None)
    if first is None or first.in_channels == data.input_shape[0]:
        return ""
    return f", since it wants {first.in_channels} channels (of a data set of other images)"
