"""The runs of a plan that are still to be trained: what becomes of them, and how it is shown."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relmp.progress import Advance
from relmp.sweep.engines.event import Event
from relmp.training.folder import RunFolder
from relmp.training.loop import Record
from relmp.training.run_config import RunConfig


@dataclass(frozen=True)
class Job:
    """A run and the folder that it is trained in."""

    run: RunConfig
    folder: RunFolder

    def task(self, settings: tuple[Any, ...]) -> tuple[Path, dict[str, Any], Any]:
        """The arguments of :func:`relmp.sweep.work.train_planned`."""
        return (self.folder.path, self.run.to_dict(), *settings)

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


def label_of(run: RunConfig) -> str:
    """The graph and seed of a run, for people."""
    graph = run.model.graph
    name = "no graph" if graph is None else graph.name or graph.key
    return f"{name}, seed {run.training.seed}"


class Jobs:
    """Runs on their way: pending, busy elsewhere, failed or done.

    Args:
        jobs: All runs.
        advance: Is told of every epoch, with a note of how it stands.
        retries: How often a run that fails is tried again.
    """

    def __init__(self, jobs: Sequence[Job], advance: Advance, retries: int) -> None:
        self.retries, self.advance = retries, advance
        self.pending: list[Job] = []
        self.busy: list[Job] = []
        self.failed: list[tuple[Job, str]] = []
        self.tries: dict[str, int] = {}
        self.done, self.running, self.best = 0, 0, float("inf")
        for job in jobs:
            records = job.records()
            if job.run.training.is_finished(records):
                self._finish(records)
                advance(job.run.training.epochs, self.note())
            else:
                self.pending.append(job)
                advance(len(records), self.note())
        self.total = len(self.pending)

    def hand_out(self) -> list[Job]:
        """The pending runs, which an engine now has."""
        handed, self.pending = self.pending, []
        return handed

    def take(self, event: Event, job: Job) -> None:
        """Note what an engine says of a run."""
        if event.kind == "started":
            self.running += 1
        elif event.kind == "progress":
            self.advance(1, self.note())
        elif event.kind == "busy":
            self.running -= 1
            self.busy.append(job)
        elif event.kind == "done":
            self.running -= 1
            records = job.records()
            self._finish(records)
            self.advance(job.run.training.epochs - len(records), self.note())  # stopped early
        else:
            self.running -= 1
            self._fail(job, event)
            self.advance(0, self.note())

    def free_again(self) -> None:
        """Runs that nobody is training any longer are pending again."""
        free = [job for job in self.busy if not job.folder.is_locked()]
        self.busy = [job for job in self.busy if job not in free]
        self.pending += free

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

    def _finish(self, records: list[Record]) -> None:
        self.done += 1
        if records:
            self.best = min(self.best, records[-1].get("test_error", float("inf")))

    def _fail(self, job: Job, event: Event) -> None:
        if job.folder.failure() is None:  # its process had no time to
            job.folder.note_failure(event.details)
        tries = self.tries[job.run.key] = self.tries.get(job.run.key, 0) + 1
        if tries <= self.retries:
            self.pending.append(job)
        else:
            self.failed.append((job, event.reason))
