"""Timing steps side by side, and the peak memory of one."""

from __future__ import annotations

import ctypes
import math
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from relmp.checks import check_whole
from relmp.machine import processor, processor_family
from relmp.rounds.execution.cpu.scratch import pool
from relmp.rounds.execution.rule import execution_table

Step = Callable[[], object]

WARM_SECONDS = 0.01
"""OpenMP threads of another library, which spin for work, have gone to sleep after so long."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds of a step: the median, and the quartiles on both sides."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"


def use_threads(threads: int | None) -> None:
    """Compute in so many threads; None leaves the choice to PyTorch.

    Raises:
        ValueError: If it is no number of threads.
    """
    if threads is not None:
        check_whole("threads", threads, 1, 2**16)
        torch.set_num_threads(threads)


def interleaved(steps: Mapping[str, Step], *, repeats: int, seconds: float) -> dict[str, Timing]:
    """Time steps that take turns, so that what else the machine does meets all of them.

    In its turn a step runs untimed for some milliseconds, at least once, and is then timed
    once: the first brings its numbers, memory and threads back from where others left them.

    Args:
        steps: What to time, by name.
        repeats: How many turns; three at least.
        seconds: No further turn begins after so long.

    Raises:
        ValueError: If there are fewer turns than three.
    """
    check_whole("repeats", repeats, 3, meaning="turns of a measurement")
    for step in steps.values():
        step()  # compiles, allocates
    times: dict[str, list[float]] = {name: [] for name in steps}
    began = time.perf_counter()
    for turn in range(repeats):
        if turn >= 3 and time.perf_counter() - began > seconds:
            break
        for name, step in steps.items():
            warm = time.perf_counter() + WARM_SECONDS
            step()
            while time.perf_counter() < warm:
                step()
            start = time.perf_counter()
            step()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: _timing(record) for name, record in times.items()}


def _timing(record: list[float]) -> Timing:
    low, median, high = statistics.quantiles(record, n=4, method="inclusive")
    return Timing(median, low, high)


def peak_megabytes(make: Callable[..., Step], *arguments: Any) -> float:
    """How far one step raises the memory of a fresh process, in MB; NaN where unknown.

    Args:
        make: Builds the step, with all that outlives it; importable by another process.
        arguments: What it is given.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as process:
        return process.apply(_peak, (make, arguments))


def _peak(make: Callable[..., Step], arguments: tuple[Any, ...]) -> float:
    step = make(*arguments)
    step()  # code and tables are loaded by the first one
    pool.release()  # kernels keep what the step has left for the next one
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what it freed is given back, so that it counts again
        Path("/proc/self/clear_refs").write_text("5")  # the highest mark begins anew
    except (AttributeError, OSError):
        return math.nan
    before = _status("VmRSS")
    step()
    return (_status("VmHWM") - before) / 1024


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def machine() -> dict[str, Any]:
    """Where and with what was measured, and by which table ``"auto"`` has chosen."""
    cpu = torch.backends.cpu.get_cpu_capability()
    return {
        "processor": f"{processor()}, {cpu}",
        "family": processor_family(),
        "threads": torch.get_num_threads(),
        "execution_table": execution_table().name,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "torch_geometric", "numba")},
    }


def text_of_machine() -> str:
    """The same for people: the processor, and whether the table is for it."""
    said = machine()
    return (
        f"Processor: {said['processor']}, {said['threads']} threads\n"
        f"Table of execution='auto': {execution_table().describe()}"
    )
