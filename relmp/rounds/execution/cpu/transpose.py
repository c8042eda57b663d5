"""Images into lanes and back.

In lanes, a flat array ``[blocks, nodes, pixels, channels of the node, lanes]`` holds ``lanes``
images side by side. One instruction handles one channel of many images, a pixel at the border
or under a stride costs what it costs and nothing more, and what a node says lies in one piece.
Counted in channels, node i begins at its first channel times the number of pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types

from relmp.rounds.execution.cpu.simd import (
    VECTOR_BYTES,
    Array,
    Emitter,
    compiled,
    following,
    instructions,
    integer,
    on_threads,
    take,
)


@instructions
def transpose_tile(
    typingctx: Any, out: Any, out_at: Any, out_rows: Any, x: Any, x_at: Any, x_rows: Any
) -> Any:
    """Row i of ``out`` is column i of ``x``, for a square of the width of a vector.

    Row i begins at ``out_at + out_rows[i]`` and ``x_at + x_rows[i]``.
    """
    signature = types.void(out, out_at, out_rows, x, x_at, x_rows)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit = Emitter(context, builder, out.dtype)
        out_data, out_row_data, x_data, x_row_data = (
            emit.data(sig.args[i], args[i]) for i in (0, 2, 3, 5)
        )
        rows = [
            emit.load(x_data, emit.add(args[4], emit.number(x_row_data, integer(i))))
            for i in range(emit.lanes)
        ]
        for i, row in enumerate(emit.transposed(rows)):
            at = emit.add(args[1], emit.number(out_row_data, integer(i)))
            emit.store(row, out_data, at)
        return context.get_dummy_value()

    return signature, codegen


@compiled
def _to_lanes(
    x: Array,
    out: Array,
    lanes: int,
    side: tuple[Array, ...],
    counter: Array,
    step: int,
    tasks: int,
) -> None:
    """``[B, C, P]`` -> lanes; images behind the batch are zero. Tasks: blocks x nodes.

    ``side``: :class:`relmp.rounds.execution.cpu.tables.Side`, the channels of every node.
    """
    images, channels, pixels = x.shape
    node_start, node_size = side
    flat, nodes = x.reshape(x.size), node_size.shape[0]
    square = VECTOR_BYTES // x.itemsize
    image_rows = np.arange(square) * (channels * pixels)
    pixel_rows = np.empty(square, dtype=np.int64)
    task = take(counter, step)
    while task < tasks:
        block, node = task // nodes, task % nodes
        first, size = block * lanes, node_size[node]
        x_at = node_start[node] * pixels
        out_at = (block * channels + node_start[node]) * pixels * lanes
        for lane in range(0, lanes, square):
            image_at = (first + lane) * channels * pixels + x_at
            whole = first + lane + square <= images and size * pixels >= square
            if whole:
                for number in range(0, size * pixels, square):
                    begin = min(number, size * pixels - square)
                    _lane_rows(pixel_rows, begin, size, pixels, lanes)
                    transpose_tile(
                        out, out_at + lane, pixel_rows, flat, image_at + begin, image_rows
                    )
            else:
                for number in range(size * pixels):
                    at = out_at + lane + _lane_row(number, size, pixels, lanes)
                    for i in range(square):
                        inside = first + lane + i < images
                        out[at + i] = flat[image_at + image_rows[i] + number] if inside else 0
        task = following(task, counter, step)


@compiled
def _from_lanes(
    x: Array,
    out: Array,
    lanes: int,
    side: tuple[Array, ...],
    counter: Array,
    step: int,
    tasks: int,
) -> None:
    """Lanes -> ``[B, C, P]``; the rest as in :func:`_to_lanes`."""
    images, channels, pixels = out.shape
    node_start, node_size = side
    flat, nodes = out.reshape(out.size), node_size.shape[0]
    square = VECTOR_BYTES // x.itemsize
    image_rows = np.arange(square) * (channels * pixels)
    pixel_rows = np.empty(square, dtype=np.int64)
    task = take(counter, step)
    while task < tasks:
        block, node = task // nodes, task % nodes
        first, size = block * lanes, node_size[node]
        out_at = node_start[node] * pixels
        x_at = (block * channels + node_start[node]) * pixels * lanes
        for lane in range(0, lanes, square):
            image_at = (first + lane) * channels * pixels + out_at
            whole = first + lane + square <= images and size * pixels >= square
            if whole:
                for number in range(0, size * pixels, square):
                    begin = min(number, size * pixels - square)
                    _lane_rows(pixel_rows, begin, size, pixels, lanes)
                    transpose_tile(flat, image_at + begin, image_rows, x, x_at + lane, pixel_rows)
            else:
                for number in range(size * pixels):
                    at = x_at + lane + _lane_row(number, size, pixels, lanes)
                    for i in range(min(square, images - first - lane)):
                        flat[image_at + image_rows[i] + number] = x[at + i]
        task = following(task, counter, step)


@compiled
def _lane_row(number: int, size: int, pixels: int, lanes: int) -> int:
    """Where the number-th of a node's ``[size, pixels]`` numbers lies among ``[pixels, size]``."""
    return (number % pixels * size + number // pixels) * lanes


@compiled
def _lane_rows(rows: Array, begin: int, size: int, pixels: int, lanes: int) -> None:
    channel, pixel = begin // pixels, begin % pixels
    for i in range(rows.shape[0]):
        rows[i] = (pixel * size + channel) * lanes
        pixel += 1
        if pixel == pixels:
            pixel = 0
            channel += 1


@compiled
def to_lanes(arguments: tuple[Any, ...], team: int, threads: int) -> None:
    """:func:`_to_lanes` on so many threads."""
    if threads > 1:
        on_threads(_to_lanes, arguments, team, threads)
    else:
        _to_lanes(*arguments)


@compiled
def from_lanes(arguments: tuple[Any, ...], team: int, threads: int) -> None:
    """:func:`_from_lanes` on so many threads."""
    if threads > 1:
        on_threads(_from_lanes, arguments, team, threads)
    else:
        _from_lanes(*arguments)
