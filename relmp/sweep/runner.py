"""The runner: trains the runs of a plan in parallel, and goes on where it was stopped."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from relmp.graphs import RelationalGraph
from relmp.machine import cores
from relmp.progress import Advance, progress
from relmp.sweep.plan import over_graphs
from relmp.sweep.pool import Event, reason_of, run_in_pool
from relmp.sweep.store import RunStore, collect
from relmp.sweep.work import Ready, Source, train_planned
from relmp.training.device import pick_device
from relmp.training.folder import RunFolder
from relmp.training.run import check_fit
from relmp.training.run_config import RunConfig

BUSY_SECONDS = 1.0
"""So often it is looked whether a run that another process has in hand has become free."""


def run_sweep(
    model: str = "mlp",
    *,
    graphs: Iterable[RelationalGraph],
    out: str | Path,
    data: str = "digits",
    seeds: int | Iterable[int] = 5,
    width: int | None = None,
    data_folder: str | Path = "data",
    download: bool = False,
    device: str | None = None,
    workers: int | None = None,
    same_code: bool = False,
    show_progress: bool = True,
    **options: Any,
) -> pd.DataFrame:
    """Train every graph with every seed at equal cost, and return the table of all runs.

    The complete graph of as many nodes is always among the graphs. Runs that ``out`` already
    holds are not trained again; a stopped sweep goes on with the same call. More graphs or
    seeds may be added to a folder, other settings may not. Graphs over which no model of equal
    cost can be built are left out with a warning. A run that fails is named, the others go on.

    Args:
        model: Name of a model.
        graphs: Relational graphs, all with the same number of nodes.
        out: Folder of the sweep.
        data: Name of a data set.
        seeds: Seeds of initial weights and training; a number means so many, from 0.
        width: Width of the complete-graph model, whose FLOPs every model is matched to; the
            paper's by default.
        data_folder: Where the files of the data set lie.
        download: Whether missing files are fetched.
        device, workers, same_code, show_progress: See :func:`run_plan`.
        **options: Settings of training and data as those of :func:`relmp.train` (``epochs=``,
            ``lr=``, ``optimizer=``, ...), and options of the model (``message=``, ``aggr=``,
            ...).

    Raises:
        ValueError: For settings out of range, or a folder that was started with others.
        OSError: If the folder cannot be written.
    """
    plan = over_graphs(
        model,
        graphs=graphs,
        seeds=seeds,
        data=data,
        width=width,
        data_folder=data_folder,
        download=download,
        **options,
    )
    return run_plan(
        plan,
        out,
        data_folder=data_folder,
        download=download,
        device=device,
        workers=workers,
        same_code=same_code,
        show_progress=show_progress,
        budget=width,
    )


def run_plan(
    plan: Sequence[RunConfig],
    out: str | Path,
    *,
    data_folder: str | Path = "data",
    download: bool = False,
    device: str | None = None,
    workers: int | None = None,
    same_code: bool = False,
    show_progress: bool = True,
    budget: int | None = None,
) -> pd.DataFrame:
    """Train the runs of a plan, and return the table of all runs in the folder.

    Runs that ``out`` already holds are not trained again; a stopped plan goes on with the same
    call, and several processes that are given the same plan and folder share the work. A run
    that fails is named, with its traceback in its folder, and the others go on; the next call
    tries it again.

    Args:
        plan: The runs, of :func:`over_graphs`, :func:`grid` or your own.
        out: Folder of the sweep; every run has a folder in it that is named by its key.
        data_folder: Where the files of data sets lie.
        download: Whether missing files are fetched.
        device: Where to train; a GPU where there is one by default.
        workers: Processes, each with one thread; by default one a core on a CPU, and one on a
            GPU. 0 trains in this process, with one thread too.
        same_code: Whether messages and models of your own whose code has changed since the
            sweep was started do the same.
        show_progress: Whether progress is shown on the standard error stream.
        budget: Recorded with the sweep, and compared where more runs are added.

    Raises:
        ValueError: If the plan holds a run twice, or the folder was started with others.
        OSError: If the folder cannot be written.
    """
    plan = list(plan)
    _check_plan(plan)
    source, picked = Source(str(data_folder), download), str(pick_device(device))
    for run in {(run.data, run.model.name): run for run in reversed(plan)}.values():
        check_fit(run.model.create(), source.load(run.data))  # before anything is written
    store = RunStore(Path(out))
    store.start(plan, budget, same_code=same_code)
    folders = store.folders(plan)
    total = sum(run.training.epochs for run in plan)
    with progress(f"{len(plan)} runs, epochs", total, show=show_progress) as advance:
        pending = []
        for run in plan:
            done = _epochs_done(folders[run.key])
            advance(done)
            if done < run.training.epochs:
                pending.append(_Job(run, folders[run.key]))
        if pending:
            number = workers
            if number is None:
                number = cores() if picked == "cpu" else 1
            _train_all(pending, number, (source, picked, same_code), advance)
    return collect(out)


@dataclass(frozen=True)
class _Job:
    run: RunConfig
    folder: RunFolder

    @property
    def label(self) -> str:
        graph = self.run.model.graph
        name = "no graph" if graph is None else graph.name or graph.key
        return f"{name}, seed {self.run.training.seed}"

    def task(self, settings: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self.folder.path, self.run.to_dict(), *settings)


def _check_plan(plan: list[RunConfig]) -> None:
    if not plan:
        raise ValueError("The plan holds no runs.")
    seen: dict[str, RunConfig] = {}
    for run in plan:
        if run.key in seen:
            raise ValueError(
                f"The plan holds the run {run.key} twice ({_Job(run, RunFolder(Path())).label}); "
                f"list every run once."
            )
        seen[run.key] = run


def _epochs_done(folder: RunFolder) -> int:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return len(folder.records())
    except ValueError:
        return 0  # said where it is trained


def _train_all(jobs: list[_Job], workers: int, settings: tuple[Any, ...], advance: Advance) -> None:
    failed: list[tuple[_Job, str]] = []
    total = len(jobs)
    while jobs:
        busy = []
        for event in _events(jobs, workers, settings):
            job = jobs[event.task]
            if event.kind == "progress":
                advance()
            elif event.kind == "busy":
                busy.append(job)
            elif event.kind == "failed":
                failed.append((job, event.reason))
                if job.folder.failure() is None:  # its process had no time to
                    job.folder.note_failure(event.details)
        # Another process has these in hand; wait for it, or do what it leaves.
        while (jobs := [job for job in busy if not job.folder.is_locked()]) == [] and busy:
            time.sleep(BUSY_SECONDS)
        jobs += [job for job in busy if job not in jobs]
    if failed:
        first, reason = failed[0]
        others = [job.label for job, _ in failed[1:4]]
        more = f"; also {'; '.join(others)}" if others else ""
        more += f" and {len(failed) - 4} more" if len(failed) > 4 else ""
        warnings.warn(
            f"{len(failed)} of {total} runs failed and are not in the table; the first, "
            f"{first.label}: {reason} (the traceback is in '{first.folder.path / 'failure.txt'}')"
            f"{more}",
            stacklevel=4,
        )


def _events(jobs: list[_Job], workers: int, settings: tuple[Any, ...]) -> Iterator[Event]:
    tasks = [job.task(settings) for job in jobs]
    if workers == 0:
        yield from _in_this_process(tasks)
        return
    described = [job.run.model.plain_options().get("message") for job in jobs]
    messages = tuple(sorted({message for message in described if message is not None}))
    in_script = any(message.startswith("__main__:") for message in messages)
    try:
        yield from run_in_pool(
            workers, train_planned, tasks, needs_script=in_script, ready=Ready(messages)
        )
    except RuntimeError as error:
        warnings.warn(f"{error} The sweep runs in this process alone.", stacklevel=5)
        yield from _in_this_process(tasks)


def _in_this_process(tasks: list[tuple[Any, ...]]) -> Iterator[Event]:
    with _one_thread():
        for number, task in enumerate(tasks):
            steps: list[Event] = []
            try:
                train_planned(lambda: steps.append(Event(number, "progress")), *task)  # noqa: B023
                yield from steps
                yield Event(number, "done")
            except BlockingIOError:
                yield Event(number, "busy")
            except (Exception, SystemExit) as error:
                yield Event(number, "failed", reason_of(error), repr(error))


@contextmanager
def _one_thread() -> Iterator[None]:
    """As in a worker, so that the same sweep gives the same numbers."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
