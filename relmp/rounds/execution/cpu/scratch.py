"""Memory that kernels work in, kept from call to call."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

SCRATCH_BYTES = 2**25
"""Up to this size memory is kept for the next call, one piece for every place and thread."""


class Scratch(threading.local):
    """Lanes are needed for the length of a call only; fresh memory would cost page faults."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, Any], Any] = {}

    def array(self, count: int, dtype: Any, place: str) -> Any:
        """So many numbers, or more; a place holds one array at a time."""
        found = self.kept.get((place, dtype))
        if found is not None and len(found) >= count:
            return found
        fresh = np.empty(count, dtype=dtype)
        if fresh.nbytes <= SCRATCH_BYTES:
            self.kept[place, dtype] = fresh
        return fresh


scratch = Scratch()
