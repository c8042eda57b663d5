"""Memory that kernels work in, kept from call to call: fresh memory would cost page faults.

All of it begins at a cache line, so that no vector lies across two.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections import deque
from typing import Any

import numpy as np
import torch
from torch import Tensor

SCRATCH_BYTES = 2**25
"""Up to this size memory is kept for the next call, one piece for every place and thread."""
LINE_BYTES = 64


class Scratch(threading.local):
    """Room that is needed for the length of a call only."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, Any], Any] = {}

    def array(self, count: int, dtype: Any, place: str) -> Any:
        """So many numbers, or more; a place holds one array at a time."""
        found = self.kept.get((place, dtype))
        if found is not None and len(found) >= count:
            return found
        size = count * np.dtype(dtype).itemsize
        fresh = _aligned(size).view(dtype)
        if fresh.nbytes <= SCRATCH_BYTES:
            self.kept[place, dtype] = fresh
        return fresh


class Pool:
    """Room for tensors that outlive a call: what one leaves behind is taken for the next one.

    The steps of a training need the same sizes again and again. What is kept and what is in use
    never exceed together what was once in use at the same time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: deque[Any] = deque()  # given back, from whatever thread and at any moment
        self._idle: dict[int, list[Any]] = {}
        self._idle_bytes = self._used_bytes = self._most_bytes = 0
        self._watched: dict[int, Any] = {}
        self._numbers = itertools.count()

    def tensor(self, numbers: int, dtype: torch.dtype) -> Tensor:
        """A flat tensor of so many numbers, whatever they are."""
        size = numbers * dtype.itemsize
        if not size:
            return torch.empty(0, dtype=dtype)
        with self._lock:
            room, number = self._take(size), next(self._numbers)
            view = room[:]  # dies with the storage of the tensor, which holds it
            self._watched[number] = weakref.ref(view, _giver(self._left, number, room))
        return torch.from_numpy(view).view(dtype)

    def release(self) -> None:
        """Let go of what is not in use."""
        with self._lock:
            self._collect()
            self._idle.clear()
            self._idle_bytes, self._most_bytes = 0, self._used_bytes

    def _take(self, size: int) -> Any:
        self._collect()
        fitting = self._idle.get(size)
        if fitting:
            self._idle_bytes -= size
        self._used_bytes += size
        self._most_bytes = max(self._most_bytes, self._used_bytes)
        room = fitting.pop() if fitting else _aligned(size)
        self._forget()
        return room

    def _collect(self) -> None:
        while self._left:
            number, room = self._left.popleft()
            del self._watched[number]
            self._used_bytes -= len(room)
            self._idle_bytes += len(room)
            self._idle.setdefault(len(room), []).append(room)

    def _forget(self) -> None:
        """Let go of idle memory until no more is held than was once in use."""
        for size in list(self._idle):
            while self._idle[size] and self._idle_bytes + self._used_bytes > self._most_bytes:
                self._idle[size].pop()
                self._idle_bytes -= size
            if not self._idle[size]:
                del self._idle[size]


def _giver(left: deque[Any], number: int, room: Any) -> Any:
    return lambda _: left.append((number, room))


def _aligned(size: int) -> Any:
    """So many bytes from the start of a cache line on."""
    room = np.empty(size + LINE_BYTES, dtype=np.uint8)
    first = -room.ctypes.data % LINE_BYTES
    return room[first : first + size]


scratch = Scratch()
pool = Pool()
