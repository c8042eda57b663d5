"""The runner: trains the runs of a plan in parallel, and goes on where it was stopped."""

from __future__ import annotations

import concurrent.futures as futures
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from relmp.graphs import RelationalGraph
from relmp.models import ModelConfig, models
from relmp.models.factory import check_options
from relmp.progress import Advance, progress
from relmp.rounds import resolve_message
from relmp.sweep.plan import PlannedRun, plan_sweep
from relmp.sweep.store import SWEEP_FILE, collect
from relmp.training.config import Settings, TrainConfig, make_config
from relmp.training.data import DataSet
from relmp.training.device import pick_device
from relmp.training.folder import RunFolder, write_or_compare
from relmp.training.loop import Record
from relmp.training.run import check_fit, data_of, derived, train_in_folder


def run_sweep(
    model: str = "mlp",
    *,
    graphs: Iterable[RelationalGraph],
    out: str | Path,
    data: str = "digits",
    seeds: Iterable[int] = range(5),
    width: int | None = None,
    data_folder: str | Path = "data",
    download: bool = False,
    device: str | None = None,
    workers: int | None = None,
    show_progress: bool = True,
    **options: Any,
) -> pd.DataFrame:
    """Train every graph with every seed at equal cost, and return the table of all runs.

    The complete graph of as many nodes is always among the graphs. Runs that ``out`` already
    holds are not trained again; a stopped sweep goes on with the same call. More graphs or
    seeds may be added to a folder, other settings may not. Graphs over which no model of equal
    cost can be built are left out with a warning.

    Args:
        model: Name of a model.
        graphs: Relational graphs, all with the same number of nodes.
        out: Folder of the sweep.
        data: Name of a data set.
        seeds: Seeds of initial weights and training.
        width: Width of the complete-graph model, whose FLOPs every model is matched to; the
            paper's by default.
        data_folder: Where the files of the data set lie.
        download: Whether missing files are fetched.
        device: Where to train; a GPU where there is one by default.
        workers: Processes; by default one a core on a CPU, each with one thread, and one on a
            GPU.
        show_progress: Whether progress is shown on the standard error stream.
        **options: Settings of training as those of :func:`relmp.train` (``epochs=``, ``lr=``,
            ``optimizer=``, ...), and options of the model (``message=``, ``aggr=``, ...).

    Raises:
        ValueError: For settings out of range, or a folder that was started with others.
        OSError: If the folder cannot be written.
    """
    if "seed" in options:
        raise ValueError(
            f"A sweep takes seeds=, several of them; seed={options['seed']} was given."
        )
    settings = {name: options.pop(name) for name in Settings.__annotations__ if name in options}
    training = make_config(data, settings)
    try:
        check_options(model, models[model], options)
    except ValueError as error:
        names = ", ".join(name for name in Settings.__annotations__ if name != "seed")
        raise ValueError(f"{error} The settings of training are {names}.") from None
    source = _DataSource(training, str(data_folder), download)
    loaded = source.load()
    runs = plan_sweep(
        model,
        graphs=graphs,
        seeds=seeds,
        data=loaded,
        training=training,
        width=width,
        options=options,
    )
    described = runs[0].config["model"]
    check_fit(ModelConfig.from_dict(described).create(), loaded)  # before anything is written
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    described_sweep = {
        "model": model,
        "width": width,
        "options": {k: v for k, v in described["options"].items() if k != "width"},
        "training": {k: v for k, v in training.to_dict().items() if k != "seed"},
    }
    write_or_compare(folder / SWEEP_FILE, described_sweep)
    picked = str(pick_device(device))
    total = len(runs) * training.epochs
    with progress(f"{len(runs)} runs, epochs", total, show=show_progress) as advance:
        pending = []
        for run in runs:
            done = len(RunFolder(folder / run.key).records())
            advance(done)
            if done < training.epochs:
                pending.append(run)
        if pending:
            _train_all(folder, pending, source, picked, workers, advance)
    return collect(folder)


@dataclass(frozen=True)
class _DataSource:
    training: TrainConfig
    folder: str
    download: bool

    def load(self) -> DataSet:
        return data_of(self.training, self.training.data, self.folder, download=self.download)


@lru_cache(maxsize=1)
def _loaded(source: _DataSource) -> DataSet:
    return source.load()


def _train_all(
    folder: Path,
    runs: list[PlannedRun],
    source: _DataSource,
    device: str,
    workers: int | None,
    advance: Advance,
) -> None:
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if device == "cpu" else 1
    train = _in_this_process if min(workers, len(runs)) == 1 else partial(_in_workers, workers)
    failures, busy = train(folder, runs, source, device, advance, wait=False)
    if busy:  # another process had them in hand; wait for it, or do what it left
        more, _ = train(folder, busy, source, device, advance, wait=True)
        failures += more
    if failures:
        warnings.warn(
            f"{len(failures)} of {len(runs)} runs failed and are not in the table; the first: "
            f"{failures[0]}",
            stacklevel=3,
        )


def _in_this_process(
    folder: Path,
    runs: list[PlannedRun],
    source: _DataSource,
    device: str,
    advance: Advance,
    *,
    wait: bool,
) -> tuple[list[str], list[PlannedRun]]:
    failures, busy = [], []
    for run in runs:
        try:
            _train_run(folder / run.key, run.config, source, device, lambda _: advance(), wait)
        except FloatingPointError as error:
            failures.append(f"{run.graph.name}, seed {run.seed}: {error}")
        except BlockingIOError:
            busy.append(run)
    return failures, busy


def _in_workers(
    workers: int,
    folder: Path,
    runs: list[PlannedRun],
    source: _DataSource,
    device: str,
    advance: Advance,
    *,
    wait: bool,
) -> tuple[list[str], list[PlannedRun]]:
    # Forking after OpenMP has started kills the child, so workers are spawned.
    context = multiprocessing.get_context("spawn")
    epochs, stop = context.SimpleQueue(), context.Event()
    failures, busy = [], []
    with futures.ProcessPoolExecutor(
        min(workers, len(runs)), context, _start_worker, (epochs, stop)
    ) as pool:
        with _script_left_out(runs):
            refusal = pool.submit(_why_not_here, runs[0].config["model"]["options"]).result()
            if refusal is not None:
                warnings.warn(f"{refusal} The sweep runs in this process alone.", stacklevel=2)
                return _in_this_process(folder, runs, source, device, advance, wait=wait)
            jobs = {
                pool.submit(_work, folder / run.key, run.config, source, device, wait): run
                for run in runs
            }
        open_jobs = set(jobs)
        try:
            while open_jobs:
                done, open_jobs = futures.wait(open_jobs, 0.2, futures.FIRST_COMPLETED)
                while not epochs.empty():
                    epochs.get()
                    advance()
                for job in done:
                    run = jobs[job]
                    try:
                        job.result()
                    except FloatingPointError as error:
                        failures.append(f"{run.graph.name}, seed {run.seed}: {error}")
                    except BlockingIOError:
                        busy.append(run)
        except BaseException:
            # Ctrl-C, a full disk, a worker that died: let the workers end their epoch.
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failures, busy


@contextmanager
def _script_left_out(runs: list[PlannedRun]) -> Iterator[None]:
    """Keep the workers that start meanwhile from running the user's script again.

    Spawned processes import the script that started them. Workers need it only for a message
    that is defined in it; otherwise the script may train and plot at its top level.
    """
    main = sys.modules["__main__"]
    kept: dict[str, Any] = {
        name: vars(main)[name] for name in ("__file__", "__spec__") if name in vars(main)
    }
    wanted = "'__main__:" in str(runs[0].config["model"]["options"])
    if not wanted or not Path(kept.get("__file__", "")).is_file():  # "<stdin>" is no file
        main.__spec__ = None
        vars(main).pop("__file__", None)
    try:
        yield
    finally:
        vars(main).update(kept)


def _why_not_here(options: Mapping[str, Any]) -> str | None:
    """Why a worker cannot make the message of a sweep, or None."""
    message = options.get("message")
    try:
        resolve_message(message or "linear")
    except ValueError as error:
        return f"Workers cannot make the message: {error}"
    return None


def _train_run(
    path: Path,
    config: Mapping[str, Any],
    source: _DataSource,
    device: str,
    report: Callable[[Record], None],
    wait: bool,
) -> None:
    data = _loaded(source)
    model = ModelConfig.from_dict(config["model"]).create()
    folder = RunFolder(path)
    folder.start({**config, **derived(model, data)})
    training = TrainConfig.from_dict(config["training"])
    with folder.lock(wait=wait):
        train_in_folder(folder, model, data, training, torch.device(device), report)


class _Stopped(BaseException):
    """The sweep was stopped; raised in a worker after the epoch in hand."""


_epochs: SimpleQueue[int]
_stop: Event


def _start_worker(epochs: SimpleQueue[int], stop: Event) -> None:
    global _epochs, _stop
    _epochs, _stop = epochs, stop
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(
    path: Path, config: Mapping[str, Any], source: _DataSource, device: str, wait: bool
) -> None:
    def report(record: Record) -> None:
        _epochs.put(record["epoch"])
        if _stop.is_set():
            raise _Stopped

    _train_run(path, config, source, device, report, wait)
