"""Memory that is kept for the next call."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

scratch = pytest.importorskip("relmp.rounds.execution.cpu.scratch")


def test_what_a_tensor_leaves_behind_is_taken_for_the_next() -> None:
    pool = scratch.Pool()
    one = pool.tensor(1000, torch.float32)
    assert one.shape == (1000,)
    assert one.data_ptr() % 64 == 0
    place, view = one.data_ptr(), one.view(10, 100)[1:]
    del one
    other = pool.tensor(1000, torch.float32)
    assert other.data_ptr() != place  # a view is left
    del view
    gc.collect()
    third = pool.tensor(500, torch.float64)
    assert third.data_ptr() == place
    assert third.dtype == torch.float64


def test_no_more_is_held_than_was_in_use_at_once() -> None:
    pool = scratch.Pool()
    for numbers in range(1000, 1100):
        pool.tensor(numbers, torch.float32)
    kept = [pool.tensor(1000, torch.float32) for _ in range(5)]
    del kept
    for numbers in range(2000, 2020):
        pool.tensor(numbers, torch.float32)
        assert pool._idle_bytes + pool._used_bytes <= pool._most_bytes <= 5 * 4000 + 8400


def test_idle_memory_can_be_let_go_of() -> None:
    pool = scratch.Pool()
    kept, gone = (pool.tensor(1000, torch.float32) for _ in range(2))
    kept.fill_(1)
    del gone
    pool.release()
    assert (pool._idle_bytes, pool._used_bytes, pool._most_bytes) == (0, 4000, 4000)
    pool.tensor(1000, torch.float32).zero_()
    assert (kept == 1).all()


def test_tensors_of_several_threads_are_different() -> None:
    pool = scratch.Pool()

    def fill(number: int) -> bool:
        for _ in range(200):
            own = pool.tensor(64, torch.float32).fill_(number)
            if not bool((own == number).all()):
                return False
        return True

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(fill, range(4)))


def test_nothing_is_nothing() -> None:
    assert scratch.Pool().tensor(0, torch.float32).numel() == 0
