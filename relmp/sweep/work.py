"""What a process of a sweep does: train a run, or several as one.

It is imported once, before any computing.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from relmp.models import MODELS
from relmp.registry import import_object, parse_call
from relmp.rounds import resolve_message
from relmp.rounds.aggregation import resolve_aggregation
from relmp.rounds.aggregation.text import foreign_aggregations
from relmp.rounds.execution.cpu_kernel import numba_refusal
from relmp.sweep.engines.event import Report
from relmp.training.config import DataConfig, TrainConfig
from relmp.training.data import DATASETS, GIVEN, DataSet
from relmp.training.folder import RunFolder
from relmp.training.population.members import Member, train_members
from relmp.training.run import beside, data_of
from relmp.training.run_config import RunConfig
from relmp.training.tracking import tracked

numba_refusal()  # imports the compiled loops, where they can be


@dataclass(frozen=True)
class Source:
    """Where the files of data sets lie, and whether they may be fetched."""

    folder: str
    download: bool

    def load(self, config: DataConfig) -> DataSet:
        """The data of a run."""
        return _loaded(self, config)


@lru_cache(maxsize=2)
def _loaded(source: Source, config: DataConfig) -> DataSet:
    return data_of(config, config.name, source.folder, download=source.download)


@dataclass(frozen=True)
class Ready:
    """Sets a process up, and sees whether it can make what the runs are made of.

    Args:
        messages: The messages of the models, as text.
        aggregations: Their aggregations that are not PyG's, as text.
        modules: Where models and data sets that are not relmp's are registered.
        imported: What is imported by ``package.module:Name``.
        given: Data sets that were given as objects, pickled by their names.
    """

    messages: tuple[str, ...] = ()
    aggregations: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    imported: tuple[str, ...] = ()
    given: bytes = b""

    @classmethod
    def of(cls, runs: Iterable[RunConfig]) -> Ready:
        """What these runs need."""
        messages, aggregations, modules, imported = set(), set(), set(), set()
        given: dict[str, DataSet] = {}
        for run in runs:
            options = run.model.plain_options()
            messages.add(options.get("message"))
            aggregations |= set(foreign_aggregations(options.get("aggr", "sum")))
            names = (run.model.name, str(run.model.options.get("of", "")))
            imported |= {name for name in names if MODELS.is_foreign(name)}
            rule = parse_call(run.training.rewiring)[0] if run.training.rewiring else ""
            if ":" in rule:
                imported.add(rule)
            if MODELS.is_registered(run.model.name):
                modules.add(MODELS[run.model.name].__module__)
            if run.data.name in GIVEN:
                given[run.data.name] = GIVEN[run.data.name]
            elif DATASETS.is_foreign(run.data.name):
                imported.add(run.data.name.partition("(")[0])
            else:
                modules.add(DATASETS[run.data.name].__module__)
        foreign = {name for name in modules if name.partition(".")[0] != "relmp"}
        return cls(
            tuple(sorted(m for m in messages if m is not None)),
            tuple(sorted(aggregations)),
            tuple(sorted(foreign)),
            tuple(sorted(imported)),
            _pickled(given),
        )

    @property
    def needs_script(self) -> bool:
        """Whether something is defined in the script that was started."""
        named = (*self.messages, *self.aggregations, *self.imported)
        in_script = (text.startswith("__main__:") for text in named)
        return "__main__" in self.modules or any(in_script)

    def __call__(self) -> str | None:
        torch.set_num_threads(1)
        if self.given:
            GIVEN.update(pickle.loads(self.given))
        for module in self.modules:
            try:
                import_module(module)
            except ImportError as error:
                return f"Workers cannot import '{module}', where a model or data set is: {error}."
        for message in self.messages:
            try:
                resolve_message(message)
            except ValueError as error:
                return f"Workers cannot make the message: {error}"
        for aggregation in self.aggregations:
            try:
                resolve_aggregation(aggregation, channels=4)
            except ValueError as error:
                return f"Workers cannot make the aggregation: {error}"
        for name in self.imported:
            try:
                import_object(name)
            except ValueError as error:
                return f"Workers cannot make the model, data or rewiring: {error}"
        return None


def _pickled(given: Mapping[str, DataSet]) -> bytes:
    if not given:
        return b""
    try:
        return pickle.dumps(given)
    except Exception as error:
        raise ValueError(
            f"The data {', '.join(given)} cannot be handed to workers ({error}); define the data "
            f"set and its transforms at the top level of a module, or train in this process "
            f"(workers=0)."
        ) from error


def train_planned(
    report: Report,
    runs: Sequence[tuple[Path, Mapping[str, Any]]],
    source: Source,
    device: str,
    same_code: bool,
    trackers: tuple[str, ...] = (),
) -> None:
    """Train runs of a plan, each in its folder: one, or several as one.

    Of several, those that fail are noted in their folders, and the others go on; one that is done
    stays as it is where it has no checkpoint of its end.

    Raises:
        BlockingIOError: If another process has one in hand.
    """
    keys = [path.name for path, _ in runs] if len(runs) > 1 else None
    members: list[tuple[RunFolder, Member]] = []
    failure: BaseException | None = None
    with ExitStack() as stack:
        for path, described in runs:
            folder = RunFolder(path)
            try:
                config = RunConfig.from_dict(described)
                data = source.load(config.data)
                model = config.model.create()
                stack.enter_context(folder.lock())
                if keys is not None and _stays(folder, config.training):
                    continue
                recorded = beside(config, model, data, torch.device(device))
                folder.start(config, recorded | {"population": keys}, same_code=same_code)
                tell = tracked(trackers, path, config.to_dict(), lambda _: report())
                members.append((folder, Member(model, folder, stack.enter_context(tell))))
            except (BlockingIOError, KeyboardInterrupt):
                raise
            except (Exception, SystemExit) as error:
                folder.note_failure(error)
                failure = error
        if failure is not None and not members:
            raise failure
        if not members:
            return
        try:
            everyone = [member for _, member in members]
            train_members(everyone, data, config.training, torch.device(device))
        except (BlockingIOError, KeyboardInterrupt):
            raise
        except (Exception, SystemExit) as error:
            for folder, _ in members:
                folder.note_failure(error)
            raise
        for folder, member in members:
            if member.error is None:
                folder.forget_failure()
            else:
                folder.note_failure(member.error)


def _stays(folder: RunFolder, config: TrainConfig) -> bool:
    """Whether a run is done, and training would take that back: its last checkpoint is gone or
    damaged."""
    done = config.is_finished(folder.records())
    return done and not config.is_finished(folder.saved_records() or [])
