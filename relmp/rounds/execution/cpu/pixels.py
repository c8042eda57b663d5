"""Which pixels a pixel sees: a convolution is message passing between pixels, too."""

from __future__ import annotations

import itertools
from dataclasses import replace
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


class Tiles(NamedTuple):
    """Into which parts an image is cut: rows and columns of them, where the first one begins, from
    one to the next, and the pixels of each; parts may overlap and reach over the border."""

    rows: int
    columns: int
    origin: tuple[int, int]
    step: tuple[int, int]
    size: tuple[int, int]

    @property
    def parts(self) -> int:
        return self.rows * self.columns

    def margins(self, height: int, width: int) -> list[int]:
        """What is added on the left and right, above and below, so that all parts are inside; cut
        off where it is negative, as for ``torch.nn.functional.pad``."""
        found: list[int] = []
        for axis, count, length in ((1, self.columns, width), (0, self.rows, height)):
            reached = (count - 1) * self.step[axis] + self.size[axis] + self.origin[axis]
            found += [-self.origin[axis], reached - length]
        return found


class Cut(NamedTuple):
    """A convolution of images in parts: how they are cut before and behind it, and what it is for a
    part."""

    before: Tiles
    behind: Tiles
    convolution: Convolution


@lru_cache(maxsize=1024)
def cut(convolution: Convolution, images: int, lanes: int) -> Cut | None:
    """How few images are cut into parts that fill the lanes of a vector; None where that would not
    save work. What a part sees of others is in both, so that the output falls into parts."""
    if not 0 < images < lanes or not min(convolution.output):
        return None
    joined = len(tap_pairs(convolution).out)
    least, best = lanes * (joined + convolution.image[0] * convolution.image[1]), None
    for rows, columns in itertools.product(*map(_divisors, convolution.output)):
        found = _cut(convolution, rows, columns)
        taps = convolution.kernel[0] * convolution.kernel[1]
        pairs = found.behind.size[0] * found.behind.size[1] * taps
        filled = -(-images * rows * columns // lanes) * lanes
        work = filled * (pairs + found.before.size[0] * found.before.size[1])
        if rows * columns > 1 and work < least:
            least, best = work, found
    return best


def _divisors(number: int) -> list[int]:
    return [part for part in range(1, number + 1) if number % part == 0]


def _cut(convolution: Convolution, rows: int, columns: int) -> Cut:
    part = (convolution.output[0] // rows, convolution.output[1] // columns)
    axes = list(
        zip(part, convolution.kernel, convolution.stride, convolution.dilation, strict=True)
    )
    size_y, size_x = ((n - 1) * stride + (k - 1) * gap + 1 for n, k, stride, gap in axes)
    step_y, step_x = (n * stride for n, _, stride, _ in axes)
    origin = (-convolution.padding[0], -convolution.padding[1])
    return Cut(
        Tiles(rows, columns, origin, (step_y, step_x), (size_y, size_x)),
        Tiles(rows, columns, (0, 0), part, part),
        replace(convolution, padding=(0, 0), image=(size_y, size_x), output=part),
    )


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
