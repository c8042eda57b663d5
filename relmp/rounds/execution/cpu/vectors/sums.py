"""Every node sums the vectors that it hears, times their weights."""

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
from relmp.rounds.execution.cpu.vectors.columns import (
    BLOCK_VECTORS,
    Columns,
    columns_of,
    share_of,
    turn,
)

SUMS = 24 if WIDE else 12
"""Registers that hold sums; the others hold what is multiplied."""
MAX_ROWS = 12 if WIDE else 6
"""Largest number of channels that are summed together."""
POWERS = (1, 2, 4, 8)
"""How many vectors are summed at once."""


def widest(rows: int) -> int:
    """How many vectors of so many rows the registers hold the sums of: a power of two."""
    vectors = BLOCK_VECTORS
    while rows * vectors > SUMS and vectors > 1:
        vectors //= 2
    return vectors


_WIDEST = np.array([1, *(widest(rows) for rows in range(1, MAX_ROWS + 1))])


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
            with emit.loop(total.pair_start, total.pair_stop) as pair:
                row_at = emit.times(emit.number(heard.row, pair), total.stride)
                first = emit.add(total.x_at, row_at)
                values = [
                    emit.load(x_data, emit.add(first, integer(v * emit.lanes)))
                    for v in range(vectors)
                ]
                weight = emit.add(total.w_at, emit.number(heard.weight, pair))
                for row in range(rows):
                    factor = emit.broadcast(emit.number(w_data, weight))
                    # From row to row: twelve places at once would not stay in registers.
                    weight = emit.add(weight, total.w_step)
                    for v in range(vectors):
                        emit.accumulate(sums[row * vectors + v], factor, values[v])
            for row in range(rows):
                begin = emit.add(total.y_at, emit.times(total.stride, row))
                for v in range(vectors):
                    place = emit.add(begin, integer(v * emit.lanes))
                    emit.store(builder.load(sums[row * vectors + v]), y_data, place)

        for vectors in POWERS:
            with emit.case(total.vectors, vectors):
                for rows in range(1, MAX_ROWS + 1):
                    if widest(rows) >= vectors:
                        with emit.case(total.rows, rows):
                            body(vectors, rows)
        return context.get_dummy_value()

    return signature, codegen


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
def heard_at(table: int, half: tuple[int, int, int]) -> Heard[Array]:
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
    columns, heard = columns_of(images, x_columns), heard_at(table, half)
    if begin <= 0 < end and not is_ready:
        turn(x_at, x_channels, x_columns, columns, False, counters[0:1], team, threads)
    if begin <= 1 < end:
        w = carray(pointer(w_at), weights, x_columns.dtype)
        blocks = (columns.vectors + BLOCK_VECTORS - 1) // BLOCK_VECTORS
        tasks = blocks * len(heard.size)
        step = share_of(tasks, threads)
        what = (x_columns, w, y_columns, columns, heard, (x_channels, y_channels), w_step)
        on_threads(_sum, (*what, counters[1:2], step, tasks), team, threads)
    if begin <= 2 < end and back:
        turn(y_at, y_channels, y_columns, columns, True, counters[2:3], team, threads)
