"""The runs of a plan that are still to be trained: what becomes of them, and how it is shown."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from relmp.progress import Advance
from relmp.sweep.engines.event import FORESEEN, Event
from relmp.training.folder import RunFolder
from relmp.training.loop import Record
from relmp.training.run_config import RunConfig


@dataclass(frozen=True)
class Job:
    """A run and the folder that it is trained in."""

    run: RunConfig
    folder: RunFolder

    def described(self) -> tuple[Path, dict[str, Any]]:
        """The run for another process."""
        return self.folder.path, self.run.to_dict()

    def records(self) -> list[Record]:
        """The records so far; none where they cannot be read, which is said where it is trained."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self.folder.records()
        except ValueError:
            return []

    def epochs_done(self) -> int:
        """How many epochs the run has done."""
        return len(self.records())


Unit: TypeAlias = Sequence[Job]
"""Runs that are trained as one; most often a single one."""


def label_of(run: RunConfig) -> str:
    """The graph and seed of a run, for people."""
    graph = run.model.graph
    name = "no graph" if graph is None else graph.name or graph.key
    return f"{name}, seed {run.training.seed}"


class Jobs:
    """Runs on their way: pending, busy elsewhere, failed or done.

    Args:
        units: All runs, in groups of those that are trained as one.
        advance: Is told of every epoch, with a note of how it stands.
        retries: How often a run that fails is tried again.
    """

    def __init__(self, units: Sequence[Unit], advance: Advance, retries: int) -> None:
        self.retries, self.advance = retries, advance
        self.pending: list[Unit] = []
        self.busy: list[Unit] = []
        self.failed: list[tuple[Job, str]] = []
        self.tries: dict[str, int] = {}
        self.finished: set[str] = set()
        self.done, self.running, self.best = 0, 0, float("inf")
        for unit in units:
            for job in unit:
                records = job.records()
                if job.run.training.is_finished(records):
                    self._finish(job, records)
                    advance(job.run.training.epochs, self.note())
                else:
                    advance(len(records), self.note())
            if self._open(unit):
                self.pending.append(unit)
        self.total = sum(len(self._open(unit)) for unit in self.pending)

    def hand_out(self) -> list[Unit]:
        """The pending runs, which an engine now has."""
        handed, self.pending = self.pending, []
        return handed

    def take(self, event: Event, unit: Unit) -> None:
        """Note what an engine says of a unit."""
        if event.kind == "progress":
            self.advance(1, self.note())
            return
        jobs = self._open(unit)
        if event.kind == "started":
            self.running += len(jobs)
            return
        self.running -= len(jobs)
        if event.kind == "busy":
            self.busy.append(unit)
            return
        again = False
        for job in jobs:
            records = job.records()
            if job.run.training.is_finished(records):
                self._finish(job, records)
                self.advance(job.run.training.epochs - len(records), self.note())  # stopped early
            else:
                again |= self._fail(job, event)
                self.advance(0, self.note())
        if again:
            self.pending.append(unit)

    def free_again(self) -> None:
        """Runs that nobody is training any longer are pending again."""
        free = [unit for unit in self.busy if not any(job.folder.is_locked() for job in unit)]
        self.busy = [unit for unit in self.busy if unit not in free]
        self.pending += free

    def _open(self, unit: Unit) -> list[Job]:
        return [job for job in unit if job.run.key not in self.finished]

    def note(self) -> str:
        """How it stands, in a few words."""
        failed = f", {len(self.failed)} failed" if self.failed else ""
        best = f", lowest test error {self.best:.2f} %" if self.best < float("inf") else ""
        return f"{self.done} done, {self.running} running{failed}{best}"

    def warn_of_failures(self, stacklevel: int) -> None:
        """Name the runs that failed."""
        if not self.failed:
            return
        first, reason = self.failed[0]
        others = [label_of(job.run) for job, _ in self.failed[1:4]]
        more = f"; also {'; '.join(others)}" if others else ""
        more += f" and {len(self.failed) - 4} more" if len(self.failed) > 4 else ""
        warnings.warn(
            f"{len(self.failed)} of {self.total} runs failed and are not in the table; the first, "
            f"{label_of(first.run)}: {reason} (the traceback is in "
            f"'{first.folder.path / 'failure.txt'}'){more}",
            stacklevel=stacklevel,
        )

    def _finish(self, job: Job, records: list[Record]) -> None:
        self.finished.add(job.run.key)
        self.done += 1
        if records:
            self.best = min(self.best, records[-1].get("test_error", float("inf")))

    def _fail(self, job: Job, event: Event) -> bool:
        """Note that a run failed; returns whether it is to be tried again."""
        if job.folder.failure() is None:  # its process had no time to
            job.folder.note_failure(event.details)
        tries = self.tries[job.run.key] = self.tries.get(job.run.key, 0) + 1
        if tries <= self.retries:
            return True
        self.failed.append((job, event.reason or reason_written(job.folder.failure())))
        return False


def reason_written(failure: str | None) -> str:
    """The sentence at the end of a traceback that a folder keeps."""
    last = (failure or "").strip().rpartition("\n")[2]
    kind, colon, sentence = last.partition(": ")
    return sentence if colon and kind in [error.__name__ for error in FORESEEN] else last
