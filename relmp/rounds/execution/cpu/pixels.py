"""Which pixels a pixel sees: a convolution is message passing between pixels, too."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from relmp.rounds.execution.convolution import Convolution

Indices = npt.NDArray[np.int64]
CHUNK = 64  # pixels whose two sides of a weight gradient stay in the nearest caches


class Taps(NamedTuple):
    """For every pixel of one side, the pixels of the other that it sees, and by which tap."""

    ptr: Indices
    other: Indices
    tap: Indices


class Pairs(NamedTuple):
    """The pixels that a tap joins, in chunks of output pixels; ``ptr [chunks, taps + 1]``."""

    ptr: Indices
    out: Indices
    into: Indices


@lru_cache(maxsize=256)
def forward_taps(convolution: Convolution) -> Taps:
    """What every output pixel sees of the input."""
    out, into, tap = _joined(convolution)
    return _taps(out, into, tap, convolution.output[0] * convolution.output[1])


@lru_cache(maxsize=256)
def backward_taps(convolution: Convolution) -> Taps:
    """By which output pixels every input pixel is seen."""
    out, into, tap = _joined(convolution)
    return _taps(into, out, tap, convolution.image[0] * convolution.image[1])


@lru_cache(maxsize=256)
def tap_pairs(convolution: Convolution) -> Pairs:
    """The pairs of pixels that share a weight."""
    out, into, tap = _joined(convolution)
    taps = convolution.kernel[0] * convolution.kernel[1]
    chunks = max(1, -(-convolution.output[0] * convolution.output[1] // CHUNK))
    order = np.lexsort((out, tap, out // CHUNK))
    out, into, tap = out[order], into[order], tap[order]
    counts = np.bincount(out // CHUNK * taps + tap, minlength=chunks * taps)
    ends = np.cumsum(counts).reshape(chunks, taps)
    starts = np.concatenate([[0], ends[:-1, -1]])
    return Pairs(np.ascontiguousarray(np.column_stack([starts, ends])), out, into)


def _joined(convolution: Convolution) -> tuple[Indices, Indices, Indices]:
    """All triples of output pixel, input pixel and tap."""
    rows, columns = (_joined_along(convolution, axis) for axis in (0, 1))
    row, column = (part.ravel() for part in np.indices((len(rows[0]), len(columns[0]))))
    widths = (convolution.output[1], convolution.image[1], convolution.kernel[1])
    out, into, tap = (rows[i][row] * size + columns[i][column] for i, size in enumerate(widths))
    return out, into, tap


def _joined_along(convolution: Convolution, axis: int) -> tuple[Indices, Indices, Indices]:
    out, tap = np.indices((convolution.output[axis], convolution.kernel[axis])).reshape(2, -1)
    into = (
        out * convolution.stride[axis]
        + tap * convolution.dilation[axis]
        - convolution.padding[axis]
    )
    inside = (into >= 0) & (into < convolution.image[axis])
    return out[inside], into[inside], tap[inside]


def _taps(one: Indices, other: Indices, tap: Indices, count: int) -> Taps:
    order = np.lexsort((tap, one))
    ptr = np.concatenate([[0], np.cumsum(np.bincount(one, minlength=count))])
    return Taps(ptr, np.ascontiguousarray(other[order]), np.ascontiguousarray(tap[order]))
