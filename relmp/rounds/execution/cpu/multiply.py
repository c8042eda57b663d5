"""A round in lanes: every node sums what it hears, a tile of channels at a time."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

from numba.core import types

from relmp.rounds.execution.cpu.pixels import Taps
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
from relmp.rounds.execution.cpu.tables import InEdges, Side

MAX_ROWS = 12 if WIDE else 6
"""Largest number of channels of a tile: its sums fill most of the registers."""


class MultiplyShape(NamedTuple):
    """The sizes of one round.

    Args:
        pixels: Pixels of an image of x.
        block: Length of a block of x, in elements.
        channels: Channels of y.
        row_stride, channel_stride, tap_stride: From a number of w to that of the next channel
            of y, of the next channel of x, and of the next tap.
        blocks: Blocks in all.
        group: How many of them a task handles.
        parts: Into how many parts the pixels of y are divided.
        vectors: How many vectors a block of images fills.
    """

    pixels: int
    block: int
    channels: int
    row_stride: int
    channel_stride: int
    tap_stride: int
    blocks: int
    group: int
    parts: int
    vectors: int


class Sum(NamedTuple):
    """One sum of a round: ``rows`` channels of y from ``y_at``, by weights from ``w_at``, over the
    edges and taps from a start to a stop."""

    rows: int
    y_at: int
    w_at: int
    edge_start: int
    edge_stop: int
    tap_start: int
    tap_stop: int


@instructions
def multiply_tile(
    typingctx: Any, y: Any, x: Any, w: Any, total: Any, shape: Any, edges: Any, taps: Any
) -> Any:
    """``y[y_at + r] = sum over edges, taps and channels of w * x`` for ``rows`` channels r.

    For edge e, tap t and channel k, ``x`` is read at ``edges.start[e] * pixels + taps.other[t] *
    edges.size[e] + k`` (times the images of a block) and ``w`` at ``w_at +
    edges.weight[e] + taps.tap[t] * tap_stride + r * row_stride + k * channel_stride``.

    Args:
        y, x, w: Arrays; x begins at the block in hand.
        total: :class:`Sum`.
        shape: :class:`MultiplyShape`.
        edges: :class:`relmp.rounds.execution.cpu.tables.InEdges`.
        taps: :class:`relmp.rounds.execution.cpu.pixels.Taps`.
    """
    signature = types.void(y, x, w, total, shape, edges, taps)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit = Emitter(context, builder, y.dtype)
        y_data, x_data, w_data = (emit.data(sig.args[i], args[i]) for i in range(3))
        total, shape, edges, taps = (emit.fields(sig.args[i], args[i]) for i in range(3, 7))

        def body(vectors: int, tile: int) -> None:
            unit = vectors * emit.lanes
            sums = emit.registers(tile * vectors)
            row_offsets = [emit.times(shape.row_stride, row) for row in range(tile)]
            with emit.loop(total.edge_start, total.edge_stop) as edge:
                edge_in = emit.times(emit.number(edges.start, edge), shape.pixels)
                edge_weight = emit.add(total.w_at, emit.number(edges.weight, edge))
                channels = emit.number(edges.size, edge)
                with emit.loop(total.tap_start, total.tap_stop) as tap:
                    pixel_at = emit.times(emit.number(taps.other, tap), channels)
                    x_at = emit.times(emit.add(edge_in, pixel_at), unit)
                    tap_number = emit.number(taps.tap, tap)
                    weight_at = emit.add(edge_weight, emit.times(tap_number, shape.tap_stride))
                    with emit.loop(integer(0), channels) as channel:
                        first = emit.add(x_at, emit.times(channel, unit))
                        values = [
                            emit.load(x_data, emit.add(first, integer(v * emit.lanes)))
                            for v in range(vectors)
                        ]
                        weight = emit.add(weight_at, emit.times(channel, shape.channel_stride))
                        for row in range(tile):
                            scalar = emit.number(w_data, emit.add(weight, row_offsets[row]))
                            factor = emit.broadcast(scalar)
                            for v in range(vectors):
                                emit.accumulate(sums[row * vectors + v], factor, values[v])
            for number, slot in enumerate(sums):
                place = emit.add(emit.times(total.y_at, unit), integer(number * emit.lanes))
                emit.store(builder.load(slot), y_data, place)

        for vectors, tile in product(range(1, MAX_VECTORS + 1), range(1, MAX_ROWS + 1)):
            with emit.case(shape.vectors, vectors), emit.case(total.rows, tile):
                body(vectors, tile)
        return context.get_dummy_value()

    return signature, codegen


@compiled
def _multiply(
    x: Array,
    w: Array,
    y: Array,
    shape: tuple[int, ...],
    y_side: tuple[Array, ...],
    edges: tuple[Array, ...],
    taps: tuple[Array, ...],
    counter: Array,
    step: int,
    tasks: int,
) -> None:
    """One round: every node sums the weighted channels of its neighbours at the tapped pixels.

    Shapes:
        - **x**, **y**: in lanes; **w**: flat.
        - **shape**: :class:`MultiplyShape`.
        - **y_side**: :class:`Side`, the channels of every node of y.
        - **edges**: :class:`InEdges`, the edges into every node.
        - **taps**: :class:`Taps`, the pixels of x that every pixel of y sees.
        - Tasks: groups of blocks x parts of the pixels x nodes.
    """
    shape, y_side = MultiplyShape(*shape), Side(*y_side)
    edges, taps = InEdges(*edges), Taps(*taps)
    count, pixels = y_side.size.shape[0], taps.ptr.shape[0] - 1
    task = take(counter, step)
    while task < tasks:
        node, part = task % count, task // count % shape.parts
        first = task // count // shape.parts * shape.group
        size = y_side.size[node]
        tiles = (size + MAX_ROWS - 1) // MAX_ROWS
        for block in range(first, min(first + shape.group, shape.blocks)):
            x_block = x[block * shape.block :]
            begin = (block * shape.channels + y_side.start[node]) * pixels
            for pixel in range(pixels * part // shape.parts, pixels * (part + 1) // shape.parts):
                row = 0
                for tile in range(tiles):
                    row_end = size * (tile + 1) // tiles
                    total = Sum(
                        rows=row_end - row,
                        y_at=begin + pixel * size + row,
                        w_at=row * shape.row_stride,
                        edge_start=edges.ptr[node],
                        edge_stop=edges.ptr[node + 1],
                        tap_start=taps.ptr[pixel],
                        tap_stop=taps.ptr[pixel + 1],
                    )
                    multiply_tile(y, x_block, w, total, shape, edges, taps)
                    row = row_end
        task = following(task, counter, step)


@compiled
def multiply(arguments: tuple[Any, ...], team: int, threads: int) -> None:
    """:func:`_multiply` on so many threads."""
    on_threads(_multiply, arguments, team, threads)
