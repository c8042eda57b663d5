"""A round in lanes: every node sums what it hears, a tile of channels at a time."""

from __future__ import annotations

from itertools import product
from typing import Any

from numba.core import types

from relmp.rounds.execution.cpu.simd import (
    MAX_VECTORS,
    WIDE,
    Array,
    Emitter,
    compiled,
    following,
    instructions,
    integer,
    on_threads,
    take,
)

MAX_ROWS = 12 if WIDE else 6
"""Largest number of channels of a tile: its sums fill most of the registers."""


@instructions
def multiply_tile(
    typingctx: Any,
    vectors: Any,
    rows: Any,
    y: Any,
    y_at: Any,
    x: Any,
    w: Any,
    w_at: Any,
    row_stride: Any,
    channel_stride: Any,
    tap_stride: Any,
    edge_x: Any,
    edge_w: Any,
    edge_channels: Any,
    edge_start: Any,
    edge_stop: Any,
    pixels: Any,
    tap_x: Any,
    tap_w: Any,
    tap_start: Any,
    tap_stop: Any,
) -> Any:
    """``y[y_at + r] = sum over edges, taps and channels of w * x`` for ``rows`` channels r.

    The images held together fill so many ``vectors``.
    For edge e, tap t and channel k, ``x`` is read at ``edge_x[e] * pixels + tap_x[t] *
    edge_channels[e] + k`` (in units of the images held together) and ``w`` at ``w_at +
    edge_w[e] + tap_w[t] * tap_stride + r * row_stride + k * channel_stride``.
    """
    signature = types.void(
        vectors, rows, y, y_at, x, w, w_at, row_stride, channel_stride, tap_stride, edge_x, edge_w,
        edge_channels, edge_start, edge_stop, pixels, tap_x, tap_w, tap_start, tap_stop,
    )  # fmt: skip

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit = Emitter(context, builder, y.dtype)
        (count, row_count, _, y_at, _, _, w_at, row_step, channel_step, tap_step,
         _, _, _, edge_start, edge_stop, pixels, _, _, tap_start, tap_stop) = args  # fmt: skip
        y_data, x_data, w_data, edge_x_data, edge_w_data, channels_data, tap_x_data, tap_w_data = (
            emit.data(sig.args[i], args[i]) for i in (2, 4, 5, 10, 11, 12, 16, 17)
        )

        def body(vectors: int, tile: int) -> None:
            unit = vectors * emit.lanes
            sums = emit.registers(tile * vectors)
            row_offsets = [emit.times(row_step, row) for row in range(tile)]
            with emit.loop(edge_start, edge_stop) as edge:
                edge_in = emit.times(emit.number(edge_x_data, edge), pixels)
                edge_weight = emit.add(w_at, emit.number(edge_w_data, edge))
                channels = emit.number(channels_data, edge)
                with emit.loop(tap_start, tap_stop) as tap:
                    pixel_at = emit.times(emit.number(tap_x_data, tap), channels)
                    x_at = emit.times(emit.add(edge_in, pixel_at), unit)
                    tap_number = emit.number(tap_w_data, tap)
                    weight_at = emit.add(edge_weight, emit.times(tap_number, tap_step))
                    with emit.loop(integer(0), channels) as channel:
                        here = emit.add(x_at, emit.times(channel, unit))
                        values = [
                            emit.load(x_data, emit.add(here, integer(v * emit.lanes)))
                            for v in range(vectors)
                        ]
                        weight = emit.add(weight_at, emit.times(channel, channel_step))
                        for row in range(tile):
                            scalar = emit.number(w_data, emit.add(weight, row_offsets[row]))
                            factor = emit.broadcast(scalar)
                            for v in range(vectors):
                                emit.accumulate(sums[row * vectors + v], factor, values[v])
            for number, slot in enumerate(sums):
                place = emit.add(emit.times(y_at, unit), integer(number * emit.lanes))
                emit.store(builder.load(slot), y_data, place)

        for vectors, tile in product(range(1, MAX_VECTORS + 1), range(1, MAX_ROWS + 1)):
            with emit.case(count, vectors), emit.case(row_count, tile):
                body(vectors, tile)
        return context.get_dummy_value()

    return signature, codegen


@compiled
def _multiply(
    x: Array,
    w: Array,
    y: Array,
    shape: Array,
    node_start: Array,
    node_size: Array,
    ptr: Array,
    edge_x: Array,
    edge_channels: Array,
    edge_w: Array,
    pixel_ptr: Array,
    tap_x: Array,
    tap_w: Array,
    counter: Array,
    step: int,
    tasks: int,
) -> None:
    """One round: every node sums the weighted channels of its neighbours at the tapped pixels.

    Shapes:
        - **x**, **y**: in lanes; **w**: flat.
        - **shape**: pixels of x, block length of x, channels of y, row, channel and tap stride
          of w; blocks in all, blocks a group, parts of the pixels, and vectors of images.
        - **node_start**, **node_size** ``[n]``: the channels of every node of y.
        - **ptr** ``[n + 1]``, **edge_x**, **edge_channels**, **edge_w** ``[E]``: the edges into
          every node, with the first channel heard, how many, and the place of the weights.
        - **pixel_ptr**, **tap_x**, **tap_w**: for every pixel of y, the pixels of x that it
          sees, and through which tap.
        - Tasks: groups of blocks x parts of the pixels x nodes.
    """
    pixels_in, block_in, channels_out = shape[0], shape[1], shape[2]
    row_stride, channel_stride, tap_stride = shape[3], shape[4], shape[5]
    blocks, group, parts, vectors = shape[6], shape[7], shape[8], shape[9]
    nodes, pixels = node_size.shape[0], pixel_ptr.shape[0] - 1
    task = take(counter, step)
    while task < tasks:
        node, part, first = task % nodes, task // nodes % parts, task // nodes // parts * group
        size = node_size[node]
        tiles = (size + MAX_ROWS - 1) // MAX_ROWS
        for block in range(first, min(first + group, blocks)):
            x_block = x[block * block_in :]
            begin = (block * channels_out + node_start[node]) * pixels
            for pixel in range(pixels * part // parts, pixels * (part + 1) // parts):
                row = 0
                for tile in range(tiles):
                    row_end = size * (tile + 1) // tiles
                    multiply_tile(
                        vectors,
                        row_end - row,
                        y,
                        begin + pixel * size + row,
                        x_block,
                        w,
                        row * row_stride,
                        row_stride,
                        channel_stride,
                        tap_stride,
                        edge_x,
                        edge_w,
                        edge_channels,
                        ptr[node],
                        ptr[node + 1],
                        pixels_in,
                        tap_x,
                        tap_w,
                        pixel_ptr[pixel],
                        pixel_ptr[pixel + 1],
                    )
                    row = row_end
        task = following(task, counter, step)


@compiled
def multiply(arguments: tuple[Any, ...], team: int, threads: int) -> None:
    """:func:`_multiply` on so many threads."""
    if threads > 1:
        on_threads(_multiply, arguments, team, threads)
    else:
        _multiply(*arguments)
