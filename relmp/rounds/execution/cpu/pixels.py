"""Which pixels a pixel sees: a convolution is message passing between pixels, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
CHUNK = 64  # pixels whose two sides of a weight gradient stay in the nearest caches


class Taps(NamedTuple):
    """For every pixel of one side, the pixels of the other that it sees, and by which tap."""

    ptr: Numbers
    other: Numbers
    tap: Numbers


class Pairs(NamedTuple):
    """The pixels that a tap joins, in chunks of output pixels; ``ptr [chunks, taps + 1]``."""

    ptr: Numbers
    out: Numbers
    into: Numbers


@dataclass(frozen=True)
class Geometry:
    """A convolution of images of one size; ``padding`` is what lies above and to the left."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    image: tuple[int, int]
    output: tuple[int, int]

    @classmethod
    def of(cls, numbers: Sequence[int]) -> Geometry:
        """The inverse of :meth:`flatten`."""
        return cls(*((numbers[i], numbers[i + 1]) for i in range(0, 12, 2)))

    def flatten(self) -> list[int]:
        """Twelve numbers, for an operator."""
        pairs = (self.kernel, self.stride, self.padding, self.dilation, self.image, self.output)
        return [number for pair in pairs for number in pair]


@lru_cache(maxsize=256)
def forward_taps(geometry: Geometry) -> Taps:
    """What every output pixel sees of the input."""
    out, into, tap = _joined(geometry)
    return _taps(out, into, tap, geometry.output[0] * geometry.output[1])


@lru_cache(maxsize=256)
def backward_taps(geometry: Geometry) -> Taps:
    """By which output pixels every input pixel is seen."""
    out, into, tap = _joined(geometry)
    return _taps(into, out, tap, geometry.image[0] * geometry.image[1])


@lru_cache(maxsize=256)
def tap_pairs(geometry: Geometry) -> Pairs:
    """The pairs of pixels that share a weight."""
    out, into, tap = _joined(geometry)
    taps = geometry.kernel[0] * geometry.kernel[1]
    chunks = max(1, -(-geometry.output[0] * geometry.output[1] // CHUNK))
    order = np.lexsort((out, tap, out // CHUNK))
    out, into, tap = out[order], into[order], tap[order]
    counts = np.bincount(out // CHUNK * taps + tap, minlength=chunks * taps)
    ends = np.cumsum(counts).reshape(chunks, taps)
    starts = np.concatenate([[0], ends[:-1, -1]])
    return Pairs(np.ascontiguousarray(np.column_stack([starts, ends])), out, into)


def _joined(geometry: Geometry) -> tuple[Numbers, Numbers, Numbers]:
    """All triples of output pixel, input pixel and tap."""
    rows, columns = (_joined_along(geometry, axis) for axis in (0, 1))
    row, column = (part.ravel() for part in np.indices((len(rows[0]), len(columns[0]))))
    out, into, tap = (
        rows[i][row] * size + columns[i][column]
        for i, size in enumerate((geometry.output[1], geometry.image[1], geometry.kernel[1]))
    )
    return out, into, tap


def _joined_along(geometry: Geometry, axis: int) -> tuple[Numbers, Numbers, Numbers]:
    out, tap = np.indices((geometry.output[axis], geometry.kernel[axis])).reshape(2, -1)
    into = out * geometry.stride[axis] + tap * geometry.dilation[axis] - geometry.padding[axis]
    inside = (into >= 0) & (into < geometry.image[axis])
    return out[inside], into[inside], tap[inside]


def _taps(one: Numbers, other: Numbers, tap: Numbers, count: int) -> Taps:
    order = np.lexsort((tap, one))
    ptr = np.concatenate([[0], np.cumsum(np.bincount(one, minlength=count))])
    return Taps(ptr, np.ascontiguousarray(other[order]), np.ascontiguousarray(tap[order]))
