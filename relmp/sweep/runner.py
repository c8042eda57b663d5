"""The runner: trains the runs of a plan in parallel, and goes on where it was stopped."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from relmp.checks import check_whole
from relmp.claim import Watch
from relmp.graphs import RelationalGraph
from relmp.machine import cores
from relmp.models.own.build import Builder
from relmp.progress import progress
from relmp.sweep.engines import ENGINES, Event, run_here, run_in_pool, run_on_ray
from relmp.sweep.jobs import Job, Jobs, Unit, label_of
from relmp.sweep.plan import over_graphs
from relmp.sweep.populations import PopulationSize, kept_populations, population_limits
from relmp.sweep.store import RunStore, collect
from relmp.sweep.work import Ready, Source, train_planned
from relmp.training.device import pick_device
from relmp.training.outside.start import check_patience
from relmp.training.run import check_fit
from relmp.training.run_config import RunConfig
from relmp.training.tracking import several

BUSY_SECONDS = 1.0
"""So often it is looked whether a run that another process has in hand has become free."""


def run_sweep(
    model: str | Builder = "mlp",
    *,
    graphs: Iterable[RelationalGraph],
    out: str | Path,
    data: Any = "digits",
    seeds: int | Iterable[int] = 5,
    width: int | None = None,
    data_folder: str | Path = "data",
    download: bool = False,
    device: str | None = None,
    engine: str = "local",
    workers: int | None = None,
    shard: str | None = None,
    population: PopulationSize = "auto",
    retries: int = 0,
    same_code: bool = False,
    show_progress: bool = True,
    track: str | Sequence[str] = (),
    **options: Any,
) -> pd.DataFrame:
    """Train every graph with every seed at equal cost, and return the table of all runs.

    The complete graph of as many nodes is always among the graphs. Runs that ``out`` already
    holds are not trained again; a stopped sweep goes on with the same call. More graphs or
    seeds may be added to a folder, other settings may not. Graphs over which no model of equal
    cost can be built are left out with a warning. A run that fails is named, the others go on.

    Args:
        model: A model, as of :func:`relmp.create_model`; one without a width keeps its cost, which
            a warning says.
        graphs: Relational graphs, all with the same number of nodes.
        out: Folder of the sweep.
        data: Name of a data set, or data as of :func:`relmp.train`, which are handed to the
            workers and not kept on disk.
        seeds: Seeds of initial weights and training; a number means so many, from 0.
        width: Width of the complete-graph model, whose FLOPs every model is matched to; the
            paper's by default.
        data_folder: Where the files of the data set lie.
        download: Whether missing files are fetched.
        device, engine, workers, shard, population, retries, same_code, show_progress, track:
            See :func:`run_plan`.
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
        engine=engine,
        workers=workers,
        shard=shard,
        population=population,
        retries=retries,
        same_code=same_code,
        show_progress=show_progress,
        track=track,
        budget=width,
    )


def run_plan(
    plan: Sequence[RunConfig],
    out: str | Path,
    *,
    data_folder: str | Path = "data",
    download: bool = False,
    device: str | None = None,
    engine: str = "local",
    workers: int | None = None,
    shard: str | None = None,
    population: PopulationSize = "auto",
    retries: int = 0,
    same_code: bool = False,
    show_progress: bool = True,
    track: str | Sequence[str] = (),
    budget: int | None = None,
) -> pd.DataFrame:
    """Train the runs of a plan, and return the table of all runs in the folder.

    Runs that ``out`` already holds are not trained again; a stopped plan goes on with the same
    call, and several processes that are given the same plan and folder share the work, on one
    machine or on many. A run that fails is named, with its traceback in its folder, and the others
    go on; the next call tries it again.

    Args:
        plan: The runs, of :func:`over_graphs`, :func:`grid` or your own.
        out: Folder of the sweep; every run has a folder in it that is named by its key.
        data_folder: Where the files of data sets lie.
        download: Whether missing files are fetched.
        device: Where to train; a GPU where there is one by default.
        engine: ``"local"``, processes of this machine; or ``"ray"``, the cluster of
            ``RAY_ADDRESS``, whose machines see ``out`` under the same path.
        workers: Processes, each with one thread; by default one a core on a CPU, and one on a
            GPU. 0 trains in this process, with one thread too.
        shard: ``"3/10"`` trains the third of ten parts of the plan; jobs that are given all ten
            and one folder train the whole.
        population: How many runs that see the same batches are trained as one round over the
            disjoint union of their graphs; 1 trains every run by itself, ``"auto"`` as many as a
            measured rule says. Numbers differ from those of single runs by the order in which they
            are added. Which runs were one is kept with the sweep.
        retries: How often a run that fails is tried again before it is given up.
        same_code: Whether messages and models of your own whose code has changed since the
            sweep was started do the same.
        show_progress: Whether progress is shown on the standard error stream.
        track: Who else is told of every record of every run: ``"tensorboard"``, or
            ``"package.module:Name"``, see :mod:`relmp.training.tracking`.
        budget: Recorded with the sweep, and compared where more runs are added.

    Raises:
        ValueError: If the plan holds a run twice, an argument is out of range, or the folder was
            started with others.
        OSError: If the folder cannot be written.
        RuntimeError: If a Ray cluster cannot be reached, or goes away.
    """
    plan = list(plan)
    _check_plan(plan)
    check_whole("retries", retries, 0)
    chosen = parse_shard(shard)
    if engine not in ENGINES:
        raise ValueError(f"Unknown engine '{engine}'; choose one of {', '.join(ENGINES)}.")
    source, picked = Source(str(Path(data_folder).resolve()), download), str(pick_device(device))
    limits, trackers = population_limits(population, picked), several(track)
    if not all(isinstance(tracker, str) for tracker in trackers):
        raise ValueError(
            "Trackers of a sweep are made by every run, so they are given as text: 'tensorboard', "
            "or package.module:Name."
        )
    for run in {(run.data, run.model.name): run for run in reversed(plan)}.values():
        check_fit(run.model.create(), source.load(run.data))  # before anything is written
        check_patience(run.training, source.load(run.data))
    store = RunStore(Path(out).resolve())
    store.start(plan, budget, same_code=same_code)
    units = kept_populations(store.path, plan, limits)[chosen]
    folders = store.folders(plan)
    epochs = [run.training.epochs for unit in units for run in unit]
    with progress(f"{len(epochs)} runs, epochs", sum(epochs), show=show_progress) as advance:
        found = [[Job(run, folders[run.key]) for run in unit] for unit in units]
        jobs = Jobs(found, advance, retries)
        if jobs.pending:
            number = workers
            if number is None and engine == "local":
                number = cores() if picked == "cpu" else 1
            _train_all(jobs, engine, number, (source, picked, same_code, trackers))
    return collect(out)


def parse_shard(shard: str | None) -> slice:
    """The part of a plan that ``"3/10"`` names: every tenth run (or group of runs that are trained
    as one), from the third.

    Raises:
        ValueError: If the text names no part.
    """
    if shard is None:
        return slice(None)
    number, _, count = shard.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ValueError(
            f"shard is written part/parts, such as 3/10, with a part from 1 to parts, but is "
            f"'{shard}'."
        )
    return slice(int(number) - 1, None, int(count))


def _check_plan(plan: list[RunConfig]) -> None:
    if not plan:
        raise ValueError("The plan holds no runs.")
    seen: dict[str, RunConfig] = {}
    for run in plan:
        if run.key in seen:
            raise ValueError(
                f"The plan holds the run {run.key} twice ({label_of(run)}); list every run once."
            )
        seen[run.key] = run


def _train_all(jobs: Jobs, engine: str, workers: int | None, settings: tuple[Any, ...]) -> None:
    watch = Watch()
    while jobs.pending:
        handed = jobs.hand_out()
        for event in _events(handed, engine, workers, settings):
            jobs.take(event, handed[event.task])
        # Other processes have these in hand; wait for one, or do what they leave.
        while jobs.busy and not jobs.pending:
            for job in chain.from_iterable(jobs.busy):
                watch.free_abandoned(job.folder.path)
            jobs.free_again()
            if not jobs.pending:
                time.sleep(BUSY_SECONDS)
    jobs.warn_of_failures(stacklevel=4)


def _events(
    units: list[Unit], engine: str, workers: int | None, settings: tuple[Any, ...]
) -> Iterator[Event]:
    tasks = [(tuple(job.described() for job in unit), *settings) for unit in units]
    if workers == 0:
        yield from run_here(train_planned, tasks)
        return
    ready = Ready.of(job.run for unit in units for job in unit)
    if engine == "ray":
        on_gpu = 0.0 if settings[1] == "cpu" else 1.0
        yield from run_on_ray(
            workers, train_planned, tasks, ready=ready,
            steps=lambda number: sum(job.epochs_done() for job in units[number]), gpus=on_gpu,
        )  # fmt: skip
        return
    try:
        yield from run_in_pool(
            workers or 1,
            train_planned,
            tasks,
            needs_script=ready.needs_script,
            ready=ready,
            fork=settings[1] == "cpu",
        )
    except RuntimeError as error:
        warnings.warn(f"{error} The sweep runs in this process alone.", stacklevel=5)
        yield from run_here(train_planned, tasks)
