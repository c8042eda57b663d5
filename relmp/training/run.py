"""One run: trained, and resumed where it was stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import torch
from torch import nn

from relmp.machine import processor
from relmp.models import count_flops, count_parameters
from relmp.models.own.described import check_fresh, model_config, require_model
from relmp.rounds import Round
from relmp.rounds.execution.rule import execution_table
from relmp.training.config import DataConfig, Settings, TrainConfig
from relmp.training.data import DataSet, as_data_set, load_data
from relmp.training.data.arrays import HELD_OUT
from relmp.training.data.given import batch_size_of
from relmp.training.folder import CHECKPOINT_FORMAT, RunFolder, differences
from relmp.training.interrupt import deferred_interrupts
from relmp.training.loop import Pause, Record, check_batches, predict_scores, train_epochs
from relmp.training.outside.start import check_patience, load_start, source_text
from relmp.training.processes import Team, join_team
from relmp.training.run_config import RunConfig
from relmp.training.state import TrainState, use_executions
from relmp.training.tracking import Track, several, tracked

OnStep: TypeAlias = Callable[[int, int], None]
"""``(steps done, steps in all)``"""

SAVE_SECONDS = 600.0
"""A checkpoint is written after every epoch, and within one when so much time has passed."""
AGREE_EVERY = 10
"""Several processes agree once in so many steps whether to save or stop."""


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
    team = team or Team()
    check_batches(config, data.size("train"), team.size)
    saved = team.tell(folder.resume() if folder and team.leads else None)
    if saved is not None:
        assert folder is not None
        _check_same(folder, saved, data)
        use_executions(model.to(device), saved["executions"])
    elif config.init_from is not None:
        load_start(model, config.init_from)
    state = TrainState(model, config, device, team)
    records: list[Record] = [] if saved is None else saved["records"]
    if saved is not None:
        _restore(state, saved, folder)
    if config.is_finished(records):
        state.finish()
        return records
    save = None if folder is None else _saver(folder, state, records, data)
    path = None if folder is None else folder.path
    state.rewirer.keep_in(path, fresh=saved is None)
    state.selections.keep_in(path, fresh=saved is None, epoch=state.epoch)
    interrupts: AbstractContextManager[Callable[[], bool]] = nullcontext(lambda: False)
    if folder is not None:
        interrupts = deferred_interrupts()
    with interrupts as interrupted:
        pause = _pause(state, save, interrupted, on_step)
        try:
            for record in train_epochs(state, data.to(device), pause=pause):
                records.append(record)
                if save is not None:
                    save(record)
                if report is not None:
                    report(record)
                if config.is_finished(records):
                    break
                if save is not None and team.any(interrupted(), device):
                    raise KeyboardInterrupt
        except FloatingPointError as error:
            if folder is None:
                raise
            kept = f"the checkpoint of epoch {len(records)} is kept" if records else "none is kept"
            raise FloatingPointError(f"{error} In '{folder.path}' {kept}.") from error
        except RuntimeError as error:
            # A signal to the whole group ends the processes that read images before this one.
            if interrupted() and "DataLoader worker" in str(error):
                raise KeyboardInterrupt from None
            raise
    state.finish()
    return records


Save: TypeAlias = Callable[[Record | None], None]
"""Writes a checkpoint, and the record of an epoch where one has ended."""


def _saver(folder: RunFolder, state: TrainState, records: list[Record], data: DataSet) -> Save:
    fixed = {
        "format": CHECKPOINT_FORMAT,
        "records": records,
        "executions": [r.execution for r in state.model.modules() if isinstance(r, Round)],
        "data": data.describe(),
    }

    def save(record: Record | None) -> None:
        checkpoint = fixed | state.state_dict()
        if state.team.leads:
            folder.save(checkpoint, record)

    return save


def _restore(state: TrainState, saved: dict[str, Any], folder: RunFolder | None) -> None:
    try:
        state.load_state_dict(saved)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise ValueError(
            f"The checkpoint in '{folder and folder.path}' is of another model: {reason}"
        ) from error


def _pause(
    state: TrainState,
    save: Save | None,
    interrupted: Callable[[], bool],
    on_step: OnStep | None,
) -> Pause:
    """What is done between steps: tell how far it is, save from time to time, stop if asked."""
    team, saved, seen = state.team, time.monotonic(), (0, 0)

    def pause() -> None:
        nonlocal saved, seen
        if on_step is not None and team.leads:
            steps = len(state.losses)
            on_step(state.epoch * steps + state.step, state.config.epochs * steps)
        here = (state.epoch, state.step)
        # Processes evaluate different numbers of batches, so they agree while training only.
        if save is None or (team.size > 1 and (here == seen or state.step % AGREE_EVERY)):
            return
        seen = here
        due = time.monotonic() - saved >= SAVE_SECONDS
        if team.any(due or interrupted(), state.device):
            stop = team.any(interrupted(), state.device)
            state.check_losses()
            state.check_weights()
            save(None)
            saved = time.monotonic()
            if stop:
                raise KeyboardInterrupt

    return pause


def _check_same(folder: RunFolder, saved: dict[str, Any], data: DataSet) -> None:
    differing = sorted(differences(saved["data"], data.describe()))
    if differing:
        raise ValueError(
            f"The run in '{folder.path}' was started with other data ({'; '.join(differing)}); "
            f"use the same, or another folder."
        )


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
