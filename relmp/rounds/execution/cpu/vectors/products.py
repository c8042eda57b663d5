"""The gradient of the weights of vectors: what every node wants, times what it heard."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import carray
from numba.core import types

from relmp.rounds.execution.cpu.simd import (
    WIDE,
    Array,
    Emitter,
    compiled,
    following,
    instructions,
    integer,
    on_threads,
    pointer,
    take,
)
from relmp.rounds.execution.cpu.tables import Heard
from relmp.rounds.execution.cpu.vectors.columns import (
    BLOCK_VECTORS,
    Columns,
    columns_of,
    share_of,
    turn,
)
from relmp.rounds.execution.cpu.vectors.sums import POWERS, SUMS, heard_at

MAX_SIDE = 6 if WIDE else 3
"""Largest number of channels of the listener in a tile."""


def broadest(side: int) -> int:
    """How many columns beside so many rows the registers hold the sums of: a power of two."""
    return 8 if 8 * side <= SUMS else 4 if 4 * side <= SUMS else 2 if 2 * side <= SUMS else 1


_BROADEST = np.array([1, *(broadest(side) for side in range(1, MAX_SIDE + 1))])


class Tile(NamedTuple):
    """One tile of the gradient of the weights: ``rows`` channels of y from ``y_at``, ``columns``
    pairs from ``pair``, over ``blocks`` blocks, ``y_block`` and ``x_block`` elements long, of
    ``vectors`` vectors, ``tail`` in the last one."""

    rows: int
    columns: int
    pair: int
    y_at: int
    w_at: int
    w_step: int
    stride: int
    blocks: int
    y_block: int
    x_block: int
    vectors: int
    tail: int


@instructions
def product_tile(typingctx: Any, w: Any, y: Any, x: Any, tile: Any, heard: Any) -> Any:
    """``w[w_at + heard.weight[p] + r * w_step] = sum over images of y[y_at + r * stride] *
    x[heard.row[p] * stride]`` for channels r and pairs p of a tile."""
    signature = types.void(w, y, x, tile, heard)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit = Emitter(context, builder, w.dtype)
        w_data, y_data, x_data = (emit.data(sig.args[i], args[i]) for i in range(3))
        tile, heard = (emit.fields(sig.args[i], args[i]) for i in (3, 4))

        def body(rows: int, columns: int) -> None:
            sums = emit.registers(rows * columns)
            pairs = [emit.add(tile.pair, integer(c)) for c in range(columns)]
            y_rows = [emit.add(tile.y_at, emit.times(tile.stride, r)) for r in range(rows)]
            x_rows = [emit.times(emit.number(heard.row, pair), tile.stride) for pair in pairs]
            last = emit.add(tile.blocks, integer(-1))
            with emit.loop(integer(0), tile.blocks) as block:
                is_last = builder.icmp_signed("==", block, last)
                count = builder.select(is_last, tile.tail, tile.vectors)
                y_block = emit.times(tile.y_block, block)
                x_block = emit.times(tile.x_block, block)
                with emit.loop(integer(0), count) as vector:
                    here = emit.times(vector, emit.lanes)
                    y_here, x_here = emit.add(y_block, here), emit.add(x_block, here)
                    y_values = [emit.load(y_data, emit.add(y_here, at)) for at in y_rows]
                    for column, at in enumerate(x_rows):
                        value = emit.load(x_data, emit.add(x_here, at))
                        for row in range(rows):
                            emit.accumulate(sums[row * columns + column], y_values[row], value)
            places = [emit.add(tile.w_at, emit.number(heard.weight, pair)) for pair in pairs]
            totals = []
            for first in range(0, len(sums), emit.lanes):
                some = sums[first : first + emit.lanes]
                totals.append(emit.sums_of_lanes([builder.load(slot) for slot in some]))

            def store(length: int) -> None:
                """Write totals, so many columns of a row at a time."""
                row_at = integer(0)
                for row in range(rows):
                    for column in range(0, columns, length):
                        group, lane = divmod(row * columns + column, emit.lanes)
                        lanes = list(range(lane, lane + length))
                        value = emit.shuffle(totals[group], totals[group], lanes)
                        at = builder.gep(w_data, [emit.add(places[column], row_at)])
                        place = builder.bitcast(at, value.type.as_pointer())
                        builder.store(value, place, align=emit.align)
                    row_at = emit.add(row_at, tile.w_step)

            # Places ascend, so that as many as lie within a row of the weights adjoin.
            apart = builder.sub(places[-1], places[0])
            adjoin = builder.icmp_signed("==", apart, integer(columns - 1))
            with builder.if_else(adjoin) as (together, alone):
                with together:
                    store(min(columns, emit.lanes))
                with alone:
                    store(1)

        for rows in range(1, MAX_SIDE + 1):
            with emit.case(tile.rows, rows):
                for columns in POWERS:
                    if columns <= broadest(rows):
                        with emit.case(tile.columns, columns):
                            body(rows, columns)
        return context.get_dummy_value()

    return signature, codegen


@compiled
def _correlate(
    y: Array, x: Array, w: Array, columns: Columns, heard: Heard[Array],
    channels: tuple[int, int], w_step: int, counter: Array, step: int, tasks: int,
) -> None:  # fmt: skip
    """The gradient of every weight: what the node wants, times what it heard. Tasks: nodes."""
    blocks = (columns.vectors + BLOCK_VECTORS - 1) // BLOCK_VECTORS
    node = take(counter, step)
    while node < tasks:
        size = heard.size[node]
        tiles, row = (size + MAX_SIDE - 1) // MAX_SIDE, 0
        for tile in range(tiles):
            row_end = size * (tile + 1) // tiles
            pair = heard.ptr[node]
            while pair < heard.ptr[node + 1]:
                width = _BROADEST[row_end - row]
                while width > heard.ptr[node + 1] - pair:
                    width //= 2
                part = Tile(
                    rows=row_end - row,
                    columns=width,
                    pair=pair,
                    y_at=(heard.start[node] + row) * columns.stride,
                    w_at=row * w_step,
                    w_step=w_step,
                    stride=columns.stride,
                    blocks=blocks,
                    y_block=channels[1] * columns.stride,
                    x_block=channels[0] * columns.stride,
                    vectors=BLOCK_VECTORS,
                    tail=columns.vectors - (blocks - 1) * BLOCK_VECTORS,
                )
                product_tile(w, y, x, part, heard)
                pair += width
            row = row_end
        node = following(node, counter, step)


@compiled
def correlate(
    y_at: int, x_at: int, w_at: int, table: int, y_columns: Array, x_columns: Array,
    sizes: tuple[int, int, int, int], half: tuple[int, int, int], w_step: int, is_ready: bool,
    counters: Array, begin: int, end: int, team: int, threads: int,
) -> None:  # fmt: skip
    """``w``: what every node wants of the weights of what it heard. In three phases: y into
    columns (unless ``is_ready``), x into columns, and their products. The arguments are those of
    :func:`multiply`."""
    images, x_channels, y_channels, weights = sizes
    columns, heard = columns_of(images, x_columns), heard_at(table, half)
    if begin <= 0 < end and not is_ready:
        turn(y_at, y_channels, y_columns, columns, False, counters[0:1], team, threads)
    if begin <= 1 < end:
        turn(x_at, x_channels, x_columns, columns, False, counters[1:2], team, threads)
    if begin <= 2 < end:
        w = carray(pointer(w_at), weights, x_columns.dtype)
        tasks = len(heard.size)
        what = (y_columns, x_columns, w, columns, heard, (x_channels, y_channels), w_step)
        step = share_of(tasks, threads)
        on_threads(_correlate, (*what, counters[2:3], step, tasks), team, threads)
