"""A round of vectors in columns: the batch lies in the lanes, a channel is a row.

In columns, a flat array ``[blocks, channels, row]`` holds up to ``BLOCK_VECTORS`` vectors of
images side by side, and rows begin on odd cache lines apart, so that rows read together do not
push one another out of the nearest cache. What a node hears is a list of rows with the places of
their weights, end to end over its edges, so that nodes of one channel are summed as fast as
larger ones.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import carray
from numba.core import types

from relmp.rounds.execution.cpu.simd import (
    VECTOR_BYTES,
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
from relmp.rounds.execution.cpu.transpose import transpose_tile

BLOCK_VECTORS = 8
"""Largest number of vectors of a row."""
SUMS = 24 if WIDE else 12
"""Registers that hold sums; the others hold what is multiplied."""
MAX_ROWS = 12 if WIDE else 6
"""Largest number of channels that are summed together."""
MAX_SIDE = 6 if WIDE else 3
"""Largest number of channels of the listener in a tile of the gradient of the weights."""
PIECES = 16
"""Tasks are taken so many times by a thread, so that one that is held up holds up no other."""


class Columns(NamedTuple):
    """The sizes of arrays in columns.

    Args:
        images: The batch.
        vectors: How many vectors it fills.
        stride: From a row to the next, in elements.
    """

    images: int
    vectors: int
    stride: int


def column_numbers(images: int, channels: int, itemsize: int) -> int:
    """How many numbers a batch takes in columns."""
    lanes = VECTOR_BYTES // itemsize
    vectors = -(-images // lanes)
    return -(-vectors // BLOCK_VECTORS) * channels * lanes * (min(vectors, BLOCK_VECTORS) | 1)


@compiled
def columns_of(images: int, a: Array) -> Columns:
    """The columns of a batch, of numbers as ``a`` has them."""
    lanes = VECTOR_BYTES // a.itemsize
    vectors = (images + lanes - 1) // lanes
    return Columns(images, vectors, lanes * (min(vectors, BLOCK_VECTORS) | 1))


@compiled
def _heard_at(table: int, half: tuple[int, int, int]) -> Heard[Array]:
    """A half of the :func:`relmp.rounds.execution.cpu.tables.vector_table` at an address: its
    nodes, its pairs, and where it begins."""
    nodes, pairs, begin = half
    numbers = carray(pointer(table + 8 * begin), 3 * nodes + 1 + 2 * pairs, np.int64)
    start = nodes + 1 + 2 * pairs
    return Heard(
        numbers[: nodes + 1],
        numbers[nodes + 1 : nodes + 1 + pairs],
        numbers[nodes + 1 + pairs : start],
        numbers[start : start + nodes],
        numbers[start + nodes :],
    )


def widest(rows: int) -> int:
    """How many vectors of so many rows the registers hold the sums of: a power of two."""
    vectors = BLOCK_VECTORS
    while rows * vectors > SUMS and vectors > 1:
        vectors //= 2
    return vectors


def broadest(side: int) -> int:
    """How many columns beside so many rows the registers hold the sums of: a power of two."""
    return 8 if 8 * side <= SUMS else 4 if 4 * side <= SUMS else 2 if 2 * side <= SUMS else 1


_WIDEST = np.array([1, *(widest(rows) for rows in range(1, MAX_ROWS + 1))])
_BROADEST = np.array([1, *(broadest(side) for side in range(1, MAX_SIDE + 1))])
_VECTORS = (1, 2, 4, 8)


class Total(NamedTuple):
    """One tile of sums: ``rows`` channels from ``y_at``, of ``vectors`` vectors of ``x`` from
    ``x_at``, by weights from ``w_at`` that are ``w_step`` apart, over pairs."""

    rows: int
    vectors: int
    y_at: int
    x_at: int
    w_at: int
    w_step: int
    stride: int
    pair_start: int
    pair_stop: int


@instructions
def sum_tile(typingctx: Any, y: Any, x: Any, w: Any, total: Any, heard: Any) -> Any:
    """``y[y_at + r * stride] = sum over pairs p of w[w_at + heard.weight[p] + r * w_step] *
    x[x_at + heard.row[p] * stride]`` for channels r, a vector at a time."""
    signature = types.void(y, x, w, total, heard)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit = Emitter(context, builder, y.dtype)
        y_data, x_data, w_data = (emit.data(sig.args[i], args[i]) for i in range(3))
        total, heard = (emit.fields(sig.args[i], args[i]) for i in (3, 4))

        def body(vectors: int, rows: int) -> None:
            sums = emit.registers(rows * vectors)
            steps = [emit.times(total.w_step, row) for row in range(rows)]
            with emit.loop(total.pair_start, total.pair_stop) as pair:
                row_at = emit.times(emit.number(heard.row, pair), total.stride)
                first = emit.add(total.x_at, row_at)
                values = [
                    emit.load(x_data, emit.add(first, integer(v * emit.lanes)))
                    for v in range(vectors)
                ]
                weight = emit.add(total.w_at, emit.number(heard.weight, pair))
                for row in range(rows):
                    factor = emit.broadcast(emit.number(w_data, emit.add(weight, steps[row])))
                    for v in range(vectors):
                        emit.accumulate(sums[row * vectors + v], factor, values[v])
            for row in range(rows):
                begin = emit.add(total.y_at, emit.times(total.stride, row))
                for v in range(vectors):
                    place = emit.add(begin, integer(v * emit.lanes))
                    emit.store(builder.load(sums[row * vectors + v]), y_data, place)

        for vectors in _VECTORS:
            with emit.case(total.vectors, vectors):
                for rows in range(1, MAX_ROWS + 1):
                    if widest(rows) >= vectors:
                        with emit.case(total.rows, rows):
                            body(vectors, rows)
        return context.get_dummy_value()

    return signature, codegen


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
            for first in range(0, len(sums), emit.lanes):
                some = range(first, min(first + emit.lanes, len(sums)))
                totals = emit.sums_of_lanes([builder.load(sums[i]) for i in some])
                for lane, number in enumerate(some):
                    row, column = divmod(number, columns)
                    at = emit.add(places[column], emit.times(tile.w_step, row))
                    value = builder.extract_element(totals, integer(lane))
                    builder.store(value, builder.gep(w_data, [at]))

        for rows in range(1, MAX_SIDE + 1):
            with emit.case(tile.rows, rows):
                for columns in _VECTORS:
                    if columns <= broadest(rows):
                        with emit.case(tile.columns, columns):
                            body(rows, columns)
        return context.get_dummy_value()

    return signature, codegen


@compiled
def to_columns(
    x: Array, out: Array, columns: Columns, back: bool, counter: Array, step: int, tasks: int
) -> None:
    """``x [B, C]`` into columns, where lanes behind the batch are zero; or back.

    Tasks: squares of images x channels; those of the last images are not whole.
    """
    images, channels = x.shape
    square = VECTOR_BYTES // x.itemsize
    flat, wide = x.reshape(x.size), (channels + square - 1) // square
    x_rows, out_rows = np.arange(square) * channels, np.arange(square) * columns.stride
    task = take(counter, step)
    while task < tasks:
        vector, part = task // wide, task % wide
        image, channel = vector * square, max(0, min(part * square, channels - square))
        block, lane = vector // BLOCK_VECTORS, vector % BLOCK_VECTORS * square
        at = (block * channels + channel) * columns.stride + lane
        here = image * channels + channel
        if image + square <= images and square <= channels:
            if back:
                transpose_tile(flat, here, x_rows, out, at, out_rows)
            else:
                transpose_tile(out, at, out_rows, flat, here, x_rows)
        else:
            for k in range(min(square, channels)):
                for i in range(square):
                    inside = image + i < images
                    if not back:
                        value = flat[here + x_rows[i] + k] if inside else 0
                        out[at + out_rows[k] + i] = value
                    elif inside:
                        flat[here + x_rows[i] + k] = out[at + out_rows[k] + i]
        task = following(task, counter, step)


@compiled
def _sum(
    x: Array, w: Array, y: Array, columns: Columns, heard: Heard[Array],
    channels: tuple[int, int], w_step: int, counter: Array, step: int, tasks: int,
) -> None:  # fmt: skip
    """Every node sums the rows that it hears, times their weights. Tasks: blocks x nodes."""
    lanes, nodes = VECTOR_BYTES // x.itemsize, heard.size.shape[0]
    task = take(counter, step)
    while task < tasks:
        block, node = task // nodes, task % nodes
        size = heard.size[node]
        tiles = (size + MAX_ROWS - 1) // MAX_ROWS
        vectors = min(BLOCK_VECTORS, columns.vectors - block * BLOCK_VECTORS)
        x_at = block * channels[0] * columns.stride
        y_at = (block * channels[1] + heard.start[node]) * columns.stride
        vector = 0
        while vector < vectors:
            width = _WIDEST[(size + tiles - 1) // tiles]
            while width > vectors - vector:
                width //= 2
            row = 0
            for tile in range(tiles):
                row_end = size * (tile + 1) // tiles
                total = Total(
                    rows=row_end - row,
                    vectors=width,
                    y_at=y_at + row * columns.stride + vector * lanes,
                    x_at=x_at + vector * lanes,
                    w_at=row * w_step,
                    w_step=w_step,
                    stride=columns.stride,
                    pair_start=heard.ptr[node],
                    pair_stop=heard.ptr[node + 1],
                )
                sum_tile(y, x, w, total, heard)
                row = row_end
            vector += width
        task = following(task, counter, step)


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
def share_of(tasks: int, threads: int) -> int:
    """How many tasks a thread takes at a time."""
    return max(1, tasks // (threads * PIECES))


@compiled
def squares(x: Array, columns: Columns) -> int:
    square = VECTOR_BYTES // x.itemsize
    return columns.vectors * ((x.shape[1] + square - 1) // square)


@compiled
def multiply(
    x_at: int, w_at: int, y_at: int, table: int, x_columns: Array, y_columns: Array,
    sizes: tuple[int, int, int, int], half: tuple[int, int, int], w_step: int, is_ready: bool,
    back: bool, counters: Array, begin: int, end: int, team: int, threads: int,
) -> None:  # fmt: skip
    """``y``: what every node hears of ``x``, summed. In three phases, of which those from ``begin``
    to ``end`` are done: into columns (unless ``is_ready``), summing, and ``back``.

    Args:
        x_at, w_at, y_at, table: Addresses of what is contiguous, which takes a fraction of the
            time that arrays take to be handed over.
        x_columns, y_columns: Room for both in columns.
        sizes: Images, channels of x and of y, and weights.
        half: Which half of the table is heard.
        w_step: From the weight of a channel of y to that of the next one.
    """
    images, x_channels, y_channels, weights = sizes
    columns, heard = columns_of(images, x_columns), _heard_at(table, half)
    if begin <= 0 < end and not is_ready:
        x = carray(pointer(x_at), (images, x_channels), x_columns.dtype)
        tasks = squares(x, columns)
        step = share_of(tasks, threads)
        arguments = (x, x_columns, columns, False, counters[0:1], step, tasks)
        on_threads(to_columns, arguments, team, threads)
    if begin <= 1 < end:
        w = carray(pointer(w_at), weights, x_columns.dtype)
        blocks = (columns.vectors + BLOCK_VECTORS - 1) // BLOCK_VECTORS
        tasks = blocks * len(heard.size)
        step = share_of(tasks, threads)
        what = (x_columns, w, y_columns, columns, heard, (x_channels, y_channels), w_step)
        on_threads(_sum, (*what, counters[1:2], step, tasks), team, threads)
    if begin <= 2 < end and back:
        y = carray(pointer(y_at), (images, y_channels), x_columns.dtype)
        tasks = squares(y, columns)
        step = share_of(tasks, threads)
        arguments = (y, y_columns, columns, True, counters[2:3], step, tasks)
        on_threads(to_columns, arguments, team, threads)


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
    columns, heard = columns_of(images, x_columns), _heard_at(table, half)
    if begin <= 0 < end and not is_ready:
        y = carray(pointer(y_at), (images, y_channels), x_columns.dtype)
        tasks = squares(y, columns)
        step = share_of(tasks, threads)
        arguments = (y, y_columns, columns, False, counters[0:1], step, tasks)
        on_threads(to_columns, arguments, team, threads)
    if begin <= 1 < end:
        x = carray(pointer(x_at), (images, x_channels), x_columns.dtype)
        tasks = squares(x, columns)
        step = share_of(tasks, threads)
        arguments = (x, x_columns, columns, False, counters[1:2], step, tasks)
        on_threads(to_columns, arguments, team, threads)
    if begin <= 2 < end:
        w = carray(pointer(w_at), weights, x_columns.dtype)
        tasks = len(heard.size)
        what = (y_columns, x_columns, w, columns, heard, (x_channels, y_channels), w_step)
        step = share_of(tasks, threads)
        on_threads(_correlate, (*what, counters[2:3], step, tasks), team, threads)
