"""Threads that share the tasks of a kernel.

Kernels release the interpreter's lock, so ordinary threads run them side by side. There are as
many as PyTorch uses (``torch.set_num_threads``); a forked process starts its own.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

CHUNKS = 8  # pieces a thread, so that a thread that is held up does not hold up the others

_pools: dict[int, ThreadPoolExecutor] = {}
os.register_at_fork(after_in_child=_pools.clear)


def share(kernel: Callable[..., None], tasks: int, *arguments: Any) -> None:
    """``kernel(*arguments, start, stop)`` for all tasks, on as many threads as PyTorch uses."""
    threads = min(torch.get_num_threads(), tasks)
    if threads <= 1:
        kernel(*arguments, 0, tasks)
        return
    pieces = min(threads * CHUNKS, tasks)
    numbers = itertools.count()

    def work() -> None:
        while (piece := next(numbers)) < pieces:
            kernel(*arguments, tasks * piece // pieces, tasks * (piece + 1) // pieces)

    if threads not in _pools:
        _pools[threads] = ThreadPoolExecutor(threads - 1, thread_name_prefix="relmp")
    others = [_pools[threads].submit(work) for _ in range(threads - 1)]
    work()
    for other in others:
        other.result()
