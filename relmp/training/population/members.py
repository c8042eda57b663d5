"""Trains runs of the same settings, each in its folder: one by itself, or several as one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import nn

from relmp.rounds import Round
from relmp.training.config import TrainConfig
from relmp.training.data import DataSet
from relmp.training.folder import CHECKPOINT_FORMAT, RunFolder
from relmp.training.interrupt import deferred_interrupts
from relmp.training.loop import Pause, Record, check_batches, train_together
from relmp.training.outside.start import load_start
from relmp.training.population.states import Population, population_refusal
from relmp.training.processes import Team
from relmp.training.run_config import differences
from relmp.training.state import TrainState, use_executions

OnStep: TypeAlias = Callable[[int, int], None]
"""``(steps done, steps in all)``"""

SAVE_SECONDS = 600.0
"""A checkpoint is written after every epoch, and within one when so much time has passed."""
AGREE_EVERY = 10
"""Several processes agree once in so many steps whether to save or stop."""


@dataclass
class Member:
    """A model to be trained, and what came of it.

    Args:
        model: The model, trained in place.
        folder: Folder of the run, locked and started; None keeps nothing.
        report: Called with every record as it comes.
        records: All records, once it was trained.
        error: Why it was not trained, or not to the end, where others went on.
    """

    model: nn.Module
    folder: RunFolder | None = None
    report: Callable[[Record], None] | None = None
    records: list[Record] = field(default_factory=list)
    error: FloatingPointError | ValueError | None = None


Checkpoint: TypeAlias = dict[str, Any] | None
Save: TypeAlias = Callable[[Record | None], None]
"""Writes a checkpoint, and the record of an epoch where one has ended."""


def train_members(
    members: Sequence[Member],
    data: DataSet,
    config: TrainConfig,
    device: torch.device,
    *,
    team: Team | None = None,
    on_step: OnStep | None = None,
) -> None:
    """Train models with the same settings, those with folders from their last checkpoints on.

    Several are trained as one where they can be and are at the same place; where a kill came
    between their checkpoints, those that were ahead take up the one before.

    Args:
        members: The models; what came of them is written there.
        data: The data, in the part and size that is wanted.
        config: The settings of all.
        device: Where to train.
        team: The processes that train together.
        on_step: Called between steps.

    Raises:
        ValueError: If the checkpoint of the only model is damaged, or of another model or other
            data.
        FloatingPointError: If the loss of the only model becomes infinite or NaN; the last good
            checkpoint is kept.
        KeyboardInterrupt: If a stop was asked for; with folders everything is saved.
    """
    team = team or Team()
    check_batches(config, data.size("train"), team.size)
    saved = _resumed(members, team)
    states: dict[int, TrainState] = {}
    for number, checkpoint in saved.items():
        with _left_behind(members, number):
            states[number] = _state(members[number], checkpoint, data, config, device, team)
    alike: dict[Any, list[int]] = {}
    models = [members[number].model for number in states]  # with the weights they start from
    apart = len(models) > 1 and population_refusal(models, config) is not None
    for number in states:
        alike.setdefault(number if apart else _place(saved[number]), []).append(number)
    for numbers in alike.values():
        group, places = [members[n] for n in numbers], [states[n] for n in numbers]
        _train(group, places, data, on_step, [saved[n] for n in numbers], _names(members))


@contextmanager
def _left_behind(members: Sequence[Member], number: int) -> Iterator[None]:
    """What is wrong with one of several does not keep the others from being trained."""
    try:
        yield
    except ValueError as error:
        if len(members) == 1:
            raise
        members[number].error = error


def _resumed(members: Sequence[Member], team: Team) -> dict[int, Checkpoint]:
    """The checkpoints of those whose folders are in order."""
    found: dict[int, Checkpoint] = {}
    for number, member in enumerate(members):
        with _left_behind(members, number):
            found[number] = team.tell(
                member.folder.resume() if member.folder and team.leads else None
            )
    behind, names = min(map(_place, found.values()), default=(0, 0)), _names(members)
    for number, checkpoint in found.items():
        folder = members[number].folder
        if checkpoint is None or folder is None or _place(checkpoint) == behind:
            continue
        if checkpoint.get("population") == names:  # else it was never at the place of the others
            found[number] = folder.step_back(behind)
    return found


def _names(members: Sequence[Member]) -> list[str] | None:
    """By what a population is known, None for a single run."""
    folders = [member.folder for member in members if member.folder is not None]
    return sorted(folder.path.name for folder in folders) if len(members) > 1 else None


def _place(checkpoint: Checkpoint) -> tuple[int, int]:
    return (0, 0) if checkpoint is None else (checkpoint["epoch"], checkpoint["step"])


def _state(
    member: Member,
    saved: Checkpoint,
    data: DataSet,
    config: TrainConfig,
    device: torch.device,
    team: Team,
) -> TrainState:
    if saved is not None:
        assert member.folder is not None
        _check_same(member.folder, saved, data)
        use_executions(member.model.to(device), saved["executions"])
    elif config.init_from is not None:
        load_start(member.model, config.init_from)
    state = TrainState(member.model, config, device, team)
    member.records = [] if saved is None else saved["records"]
    if saved is not None:
        _restore(state, saved, member.folder)
    return state


def _train(
    members: Sequence[Member],
    states: Sequence[TrainState],
    data: DataSet,
    on_step: OnStep | None,
    saved: Sequence[Checkpoint],
    names: list[str] | None,
) -> None:
    """Train states at the same place to the end."""
    config, device, team = states[0].config, states[0].device, states[0].team
    if config.is_finished(members[0].records):
        for state in states:
            state.finish()
        return
    population = Population(states)
    saves = [
        _saver(member.folder, state, member.records, data, names)
        for member, state in zip(members, states, strict=True)
        if member.folder is not None
    ]
    for member, state, checkpoint in zip(members, states, saved, strict=True):
        path, fresh = None if member.folder is None else member.folder.path, checkpoint is None
        state.rewirer.keep_in(path, fresh=fresh)
        state.selections.keep_in(path, fresh=fresh, epoch=state.epoch)
    interrupts: AbstractContextManager[Callable[[], bool]] = nullcontext(lambda: False)
    if saves:
        interrupts = deferred_interrupts()
    with interrupts as interrupted:
        pause = _pause(population, saves, interrupted, on_step)
        try:
            for records in train_together(population, data.to(device), pause=pause):
                for number, record in records.items():
                    members[number].records.append(record)
                for number, record in records.items():
                    if saves:
                        saves[number](record)
                for number, record in records.items():
                    if (report := members[number].report) is not None:
                        report(record)
                if any(config.is_finished(members[number].records) for number in records):
                    break
                if saves and team.any(interrupted(), device):
                    raise KeyboardInterrupt
        except FloatingPointError as error:
            population.errors[0] = error
        except RuntimeError as error:
            # A signal to the whole group ends the processes that read images before this one.
            if interrupted() and "DataLoader worker" in str(error):
                raise KeyboardInterrupt from None
            raise
    for number, found in population.errors.items():
        members[number].error = _placed(found, members[number])
    population.sync()
    for number in population.alive:
        states[number].finish()
    if len(members) == 1 and members[0].error is not None:
        raise members[0].error from population.errors[0]


def _placed(error: FloatingPointError, member: Member) -> FloatingPointError:
    """The error with the sentence what is kept."""
    if member.folder is None:
        return error
    epochs = len(member.records)
    kept = f"the checkpoint of epoch {epochs} is kept" if epochs else "none is kept"
    return FloatingPointError(f"{error} In '{member.folder.path}' {kept}.")


def _saver(
    folder: RunFolder,
    state: TrainState,
    records: list[Record],
    data: DataSet,
    names: list[str] | None,
) -> Save:
    fixed = {
        "format": CHECKPOINT_FORMAT,
        "records": records,
        "executions": [r.execution for r in state.model.modules() if isinstance(r, Round)],
        "data": data.describe(),
        **({} if names is None else {"population": names}),
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
    population: Population,
    saves: Sequence[Save],
    interrupted: Callable[[], bool],
    on_step: OnStep | None,
) -> Pause:
    """What is done between steps: tell how far it is, save from time to time, stop if asked."""
    whole = population.whole
    team, saved, seen = whole.team, time.monotonic(), (0, 0)

    def check(number: int, state: TrainState) -> None:
        state.check_losses()
        state.check_weights()

    def pause() -> None:
        nonlocal saved, seen
        if not population.alive:
            return
        epoch, step = here = population.place
        if on_step is not None and team.leads:
            steps = len(whole.losses)
            on_step(epoch * steps + step, whole.config.epochs * steps)
        # Processes evaluate different numbers of batches, so they agree while training only.
        if not saves or (team.size > 1 and (here == seen or step % AGREE_EVERY)):
            return
        seen = here
        due = time.monotonic() - saved >= SAVE_SECONDS
        if team.any(due or interrupted(), whole.device):
            stop = team.any(interrupted(), whole.device)
            population.sync()
            population.each(check)
            for number in population.alive:
                saves[number](None)
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
