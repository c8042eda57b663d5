"""Batch norm of images in lanes, with a sum and ReLU behind it.

All channels of a node at a pixel are a row, of their number times the images of a block. What is
known of a channel is laid out as such a row, too, so that every loop goes along rows. A node needs
nothing of another, so one task does all that is to be done for it, while its numbers are in the
cache.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from relmp.rounds.execution.cpu.simd import (
    Array,
    compiled,
    following,
    on_threads,
    take,
)

RUN = 256
"""So many rows are added up in their own type before they go to the sums in float64."""


class NormShape(NamedTuple):
    """What is normalised, and how.

    Args:
        images, channels, pixels, width: The batch, and the images of a block.
        momentum, eps: Of the batch norm.
        trains: Whether the statistics are those of the batch.
        cuts: Whether ReLU follows.
        adds: Whether something is added before it.
    """

    images: int
    channels: int
    pixels: int
    width: int
    momentum: float
    eps: float
    trains: bool
    cuts: bool
    adds: bool


@compiled
def _add(total: Array, row: Array) -> None:
    for i in range(len(total)):
        total[i] += row[i]


@compiled
def _add_square(total: Array, row: Array, mean: Array, real: Array) -> None:
    for i in range(len(total)):
        distance = (row[i] - mean[i]) * real[i]
        total[i] += distance * distance


@compiled
def _add_product(total: Array, wanted: Array, row: Array, mean: Array) -> None:
    for i in range(len(total)):
        total[i] += wanted[i] * (row[i] - mean[i])


@compiled
def _apply(
    out: Array, row: Array, mean: Array, slope: Array, shift: Array, real: Array, floor: float
) -> None:
    none = out.dtype.type(0)
    for i in range(len(out)):
        value = (row[i] - mean[i]) * slope[i] + shift[i]
        value = floor if value <= floor else value
        out[i] = value if real[i] != none else none


@compiled
def _apply_and_add(
    out: Array, row: Array, more: Array, mean: Array, slope: Array, shift: Array, real: Array,
    floor: float,
) -> None:  # fmt: skip
    none = out.dtype.type(0)
    for i in range(len(out)):
        value = (row[i] - mean[i]) * slope[i] + shift[i] + more[i]
        value = floor if value <= floor else value
        out[i] = value if real[i] != none else none


@compiled
def _kept_by(kept: Array, wanted: Array, out: Array) -> None:
    """What is wanted where ``out`` was not cut off."""
    none = kept.dtype.type(0)
    for i in range(len(kept)):
        kept[i] = none if out[i] <= none else wanted[i]


@compiled
def _pull(
    pulled: Array, wanted: Array, row: Array, mean: Array, slope: Array, offset: Array, tilt: Array
) -> None:
    for i in range(len(pulled)):
        pulled[i] = slope[i] * wanted[i] - offset[i] - (row[i] - mean[i]) * tilt[i]


@compiled
def _spread(row: Array, channel: int, width: int, value: float) -> None:
    row[channel * width : (channel + 1) * width] = value


@compiled
def _rows(shape: NormShape, size: int, at: int, block: int, pixel: int) -> tuple[int, int]:
    """Where the row of a node of so many channels begins and ends."""
    begin = (block * shape.channels * shape.pixels + at * shape.pixels + pixel * size) * shape.width
    return begin, begin + size * shape.width


@compiled
def _real(real: Array, shape: NormShape, size: int, block: int) -> None:
    """Ones in the lanes of images, zeros behind the end of the batch."""
    images = min(shape.width, shape.images - block * shape.width)
    for channel in range(size):
        real[channel * shape.width : channel * shape.width + images] = 1
        real[channel * shape.width + images : (channel + 1) * shape.width] = 0


@compiled
def _totals(sums: Array, totals: Array, width: int) -> None:
    """The sums of the lanes, one a channel."""
    for channel in range(len(totals)):
        total = 0.0
        for lane in range(width):
            total += sums[channel * width + lane]
        totals[channel] = total


@compiled
def _normalise(
    y: Array, out: Array, more: Array, scale: Array, shift: Array, running: tuple[Array, Array],
    statistics: Array, shape: Any, side: tuple[Array, Array], counter: Array,
    step: int, tasks: int,
) -> None:  # fmt: skip
    """``out``: batch norm of ``y``, plus ``more`` where it ``adds``, and ReLU where it ``cuts``.

    Shapes:
        - **y**, **out**, **more**: in lanes.
        - **scale**, **shift** ``[C]``; **running**: mean and variance ``[C]``, followed where it
          ``trains`` and used otherwise.
        - **statistics** ``[2, C]``: the mean and the inverse deviation go there.
        - **shape**: :class:`NormShape`; **side**: the channels of every node.
        - Tasks: nodes.
    """
    shape = NormShape(*shape)
    starts, sizes = side
    kind, most = y.dtype, sizes.max() * shape.width
    blocks = (shape.images + shape.width - 1) // shape.width
    rows, sums, totals = np.empty((5, most), kind), np.empty(most), np.empty(sizes.max())
    floor = kind.type(0) if shape.cuts else kind.type(-np.inf)
    count = shape.images * shape.pixels
    node = take(counter, step)
    while node < tasks:
        at, size = starts[node], sizes[node]
        length = size * shape.width
        mean, slope, offset = rows[0, :length], rows[1, :length], rows[2, :length]
        real, run = rows[3, :length], rows[4, :length]
        if shape.trains:
            for turn in range(2):  # the mean, then the squared distance from it
                sums[:length] = 0
                for block in range(blocks):
                    _real(real, shape, size, block)
                    for first in range(0, shape.pixels, RUN):
                        run[:] = 0
                        for pixel in range(first, min(first + RUN, shape.pixels)):
                            begin, end = _rows(shape, size, at, block, pixel)
                            if turn == 0:
                                _add(run, y[begin:end])
                            else:
                                _add_square(run, y[begin:end], mean, real)
                        _add(sums[:length], run)
                _totals(sums, totals[:size], shape.width)
                for channel in range(size):
                    value, c = totals[channel] / count, at + channel
                    if turn == 0:
                        _spread(mean, channel, shape.width, value)
                        statistics[0, c] = value
                        running[0][c] += shape.momentum * (value - running[0][c])
                    else:
                        statistics[1, c] = 1 / np.sqrt(value + shape.eps)
                        unbiased = totals[channel] / (count - 1)
                        running[1][c] += shape.momentum * (unbiased - running[1][c])
        else:
            for c in range(at, at + size):
                statistics[0, c] = running[0][c]
                statistics[1, c] = 1 / np.sqrt(float(running[1][c]) + shape.eps)
        for channel in range(size):
            c = at + channel
            _spread(mean, channel, shape.width, statistics[0, c])
            _spread(slope, channel, shape.width, statistics[1, c] * scale[c])
            _spread(offset, channel, shape.width, shift[c])
        for block in range(blocks):
            _real(real, shape, size, block)
            for pixel in range(shape.pixels):
                begin, end = _rows(shape, size, at, block, pixel)
                if shape.adds:
                    _apply_and_add(
                        out[begin:end], y[begin:end], more[begin:end], mean, slope, offset, real,
                        floor,
                    )  # fmt: skip
                else:
                    _apply(out[begin:end], y[begin:end], mean, slope, offset, real, floor)
        node = following(node, counter, step)


@compiled
def _differentiate(
    gradient: Array, y: Array, out: Array, kept: Array, pulled: Array, scale: Array,
    statistics: Array, wanted: Array, shape: Any, side: tuple[Array, Array],
    counter: Array, step: int, tasks: int,
) -> None:  # fmt: skip
    """What a gradient wants of what was normalised, and of scale and shift.

    Shapes:
        - **gradient**, **y**, **out**: in lanes; what :func:`normalise` read and gave.
        - **kept**: in lanes; what is left of the gradient where ReLU ``cuts``, wanted of what was
          added as well. Otherwise it is not touched.
        - **pulled**: in lanes; what is wanted of ``y``.
        - **wanted** ``[2, C]``: what is wanted of scale and shift.
        - **statistics**, **shape**, **side**: See :func:`_normalise`.
        - Tasks: nodes.
    """
    shape = NormShape(*shape)
    starts, sizes = side
    kind, most = y.dtype, sizes.max() * shape.width
    blocks = (shape.images + shape.width - 1) // shape.width
    rows, sums, totals = np.empty((7, most), kind), np.empty((2, most)), np.empty((2, sizes.max()))
    node = take(counter, step)
    while node < tasks:
        at, size = starts[node], sizes[node]
        length = size * shape.width
        mean, slope, offset = rows[0, :length], rows[1, :length], rows[2, :length]
        tilt, real = rows[3, :length], rows[4, :length]
        run, product = rows[5, :length], rows[6, :length]
        for channel in range(size):
            _spread(mean, channel, shape.width, statistics[0, at + channel])
        sums[:, :length] = 0
        for block in range(blocks):
            for first in range(0, shape.pixels, RUN):
                run[:] = 0
                product[:] = 0
                for pixel in range(first, min(first + RUN, shape.pixels)):
                    begin, end = _rows(shape, size, at, block, pixel)
                    row = gradient[begin:end]
                    if shape.cuts:
                        row = kept[begin:end]
                        _kept_by(row, gradient[begin:end], out[begin:end])
                    _add(run, row)
                    _add_product(product, row, y[begin:end], mean)
                _add(sums[0, :length], run)
                _add(sums[1, :length], product)
        _totals(sums[0], totals[0, :size], shape.width)
        _totals(sums[1], totals[1, :size], shape.width)
        count = shape.images * shape.pixels
        for channel in range(size):
            c = at + channel
            factor = float(statistics[1, c])
            first, second = totals[0, channel], totals[1, channel] * factor
            wanted[0, c], wanted[1, c] = second, first
            whole = float(scale[c]) * factor
            _spread(slope, channel, shape.width, whole)
            part = whole / count if shape.trains else 0.0
            _spread(offset, channel, shape.width, part * first)
            _spread(tilt, channel, shape.width, part * second * factor)
        for block in range(blocks):
            _real(real, shape, size, block)
            is_whole = (block + 1) * shape.width <= shape.images
            for pixel in range(shape.pixels):
                begin, end = _rows(shape, size, at, block, pixel)
                row = kept[begin:end] if shape.cuts else gradient[begin:end]
                _pull(pulled[begin:end], row, y[begin:end], mean, slope, offset, tilt)
                if not is_whole:
                    _kept_by(pulled[begin:end], pulled[begin:end], real)
        node = following(node, counter, step)


@compiled
def normalise(arguments: tuple[Array, ...], team: int, threads: int) -> None:
    """:func:`_normalise` on so many threads."""
    on_threads(_normalise, arguments, team, threads)


@compiled
def differentiate(arguments: tuple[Array, ...], team: int, threads: int) -> None:
    """:func:`_differentiate` on so many threads."""
    on_threads(_differentiate, arguments, team, threads)
