"""One run: trained, and resumed where it was stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeAlias, Unpack

import pandas as pd
import torch
from torch import nn

from relmp.models import ModelConfig, count_flops, count_parameters
from relmp.rounds import Round
from relmp.training.config import Settings, TrainConfig, make_config
from relmp.training.data import DataSet, load_data
from relmp.training.folder import CHECKPOINT_FORMAT, RunFolder, differences
from relmp.training.interrupt import deferred_interrupts
from relmp.training.loop import Pause, Record, check_batches, predict_scores, train_epochs
from relmp.training.processes import Team, join_team
from relmp.training.state import TrainState

OnStep: TypeAlias = Callable[[int, int], None]
"""``(steps done, steps in all)``"""

SAVE_SECONDS = 600.0
"""A checkpoint is written after every epoch, and within one when so much time has passed."""
AGREE_EVERY = 10
"""Several processes agree once in so many steps whether to save or stop."""


def train(
    model: nn.Module,
    data: str | DataSet = "digits",
    *,
    data_folder: str | Path = "data",
    download: bool = False,
    device: str | torch.device | None = None,
    out: str | Path | None = None,
    on_epoch: Callable[[Record], None] | None = None,
    on_step: OnStep | None = None,
    **settings: Unpack[Settings],
) -> pd.DataFrame:
    """Train a model and return its history, one row an epoch, errors in percent.

    ``train(model, "cifar10", epochs=200, optimizer="adamw", lr=1e-3, ema_decay=0.999)``

    Started by ``torchrun``, the processes train together, each on its share of every batch;
    the first one reports and writes the folder.

    Args:
        model: The model, trained in place; from :func:`create_model` where ``out`` is given.
        data: Name of a data set, or a data set.
        data_folder: Where the files of the data set lie.
        download: Whether missing files are fetched.
        device: Where to train; a GPU where there is one by default.
        out: Folder of the run. It keeps configuration, records and checkpoint, goes on where
            it was stopped, and is read by :func:`load_run`. A first Ctrl-C then ends the run
            after the step in hand with everything saved.
        on_epoch: Called with every record as it comes.
        on_step: Called between steps with the number of steps done and of all steps.
        **settings: The settings of :class:`TrainConfig` and of :class:`LoopOptions`.

    Raises:
        ValueError: For settings out of range, or a folder of another run.
        FileNotFoundError: If the files of the data set are not there.
        FloatingPointError: If the loss becomes infinite or NaN.
    """
    config = make_config(data if isinstance(data, str) else data.name, settings)
    with join_team(device) as (team, picked):
        with team.leader_first():
            loaded = data_of(config, data, data_folder, download=download and team.leads)
        check_fit(model, loaded)
        report = on_epoch if on_epoch and team.leads else lambda record: None
        if out is None:
            return pd.DataFrame(_train(model, loaded, config, picked, report, team, on_step))
        folder = RunFolder(Path(out))
        described = run_config(model_config(model), config) | derived(model, loaded)
        if team.leads:
            folder.start(described)
        with folder.lock() if team.leads else nullcontext():
            records = train_in_folder(
                folder, model, loaded, config, picked, report, team=team, on_step=on_step
            )
    return pd.DataFrame(records)


def _train(
    model: nn.Module,
    data: DataSet,
    config: TrainConfig,
    device: torch.device,
    report: Callable[[Record], None],
    team: Team,
    on_step: OnStep | None,
) -> list[Record]:
    check_batches(config, data.size("train"), team.size)
    state = TrainState(model, config, device, team)
    records = []
    for record in train_epochs(state, data.to(device), pause=lambda: _tell(state, on_step)):
        records.append(record)
        report(record)
    state.finish()
    return records


def train_in_folder(
    folder: RunFolder,
    model: nn.Module,
    data: DataSet,
    config: TrainConfig,
    device: torch.device,
    report: Callable[[Record], None],
    *,
    team: Team | None = None,
    on_step: OnStep | None = None,
) -> list[Record]:
    """Train a run that is locked, from its last checkpoint on; returns all its records.

    Raises:
        ValueError: If the checkpoint is of another model or other data.
        FloatingPointError: If a loss becomes infinite or NaN; the last good checkpoint is kept.
        KeyboardInterrupt: If a stop was asked for; everything is saved.
    """
    team = team or Team()
    check_batches(config, data.size("train"), team.size)
    saved = team.tell(folder.resume() if team.leads else None)
    if saved is not None:
        _check_same(folder, saved, data)
        use_executions(model, saved["executions"])
    state = TrainState(model, config, device, team)
    records: list[Record] = []
    if saved is not None:
        records = saved["records"]
        try:
            state.load_state_dict(saved)
        except (RuntimeError, ValueError) as error:
            reason = " ".join(line.strip() for line in str(error).splitlines()[:2])
            raise ValueError(
                f"The checkpoint in '{folder.path}' is of another model: {reason}"
            ) from error
    fixed = {
        "format": CHECKPOINT_FORMAT,
        "records": records,
        "executions": [r.execution for r in model.modules() if isinstance(r, Round)],
        "data": data.describe(),
    }

    def save(record: Record | None = None) -> None:
        if record is not None:
            records.append(record)
        checkpoint = fixed | state.state_dict()
        if team.leads:
            folder.save(checkpoint, record)

    with deferred_interrupts() as interrupted:
        pause = _saving_pause(state, save, interrupted, on_step)
        try:
            for record in train_epochs(state, data.to(device), pause=pause):
                save(record)
                report(record)
                if team.any(interrupted(), device):
                    raise KeyboardInterrupt
        except FloatingPointError as error:
            kept = f"the checkpoint of epoch {len(records)} is kept" if records else "none is kept"
            raise FloatingPointError(f"{error} In '{folder.path}' {kept}.") from error
    state.finish()
    return records


def _saving_pause(
    state: TrainState,
    save: Callable[[], None],
    interrupted: Callable[[], bool],
    on_step: OnStep | None,
) -> Pause:
    """What is done between steps: tell how far it is, save from time to time, stop if asked."""
    team, saved, seen = state.team, time.monotonic(), (0, 0)

    def pause() -> None:
        nonlocal saved, seen
        _tell(state, on_step)
        here = (state.epoch, state.step)
        # Processes evaluate different numbers of batches, so they agree while training only.
        if team.size > 1 and (here == seen or state.step % AGREE_EVERY):
            return
        seen = here
        due = time.monotonic() - saved >= SAVE_SECONDS
        if team.any(due or interrupted(), state.device):
            stop = team.any(interrupted(), state.device)
            state.check_losses()
            state.check_weights()
            save()
            saved = time.monotonic()
            if stop:
                raise KeyboardInterrupt

    return pause


def _tell(state: TrainState, on_step: OnStep | None) -> None:
    if on_step is not None and state.team.leads:
        steps = len(state.losses)
        on_step(state.epoch * steps + state.step, state.config.epochs * steps)


def _check_same(folder: RunFolder, saved: dict[str, Any], data: DataSet) -> None:
    differing = sorted(differences(saved["data"], data.describe()))
    if differing:
        raise ValueError(
            f"The run in '{folder.path}' was started with other data ({'; '.join(differing)}); "
            f"use the same, or another folder."
        )


def data_of(
    config: TrainConfig, data: str | DataSet, folder: str | Path, *, download: bool
) -> DataSet:
    """The data of a run, in the part and size that its configuration says."""
    return load_data(
        data,
        folder=folder,
        download=download,
        image_size=config.image_size,
        train_size=config.train_size,
        validation=config.validation,
        subset_seed=config.subset_seed,
    )


def run_config(model: ModelConfig, training: TrainConfig) -> dict[str, Any]:
    """The complete configuration of a run, as plain values."""
    return {"model": model.to_dict(), "training": training.to_dict()}


def derived(model: nn.Module, data: DataSet) -> dict[str, Any]:
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


def check_fit(model: nn.Module, data: DataSet) -> None:
    """Raise ``ValueError`` unless the model takes the images and has all the classes."""
    device = next(model.parameters()).device
    try:
        classes = predict_scores(model, torch.zeros(1, *data.input_shape, device=device)).size(1)
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"The model does not take the images of {data.name}, {list(data.input_shape)}: {error}"
        ) from error
    if classes < data.num_classes:
        raise ValueError(
            f"The model has {classes} classes, but {data.name} has {data.num_classes}."
        )


def use_executions(model: nn.Module, executions: list[str]) -> None:
    """Execute every round as it was executed when the run began."""
    rounds = [layer for layer in model.modules() if isinstance(layer, Round)]
    for layer, execution in zip(rounds, executions, strict=True):
        if layer.execution != execution:
            layer.set_execution(execution)
