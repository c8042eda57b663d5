"""Runs that are trained as one, against the same runs by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import relmp
from relmp.training.config import Settings
from relmp.training.data import DataSet
from relmp.training.folder import RunFolder
from relmp.training.loop import train_epochs, train_together
from relmp.training.population import members as module
from relmp.training.population.members import Member, train_members
from relmp.training.population.states import Population, training_refusal
from relmp.training.run_config import RunConfig
from relmp.training.state import TrainState

CPU = torch.device("cpu")
SETTINGS: dict[str, Any] = {
    "data": "digits", "train_size": 256, "batch_size": 64, "epochs": 3, "width": 24,
}  # fmt: skip
GRAPHS = [relmp.create_graph("ws_flex", n=8, k=k, p=0.3, seed=1) for k in (2, 3, 5)]


@pytest.fixture(scope="module")
def data() -> DataSet:
    return relmp.load_data("digits", train_size=256)


def runs(**changes: Any) -> list[RunConfig]:
    return relmp.over_graphs("mlp", graphs=GRAPHS, seeds=1, **{**SETTINGS, **changes})[1:]


def members_of(plan: Sequence[RunConfig], out: Path | None = None) -> list[Member]:
    found = []
    for run in plan:
        folder = None
        if out is not None:
            folder = RunFolder(out / run.key)
            with folder.lock():
                folder.start(run, {})
        found.append(Member(run.model.create(), folder))
    return found


def trained(
    plan: Sequence[RunConfig], data: DataSet, out: Path | None = None, *, one_by_one: bool = False
) -> list[Member]:
    members = members_of(plan, out)
    for group in [[member] for member in members] if one_by_one else [members]:
        train_in(group, data, plan[0])
    return members


def train_in(members: Sequence[Member], data: DataSet, run: RunConfig) -> None:
    from contextlib import ExitStack

    with ExitStack() as stack:
        for member in members:
            if member.folder is not None:
                stack.enter_context(member.folder.lock())
        train_members(members, data, run.training, CPU)


def outcome(members: Sequence[Member]) -> Any:
    """What training gave: weights, and records but for what a clock says."""
    clock = ("seconds", "images_per_second", "peak_memory")
    return [
        ([{k: v for k, v in record.items() if k not in clock} for record in member.records],
         {name: tensor.clone() for name, tensor in member.model.state_dict().items()})
        for member in members
    ]  # fmt: skip


def assert_equal(found: Any, wanted: Any) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=0, equal_nan=True)


class Double:
    """A data set in float64, in which two ways of adding up agree to many digits."""

    def __init__(self, data: DataSet) -> None:
        self.data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self.data, name)

    def training_batches(self, *given: Any) -> Any:
        return ((x.double(), labels) for x, labels in self.data.training_batches(*given))

    def batches(self, *given: Any) -> Any:
        return ((x.double(), labels) for x, labels in self.data.batches(*given))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": "adamw", "lr": 1e-3},
        {"label_smoothing": 0.1, "precise_bn": 2, "decay_all": False, "schedule": "step"},
        {"evaluate_every": 2, "warmup_epochs": 1, "nesterov": False, "validation": 0.2},
    ],
    ids=str,
)
def test_runs_as_one_are_the_runs_by_themselves(settings: dict[str, Any]) -> None:
    plan = runs(**settings)
    loaded = relmp.load_data("digits", train_size=256, validation=settings.get("validation", 0.0))
    data: Any = Double(loaded)
    states, alone = (
        [TrainState(run.model.create().double(), run.training) for run in plan] for _ in range(2)
    )
    together = list(train_together(Population(states), data))
    for number, (state, other) in enumerate(zip(states, alone, strict=True)):
        records = list(train_epochs(other, data))
        found, wanted = state.state_dict(), other.state_dict()
        torch.testing.assert_close(found["model"], wanted["model"], rtol=1e-7, atol=1e-9)
        for part in ("state", "param_groups"):
            torch.testing.assert_close(
                found["optimizer"][part], wanted["optimizer"][part], rtol=1e-7, atol=1e-9
            )
        for one, record in zip(together, records, strict=True):
            clock = {"seconds", "images_per_second", "peak_memory"}
            assert one[number].keys() == record.keys()
            for name in record.keys() - clock:
                assert one[number][name] == pytest.approx(record[name], rel=1e-9)


@pytest.mark.parametrize(
    "settings",
    [{"ema_decay": 0.9}, {"clip_norm": 1.0}, {"patience": 1, "validation": 0.2}],
    ids=str,
)
def test_what_cannot_be_one_is_trained_by_itself(settings: dict[str, Any]) -> None:
    plan = runs(**settings)
    assert training_refusal(plan[0].training) is not None
    data = relmp.load_data("digits", train_size=256, validation=settings.get("validation", 0.0))
    together, alone = (trained(plan, data, one_by_one=by_one) for by_one in (False, True))
    assert_equal(outcome(together), outcome(alone))
    with pytest.raises(ValueError, match="cannot be trained as one"):
        Population([TrainState(run.model.create(), run.training) for run in plan])


@pytest.mark.parametrize(
    ("setting", "value"),
    [("rewiring", "rigl(every=5)"), ("compile", True), ("precision", "bfloat16")],
)
def test_settings_of_which_a_population_knows_nothing(setting: str, value: Any) -> None:
    assert training_refusal(Settings.of("digits", {setting: value}).training) is not None


class StopError(Exception):
    pass


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("saved", range(1, 9))
def test_a_stop_between_any_two_files_changes_nothing(
    saved: int, optimizer: str, data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three runs of three epochs write nine checkpoints; the process ends before the next one."""
    plan = runs(optimizer=optimizer, lr=0.01)
    calm = outcome(trained(plan, data, tmp_path / "calm"))
    save, count = RunFolder.save, 0

    def stop(folder: RunFolder, *given: Any) -> None:
        nonlocal count
        if count == saved:
            raise StopError
        count += 1
        save(folder, *given)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", stop)
        with pytest.raises(StopError):
            trained(plan, data, tmp_path / "stopped")
    assert_equal(outcome(trained(plan, data, tmp_path / "stopped")), calm)
    for run in plan:
        records = [RunFolder(tmp_path / name / run.key).records() for name in ("calm", "stopped")]
        assert [r["test_loss"] for r in records[0]] == [r["test_loss"] for r in records[1]]


def test_a_stop_while_stepping_back_leaves_no_records_of_later_epochs(
    data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would say that the run is done, and the others would go on without it."""
    plan, save, count, replace = runs(), RunFolder.save, 0, Path.replace

    def stop(folder: RunFolder, *given: Any) -> None:
        nonlocal count
        count += 1
        if count == 8:  # one of three has saved its third and last epoch
            raise StopError
        save(folder, *given)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", stop)
        with pytest.raises(StopError):
            trained(plan, data, tmp_path / "stopped")
    ahead, behind, _ = (RunFolder(tmp_path / "stopped" / run.key) for run in plan)
    assert len(ahead.records()) == 3
    checkpoint = behind.load()
    assert checkpoint is not None

    def replaced(path: Path, target: Path) -> None:
        replace(path, target)
        if path.name.startswith("checkpoint"):
            raise StopError

    with monkeypatch.context() as patch, ahead.lock():
        patch.setattr(Path, "replace", replaced)
        with pytest.raises(StopError):
            ahead.step_back((checkpoint["epoch"], checkpoint["step"]))
    assert ahead.records() == ahead.saved_records()
    assert len(ahead.records()) == 2


def test_a_stop_within_an_epoch_changes_nothing(
    data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = runs()
    calm = outcome(trained(plan, data, tmp_path / "calm"))
    monkeypatch.setattr(module, "SAVE_SECONDS", 0.0)  # a checkpoint after every step
    save, count = RunFolder.save, 0

    def stop(folder: RunFolder, *given: Any) -> None:
        nonlocal count
        count += 1
        if count in (8, 20, 33):
            raise StopError
        save(folder, *given)

    monkeypatch.setattr(RunFolder, "save", stop)
    for _ in range(3):
        with pytest.raises(StopError):
            trained(plan, data, tmp_path / "stopped")
    assert_equal(outcome(trained(plan, data, tmp_path / "stopped")), calm)


def test_one_that_fails_leaves_the_others_as_they_are(data: DataSet, tmp_path: Path) -> None:
    plan = runs()
    calm = outcome(trained(plan, data))
    members = members_of(plan, tmp_path)
    broken = members[1]
    with torch.no_grad():
        next(p for p in broken.model.parameters() if p.dim() == 3)[0, 0, 0] = torch.nan
    train_in(members, data, plan[0])
    assert "loss became nan" in str(broken.error)
    assert "none is kept" in str(broken.error)
    assert broken.records == []
    for place in (0, 2):
        assert members[place].error is None
        assert_equal(outcome([members[place]]), calm[place : place + 1])
    assert len(members[0].folder.records()) == 3  # type: ignore[union-attr]


def test_all_may_fail(data: DataSet, tmp_path: Path) -> None:
    members = members_of(runs(), tmp_path)
    for member in members:
        nn.init.constant_(next(member.model.parameters()), torch.inf)
    train_in(members, data, runs()[0])
    assert all("loss became nan" in str(member.error) for member in members)


def test_one_that_is_done_already_stays(data: DataSet, tmp_path: Path) -> None:
    plan = runs()
    done = trained(plan[:1], data, tmp_path)
    before = outcome(done)
    together = trained(plan, data, tmp_path)
    assert_equal(outcome(together[:1]), before)
    assert [len(member.records) for member in together] == [3, 3, 3]


def test_a_single_model_is_a_population_of_itself(data: DataSet) -> None:
    run = runs()[0]
    state = TrainState(run.model.create(), run.training)
    population = Population([state])
    assert population.union is None
    assert population.whole is state
    (records, *_) = train_together(population, data)
    assert set(records) == {0}
