"""Batch norm and ReLU in columns: a channel is a row, so that its statistics are sums of rows."""

from __future__ import annotations

import numpy as np
from numba import carray

from relmp.rounds.execution.cpu.simd import (
    VECTOR_BYTES,
    Array,
    compiled,
    following,
    on_threads,
    pointer,
    reordered,
    take,
)
from relmp.rounds.execution.cpu.vectors.columns import (
    BLOCK_VECTORS,
    Columns,
    columns_of,
    share_of,
    turn,
)


@reordered
def _sum(row: Array) -> float:
    total = row.dtype.type(0)
    for i in range(len(row)):
        total += row[i]
    return total


@reordered
def _squared_distance(row: Array, mean: float) -> float:
    total = row.dtype.type(0)
    for i in range(len(row)):
        total += (row[i] - mean) * (row[i] - mean)
    return total


@compiled
def _apply(
    row: Array, normal: Array, mean: float, factor: float, scale: float, shift: float, cut: bool
) -> None:
    none = row.dtype.type(0)
    for i in range(len(row)):
        normal[i] = (row[i] - mean) * factor
        value = scale * normal[i] + shift
        row[i] = none if cut and value <= none else value


@compiled
def _cut_off(wanted: Array, normal: Array, scale: float, shift: float) -> None:
    """Nothing is wanted where ReLU cut numbers off."""
    none = wanted.dtype.type(0)
    for i in range(len(wanted)):
        wanted[i] = none if scale * normal[i] + shift <= none else wanted[i]


@reordered
def _product(a: Array, b: Array) -> float:
    total = a.dtype.type(0)
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@compiled
def _pull(wanted: Array, normal: Array, factor: float, mean: float, slope: float) -> None:
    for i in range(len(wanted)):
        wanted[i] = factor * (wanted[i] - mean - normal[i] * slope)


@compiled
def _row(a: Array, columns: Columns, block: int, channel: int, channels: int) -> Array:
    """The images of a block in a channel."""
    whole = BLOCK_VECTORS * (VECTOR_BYTES // a.itemsize)
    at = (block * channels + channel) * columns.stride
    return a[at : at + min(whole, columns.images - block * whole)]


@compiled
def _normalise(
    a: Array, normal: Array, columns: Columns, scale: Array, shift: Array, statistics: Array,
    running: tuple[Array, Array], momentum: float, eps: float, trains: bool, cut: bool,
    counter: Array, step: int, tasks: int,
) -> None:  # fmt: skip
    """Every channel of ``a`` is normalised in place, see :func:`normalise`. Tasks: channels."""
    blocks = (columns.vectors + BLOCK_VECTORS - 1) // BLOCK_VECTORS
    channel = take(counter, step)
    while channel < tasks:
        mean, variance = float(running[0][channel]), float(running[1][channel])
        if trains:
            total = 0.0
            for block in range(blocks):
                total += _sum(_row(a, columns, block, channel, tasks))
            here = total / columns.images
            own_mean = a.dtype.type(here)
            total = 0.0
            for block in range(blocks):
                total += _squared_distance(_row(a, columns, block, channel, tasks), own_mean)
            unbiased = total / (columns.images - 1)
            running[0][channel] = (1 - momentum) * mean + momentum * here
            running[1][channel] = (1 - momentum) * variance + momentum * unbiased
            mean, variance = here, total / columns.images
        statistics[0, channel] = mean
        statistics[1, channel] = 1 / np.sqrt(variance + eps)
        for block in range(blocks):
            row = _row(a, columns, block, channel, tasks)
            own = _row(normal, columns, block, channel, tasks)
            mean_of, factor = statistics[0, channel], statistics[1, channel]
            _apply(row, own, mean_of, factor, scale[channel], shift[channel], cut)
        channel = following(channel, counter, step)


@compiled
def _differentiate(
    gradient: Array, normal: Array, columns: Columns, scale: Array, shift: Array,
    statistics: Array, wanted: Array, trains: bool, cut: bool, counter: Array, step: int,
    tasks: int,
) -> None:  # fmt: skip
    """The gradient of every channel in place, see :func:`differentiate`. Tasks: channels."""
    blocks = (columns.vectors + BLOCK_VECTORS - 1) // BLOCK_VECTORS
    none = gradient.dtype.type(0)
    channel = take(counter, step)
    while channel < tasks:
        first, second = 0.0, 0.0
        for block in range(blocks):
            row = _row(gradient, columns, block, channel, tasks)
            own = _row(normal, columns, block, channel, tasks)
            if cut:
                _cut_off(row, own, scale[channel], shift[channel])
            first += _sum(row)
            second += _product(row, own)
        wanted[0, channel], wanted[1, channel] = second, first
        mean, slope, count = none, none, columns.images
        if trains:
            mean, slope = gradient.dtype.type(first / count), gradient.dtype.type(second / count)
        factor = scale[channel] * statistics[1, channel]
        for block in range(blocks):
            row = _row(gradient, columns, block, channel, tasks)
            _pull(row, _row(normal, columns, block, channel, tasks), factor, mean, slope)
        channel = following(channel, counter, step)


@compiled
def normalise(
    y_at: int, y_columns: Array, normal_at: int, parameters: tuple[int, int, int, int, int],
    sizes: tuple[int, int, int], momentum: float, eps: float, trains: bool, cut: bool,
    counters: Array, begin: int, end: int, team: int, threads: int,
) -> None:  # fmt: skip
    """``y``: batch norm of what lies in its columns, and ReLU (``cut``). Two phases: normalising,
    and back.

    Args:
        y_at: The address of ``y [B, C]``.
        y_columns: The numbers to normalise, in columns.
        normal_at: The address of room for the normalised numbers, before scale and shift, in
            columns.
        parameters: Addresses of scale and shift ``[C]``, of the running mean and variance ``[C]``,
            followed where ``trains`` and used otherwise, and of room for the mean and the inverse
            deviation, ``[2, C]``.
        sizes: Images, channels, and numbers in columns.
    """
    images, channels, count = sizes
    columns = columns_of(images, y_columns)
    if begin <= 0 < end:
        scale, shift, mean, variance = (
            carray(pointer(parameters[0]), channels, y_columns.dtype),
            carray(pointer(parameters[1]), channels, y_columns.dtype),
            carray(pointer(parameters[2]), channels, y_columns.dtype),
            carray(pointer(parameters[3]), channels, y_columns.dtype),
        )
        statistics = carray(pointer(parameters[4]), (2, channels), y_columns.dtype)
        normal = carray(pointer(normal_at), count, y_columns.dtype)
        step = share_of(channels, threads)
        what = (y_columns, normal, columns, scale, shift, statistics, (mean, variance))
        how = (momentum, eps, trains, cut)
        on_threads(_normalise, (*what, *how, counters[0:1], step, channels), team, threads)
    if begin <= 1 < end:
        turn(y_at, channels, y_columns, columns, True, counters[1:2], team, threads)


@compiled
def differentiate(
    gradient_at: int, wanted_columns: Array, normal_at: int, parameters: tuple[int, int, int, int],
    sizes: tuple[int, int, int], trains: bool, cut: bool,
    counters: Array, begin: int, end: int, team: int, threads: int,
) -> None:  # fmt: skip
    """``wanted_columns``: what a gradient wants of what was normalised. Two phases: into columns,
    and differentiating.

    Args:
        gradient_at: The address of the gradient ``[B, C]``.
        parameters: Addresses of scale and shift, of what :func:`normalise` has kept of the
            statistics, and of room for the gradients of scale and shift, ``[2, C]``.
        normal_at, sizes: As there.
    """
    images, channels, count = sizes
    columns = columns_of(images, wanted_columns)
    if begin <= 0 < end:
        turn(gradient_at, channels, wanted_columns, columns, False, counters[0:1], team, threads)
    if begin <= 1 < end:
        scale, shift = (
            carray(pointer(parameters[0]), channels, wanted_columns.dtype),
            carray(pointer(parameters[1]), channels, wanted_columns.dtype),
        )
        statistics = carray(pointer(parameters[2]), (2, channels), wanted_columns.dtype)
        wanted = carray(pointer(parameters[3]), (2, channels), wanted_columns.dtype)
        normal = carray(pointer(normal_at), count, wanted_columns.dtype)
        what = (wanted_columns, normal, columns, scale, shift, statistics, wanted, trains, cut)
        rest = (counters[1:2], share_of(channels, threads), channels)
        on_threads(_differentiate, (*what, *rest), team, threads)
