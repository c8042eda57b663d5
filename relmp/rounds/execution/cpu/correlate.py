"""The gradient of the weights, in lanes: both ends of every edge, a tile at a time."""

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

MAX_SIDE = 4 if WIDE else 3
"""Largest number of channels on each side of a tile."""
_SIDES = range(1, MAX_SIDE + 1)


@instructions
def correlate_tile(
    typingctx: Any,
    vectors: Any,
    rows: Any,
    columns: Any,
    w: Any,
    w_at: Any,
    row_stride: Any,
    y: Any,
    y_at: Any,
    y_block: Any,
    y_channels: Any,
    pair_y: Any,
    x: Any,
    x_at: Any,
    x_block: Any,
    x_channels: Any,
    pair_x: Any,
    block_start: Any,
    block_stop: Any,
    pair_start: Any,
    pair_stop: Any,
) -> Any:
    """``w[w_at + r * row_stride + k] += sum over blocks, pairs and images of y * x``.

    For block b and pair p, ``y`` is read at ``b * y_block + y_at + pair_y[p] * y_channels + r``
    and ``x`` at ``b * x_block + x_at + pair_x[p] * x_channels + k``, in units of the images
    held together, which fill so many ``vectors``.
    """
    signature = types.void(
        vectors, rows, columns, w, w_at, row_stride, y, y_at, y_block, y_channels, pair_y, x, x_at,
        x_block, x_channels, pair_x, block_start, block_stop, pair_start, pair_stop,
    )  # fmt: skip

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit = Emitter(context, builder, w.dtype)
        (count, row_count, column_count, _, w_at, row_step, _, y_at, y_block, y_channels, _, _,
         x_at, x_block, x_channels, _, block_start, block_stop, start, stop) = args  # fmt: skip
        w_data, y_data, pair_y_data, x_data, pair_x_data = (
            emit.data(sig.args[i], args[i]) for i in (3, 6, 10, 11, 15)
        )

        def values(data: Any, at: Any, count: int, unit: int) -> list[Any]:
            return [emit.load(data, emit.add(at, integer(unit * i))) for i in range(count)]

        def body(vectors: int, height: int, width: int) -> None:
            unit = vectors * emit.lanes
            sums = emit.registers(height * width)
            with emit.loop(block_start, block_stop) as block:
                y_base = emit.add(y_at, emit.times(block, y_block))
                x_base = emit.add(x_at, emit.times(block, x_block))
                with emit.loop(start, stop) as pair:
                    y_pixel = emit.times(emit.number(pair_y_data, pair), y_channels)
                    x_pixel = emit.times(emit.number(pair_x_data, pair), x_channels)
                    y_here = emit.times(emit.add(y_base, y_pixel), unit)
                    x_here = emit.times(emit.add(x_base, x_pixel), unit)
                    for vector in range(vectors):
                        part = integer(vector * emit.lanes)
                        y_values = values(y_data, emit.add(y_here, part), height, unit)
                        x_values = values(x_data, emit.add(x_here, part), width, unit)
                        for number, slot in enumerate(sums):
                            row, column = divmod(number, width)
                            emit.accumulate(slot, y_values[row], x_values[column])
            for row in range(0, height, max(1, emit.lanes // width)):
                some = min(height - row, max(1, emit.lanes // width))
                slots = sums[row * width : (row + some) * width]
                totals = emit.sums_of_lanes([builder.load(slot) for slot in slots])
                for i in range(some):
                    part = emit.shuffle(totals, totals, list(range(i * width, (i + 1) * width)))
                    at = emit.add(w_at, emit.times(row_step, row + i))
                    emit.add_to(w_data, at, part)

        for vectors, height, width in product(range(1, MAX_VECTORS + 1), *[_SIDES] * 2):
            case = emit.case
            with case(count, vectors), case(row_count, height), case(column_count, width):
                body(vectors, height, width)
        return context.get_dummy_value()

    return signature, codegen


@compiled
def _correlate(
    y: Array,
    x: Array,
    w: Array,
    shape: Array,
    source: Array,
    target: Array,
    in_start: Array,
    in_size: Array,
    out_start: Array,
    out_size: Array,
    chunk_ptr: Array,
    pair_y: Array,
    pair_x: Array,
    counter: Array,
    step: int,
    tasks: int,
) -> None:
    """The gradient of every weight: what its target wants, times what its source said.

    Shapes:
        - **y**, **x**: in lanes; **w**: flat ``[E, taps, out_dim, in_dim]``, added to.
        - **shape**: blocks, blocks a group, pixels and channels of y, pixels and channels of x,
          out_dim, in_dim, vectors of images.
        - **chunk_ptr** ``[chunks, taps + 1]``, **pair_y**, **pair_x**: pairs of pixels that a
          tap joins, in chunks that stay in the cache.
        - Tasks: edges.
    """
    blocks, group, out_dim, in_dim, vectors = shape[0], shape[1], shape[6], shape[7], shape[8]
    pixels_y, channels_y, pixels_x, channels_x = shape[2], shape[3], shape[4], shape[5]
    chunks, taps = chunk_ptr.shape[0], chunk_ptr.shape[1] - 1
    groups = (blocks + group - 1) // group
    edge = take(counter, step)
    while edge < tasks:
        i, j = target[edge], source[edge]
        in_tiles = (in_size[j] + MAX_SIDE - 1) // MAX_SIDE
        out_tiles = (out_size[i] + MAX_SIDE - 1) // MAX_SIDE
        for turn in range(groups * chunks * taps):
            tap, chunk, first = turn % taps, turn // taps % chunks, turn // taps // chunks * group
            at = (edge * taps + tap) * out_dim * in_dim
            row = 0
            for out_tile in range(out_tiles):
                row_end = out_size[i] * (out_tile + 1) // out_tiles
                column = 0
                for in_tile in range(in_tiles):
                    column_end = in_size[j] * (in_tile + 1) // in_tiles
                    correlate_tile(
                        vectors,
                        row_end - row,
                        column_end - column,
                        w,
                        at + row * in_dim + column,
                        in_dim,
                        y,
                        out_start[i] * pixels_y + row,
                        pixels_y * channels_y,
                        out_size[i],
                        pair_y,
                        x,
                        in_start[j] * pixels_x + column,
                        pixels_x * channels_x,
                        in_size[j],
                        pair_x,
                        first,
                        min(first + group, blocks),
                        chunk_ptr[chunk, tap],
                        chunk_ptr[chunk, tap + 1],
                    )
                    column = column_end
                row = row_end
        edge = following(edge, counter, step)


@compiled
def correlate(arguments: tuple[Any, ...], team: int, threads: int) -> None:
    """:func:`_correlate` on so many threads."""
    if threads > 1:
        on_threads(_correlate, arguments, team, threads)
    else:
        _correlate(*arguments)
