"""Threads that share the tasks of a kernel.

They are PyTorch's own: its OpenMP threads stay awake for milliseconds after every product, so
that any others would wait for a core. Where PyTorch has no OpenMP, Python's threads share the
tasks; kernels release the interpreter's lock.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

PIECES = 16  # of a thread's share, so that a thread that is held up does not hold up the others

_pools: dict[int, ThreadPoolExecutor] = {}
_forked = False


def share(kernel: Callable[..., None], tasks: int, *arguments: Any) -> None:
    """Do all tasks of a kernel, on as many threads as PyTorch uses.

    The kernel is given ``(*arguments, counter, step, tasks)`` on every thread, and takes its
    tasks off the counter, ``step`` at a time. Named tuples go there as plain ones, which numba
    takes in a fraction of a microsecond; the kernel names them again.
    """
    if not tasks:
        return
    threads = min(torch.get_num_threads(), tasks)
    step = max(1, tasks // (threads * PIECES))
    plain = (tuple(part) if isinstance(part, tuple) else part for part in arguments)
    packed = (*plain, np.zeros(1, dtype=np.int64), step, tasks)
    team = _team(threads)
    if team or threads == 1:
        kernel(packed, team, threads)
        return
    _on_all(threads, kernel, packed, 0, 1)


def share_phases(kernel: Callable[..., None], phases: int, *arguments: Any) -> None:
    """Do a kernel of several phases, each of which begins when the one before is done.

    It is given ``(*arguments, counters, begin, end, team, threads)``, has a counter for every
    phase, and does those from ``begin`` to ``end``.
    """
    threads = torch.get_num_threads()
    counters, team = np.zeros(phases, dtype=np.int64), _team(threads)
    if team or threads == 1:
        kernel(*arguments, counters, 0, phases, team, threads)
        return
    for phase in range(phases):
        _on_all(threads, kernel, *arguments, counters, phase, phase + 1, 0, 1)


def _team(threads: int) -> int:
    return 0 if threads == 1 or _forked else openmp()


def _on_all(threads: int, kernel: Callable[..., None], *arguments: Any) -> None:
    """Call a kernel on so many of Python's threads."""
    if threads not in _pools:
        _pools[threads] = ThreadPoolExecutor(threads - 1, thread_name_prefix="relmp")
    others = [_pools[threads].submit(kernel, *arguments) for _ in range(threads - 1)]
    kernel(*arguments)
    for other in others:
        other.result()


@cache
def openmp() -> int:
    """The address of ``GOMP_parallel`` in the OpenMP that PyTorch is linked to; 0 without."""
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        found = ctypes.CDLL(str(library)).GOMP_parallel
    except (OSError, AttributeError):
        return 0
    return ctypes.cast(found, ctypes.c_void_p).value or 0


def _after_fork() -> None:
    """A forked process has none of these threads, and OpenMP would wait for them forever."""
    global _forked
    _forked = True
    _pools.clear()


os.register_at_fork(after_in_child=_after_fork)
