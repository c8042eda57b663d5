"""Sets of neighbours as bits of words: what the compiled kernels are made of."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
import numpy.typing as npt
from numba.core import types
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])

Words = npt.NDArray[np.uint32]
"""A stream of random words."""

Rows = npt.NDArray[np.uint64]
"""``[n, words]``: bit j of row i says whether i and j are neighbours."""


def compiled(function: F) -> F:
    """Compile a kernel that releases the interpreter lock, cached on disk where that works."""
    try:
        kernel: F = numba.njit(function, cache=True, nogil=True)
    except RuntimeError:  # no folder that a cache may be written to
        kernel = numba.njit(function, nogil=True)
    return kernel


def random_words(seed: int, count: int) -> Words:
    """The first ``count`` 32-bit words that ``random.Random(seed)`` draws."""
    return np.frombuffer(random.Random(seed).randbytes(4 * count), dtype="<u4")


@intrinsic  # type: ignore[untyped-decorator]
def bit_count(typing_context: Any, word: Any) -> Any:
    """How many bits of a word are set."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def lowest_bit(typing_context: Any, word: Any) -> Any:
    """The place of the lowest set bit of a word that is not zero."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], context.get_constant(types.boolean, True))

    return types.uint64(types.uint64), codegen


ONE = np.uint64(1)
LAST = np.uint64(63)
DISCONNECTED = -1


def pack_arcs(n: int, source: npt.NDArray[np.int64], target: npt.NDArray[np.int64]) -> Rows:
    """Bit j of row i says whether i -> j is an arc."""
    rows = np.zeros((n, (n + 63) // 64), dtype=np.uint64)
    bits = np.uint64(1) << (target.astype(np.uint64) & LAST)
    np.bitwise_or.at(rows, (source, target >> 6), bits)
    return rows


def unpack(rows: Rows) -> npt.NDArray[np.int64]:
    """``[2, E]``: both directions of every edge of these neighbour sets."""
    bits = np.unpackbits(rows.astype("<u8").view(np.uint8), axis=1, bitorder="little")
    return np.stack(np.nonzero(bits)).astype(np.int64)
