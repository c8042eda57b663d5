"""Which pixels a pixel sees: a convolution is message passing between pixels, too."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

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


class Grid(NamedTuple):
    """Every image is cut into so many rows and columns of parts, all of one size."""

    rows: int
    columns: int

    @property
    def parts(self) -> int:
        return self.rows * self.columns


WHOLE = Grid(1, 1)


@lru_cache(maxsize=1024)
def grid_of(size: tuple[int, int], images: int, lanes: int) -> Grid:
    """How images of this size are cut where they are too few to fill the lanes of a vector: with
    the least work for 3 x 3 pixels. Nothing else decides, so that what is added up fits."""
    if not 0 < images < lanes or not min(size):
        return WHOLE

    def work(grid: Grid) -> int:
        tall, wide = size[0] // grid.rows, size[1] // grid.columns
        taps = [3 * n - 2 * (parts == 1) for n, parts in ((tall, grid.rows), (wide, grid.columns))]
        seen = [n + 2 * (parts > 1) for n, parts in ((tall, grid.rows), (wide, grid.columns))]
        filled = -(-images * grid.parts // lanes)
        return filled * (math.prod(taps) + math.prod(seen))

    return min(itertools.starmap(Grid, itertools.product(*map(_divisors, size))), key=work)


def _divisors(number: int) -> list[int]:
    return [part for part in range(1, number + 1) if number % part == 0]


class Seen(NamedTuple):
    """Where that lies among parts of images which other parts see.

    Shapes:
        - **block**, **place**, **lane** ``[pixels, lanes]``: the block, the pixel there times the
          width of a block, and the lane of the block; it is -1 outside the image.
        - **is_straight** ``[pixels, blocks]``: whether all lanes of a block see one pixel, each
          that of the lane itself.
    """

    block: npt.NDArray[np.int32]
    place: npt.NDArray[np.int32]
    lane: npt.NDArray[np.int32]
    is_straight: npt.NDArray[np.bool_]


@lru_cache(maxsize=1024)
def of_part(convolution: Convolution, grid: Grid) -> Convolution:
    """By which a part of the output is made of what it sees: where an axis is cut, the margins,
    too, instead of padding."""
    ends = []
    for axis, parts in enumerate(grid):
        padding, image, output = (
            pair[axis] for pair in (convolution.padding, convolution.image, convolution.output)
        )
        if parts > 1:
            output //= parts
            reach = (convolution.kernel[axis] - 1) * convolution.dilation[axis]
            padding, image = 0, (output - 1) * convolution.stride[axis] + reach + 1
        ends.append((padding, image, output))
    (top, left), (height, width), (rows, columns) = zip(*ends, strict=True)
    return replace(convolution, padding=(top, left), image=(height, width), output=(rows, columns))


@lru_cache(maxsize=64)
def seen_by(
    convolution: Convolution, before: Grid, behind: Grid, images: int, widths: tuple[int, int]
) -> Seen | None:
    """What parts of the output see of parts of the input; None where it is what lies in their
    lanes already.

    Args:
        convolution: That of whole images.
        before, behind: How images are cut.
        images: How many.
        widths: The lanes of a block, before and behind.
    """
    part = of_part(convolution, behind)
    height, width = convolution.image[0] // before.rows, convolution.image[1] // before.columns
    y, x = (_places(convolution, part, axis, behind[axis]) for axis in (0, 1))
    y, x = y[:, None, :, None], x[None, :, None, :]
    is_outside = (y < 0) | (y >= convolution.image[0]) | (x < 0) | (x >= convolution.image[1])
    tile, pixel = y // height * before.columns + x // width, y % height * width + x % width

    def flat(each: Any) -> Any:
        """``[rows, columns, height, width]`` of parts as ``[pixels, parts]``."""
        return np.broadcast_to(each, tile.shape).reshape(behind.parts, -1).T

    tile, pixel, is_outside = flat(tile), flat(pixel), flat(is_outside)
    first = np.repeat(np.arange(images) * before.parts, behind.parts)
    tile, pixel, is_outside = (np.tile(each, images) for each in (tile, pixel, is_outside))
    block, lane = np.divmod(first + tile, widths[0])
    block, place, lane = (
        np.ascontiguousarray(np.where(is_outside, other, each), dtype=np.int32)
        for each, other in ((block, 0), (pixel * widths[0], 0), (lane, -1))
    )
    starts = np.arange(0, lane.shape[1], widths[1])
    is_straight = (lane == np.arange(lane.shape[1]) % widths[1]) & (widths[0] == widths[1])
    for each in (block, place):
        is_straight &= each == np.repeat(each[:, starts], widths[1], axis=1)[:, : each.shape[1]]
    found = Seen(block, place, lane, np.logical_and.reduceat(is_straight, starts, axis=1))
    is_own = before == behind and part.image == (height, width) and found.is_straight.all()
    own_place = np.arange(len(place))[:, None] * widths[0]
    return None if is_own and (place == own_place).all() else found


def _places(convolution: Convolution, part: Convolution, axis: int, parts: int) -> Indices:
    """Which rows or columns of the image, or of its padding, every part sees."""
    margin = convolution.padding[axis] - part.padding[axis]
    begins = np.arange(parts) * part.output[axis] * convolution.stride[axis] - margin
    return begins[:, None] + np.arange(part.image[axis])


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
