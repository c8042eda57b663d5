"""Images into lanes and back.

In lanes, a flat array ``[blocks, nodes, pixels, channels of the node, block_size]`` holds a block
of images side by side. One instruction handles one channel of many images, a pixel at the border
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
def _transpose(
    images: Array,
    lanes: Array,
    block_size: int,
    side: tuple[Array, ...],
    into_lanes: bool,
    counter: Array,
    step: int,
    tasks: int,
) -> None:
    """``images [B, C, P]`` into ``lanes``, or back; images behind the batch are zero.

    Shapes:
        - **lanes**: flat ``[blocks, nodes, pixels, channels of the node, block_size]``
        - **side**: :class:`relmp.rounds.execution.cpu.tables.Side`, the channels of every node.
        - Tasks: blocks x nodes.
    """
    count, channels, pixels = images.shape
    node_start, node_size = side
    flat, nodes = images.reshape(images.size), node_size.shape[0]
    square = VECTOR_BYTES // images.itemsize
    image_rows = np.arange(square) * (channels * pixels)
    pixel_rows = np.empty(square, dtype=np.int64)
    task = take(counter, step)
    while task < tasks:
        block, node = task // nodes, task % nodes
        first, size = block * block_size, node_size[node]
        node_at = node_start[node] * pixels
        lanes_at = (block * channels + node_start[node]) * pixels * block_size
        for lane in range(0, block_size, square):
            image_at = (first + lane) * channels * pixels + node_at
            whole = first + lane + square <= count and size * pixels >= square
            if whole:
                for number in range(0, size * pixels, square):
                    begin = min(number, size * pixels - square)
                    _lane_rows(pixel_rows, begin, size, pixels, block_size)
                    at, here = lanes_at + lane, image_at + begin
                    if into_lanes:
                        transpose_tile(lanes, at, pixel_rows, flat, here, image_rows)
                    else:
                        transpose_tile(flat, here, image_rows, lanes, at, pixel_rows)
            else:  # too few images or numbers for a square
                for number in range(size * pixels):
                    at = lanes_at + lane + _lane_row(number, size, pixels, block_size)
                    for i in range(square):
                        inside, here = first + lane + i < count, image_at + image_rows[i] + number
                        if into_lanes:
                            lanes[at + i] = flat[here] if inside else 0
                        elif inside:
                            flat[here] = lanes[at + i]
        task = following(task, counter, step)


@compiled
def _lane_row(number: int, size: int, pixels: int, block_size: int) -> int:
    """Where the number-th of a node's ``[size, pixels]`` numbers lies among ``[pixels, size]``."""
    return (number % pixels * size + number // pixels) * block_size


@compiled
def _lane_rows(rows: Array, begin: int, size: int, pixels: int, block_size: int) -> None:
    channel, pixel = begin // pixels, begin % pixels
    for i in range(rows.shape[0]):
        rows[i] = (pixel * size + channel) * block_size
        pixel += 1
        if pixel == pixels:
            pixel = 0
            channel += 1


@compiled
def _tile(
    images: Array, lanes: Array, block_size: int, grid: tuple[int, int], side: tuple[Array, ...],
    into_lanes: bool, counter: Array, step: int, tasks: int,
) -> None:  # fmt: skip
    """The parts of ``images [B, C, H, W]`` into ``lanes``, or back.

    Shapes:
        - **lanes**: flat ``[blocks, nodes, pixels of a part, channels of the node, block_size]``
        - **grid**: :class:`relmp.rounds.execution.cpu.pixels.Grid`
        - Tasks: nodes.
    """
    rows, columns = grid
    count, channels, height, width = images.shape
    tall, wide = height // rows, width // columns
    starts, sizes = side
    flat, begins = images.reshape(images.size), np.empty(block_size, dtype=np.int64)
    parts = count * rows * columns
    node = take(counter, step)
    while node < tasks:
        start, size = starts[node], sizes[node]
        for block in range((parts + block_size - 1) // block_size):
            some = min(block_size, parts - block * block_size)
            for lane in range(some):
                image, part = divmod(block * block_size + lane, rows * columns)
                row, column = divmod(part, columns)
                place = (image * channels + start) * height + row * tall
                begins[lane] = place * width + column * wide
            at = (block * channels + start) * tall * wide * block_size
            for pixel in range(tall * wide):
                for channel in range(size):
                    here = (channel * height + pixel // wide) * width + pixel % wide
                    numbers = lanes[at : at + block_size]
                    if into_lanes:
                        for lane in range(some):
                            numbers[lane] = flat[begins[lane] + here]
                        numbers[some:] = 0
                    else:
                        for lane in range(some):
                            flat[begins[lane] + here] = numbers[lane]
                    at += block_size
        node = following(node, counter, step)


@compiled
def _exchange(
    parts: Array, seen: Array, sizes: tuple[int, ...], where: tuple[Array, ...],
    side: tuple[Array, ...], gives_back: bool, counter: Array, step: int, tasks: int,
) -> None:  # fmt: skip
    """What parts of images see of one another is copied into ``seen``; or, ``gives_back``, added to
    ``parts``, which begin at zero.

    Shapes:
        - **parts**, **seen**: in lanes.
        - **sizes**: of both together the channels, then of each the blocks, the pixels of a part
          and the lanes of a block.
        - **where**: :class:`relmp.rounds.execution.cpu.pixels.Seen`
        - Tasks: nodes.
    """
    channels, blocks, pixels, width, seen_blocks, seen_pixels, seen_width = sizes
    in_block, in_place, in_lane, is_straight = where
    starts, nodes = side
    begins, total = np.empty(seen_width, dtype=np.int64), in_lane.shape[1]
    node = take(counter, step)
    while node < tasks:
        start, size = starts[node], nodes[node]
        if gives_back:
            for block in range(blocks):
                first = (block * channels + start) * pixels * width
                parts[first : first + size * pixels * width] = 0
        for block in range(seen_blocks):
            lanes = block * seen_width
            some = min(seen_width, total - lanes)
            at = (block * channels + start) * seen_pixels * seen_width
            for pixel in range(seen_pixels):
                for lane in range(1 if is_straight[pixel, block] else some):
                    there = in_block[pixel, lanes + lane] * channels + start
                    inside = in_lane[pixel, lanes + lane]
                    begins[lane] = there * pixels * width + in_place[pixel, lanes + lane] * size
                    begins[lane] = begins[lane] + inside if inside >= 0 else -1
                if is_straight[pixel, block]:
                    here, numbers = begins[0], size * seen_width
                    if gives_back:
                        for number in range(numbers):
                            parts[here + number] += seen[at + number]
                    else:
                        for number in range(numbers):
                            seen[at + number] = parts[here + number]
                    at += numbers
                    continue
                for channel in range(size):
                    more = channel * width
                    if gives_back:
                        for lane in range(some):
                            if begins[lane] >= 0:
                                parts[begins[lane] + more] += seen[at + lane]
                    else:
                        for lane in range(some):
                            here = begins[lane]
                            seen[at + lane] = parts[here + more] if here >= 0 else 0
                        for lane in range(some, seen_width):
                            seen[at + lane] = 0
                    at += seen_width
        node = following(node, counter, step)


@compiled
def exchange(arguments: tuple[Any, ...], team: int, threads: int) -> None:
    """:func:`_exchange` on so many threads."""
    on_threads(_exchange, arguments, team, threads)


@compiled
def tile(arguments: tuple[Any, ...], team: int, threads: int) -> None:
    """:func:`_tile` on so many threads."""
    on_threads(_tile, arguments, team, threads)


@compiled
def transpose(arguments: tuple[Any, ...], team: int, threads: int) -> None:
    """:func:`_transpose` on so many threads."""
    on_threads(_transpose, arguments, team, threads)
