"""The gradient of the weights, in lanes: both ends of every edge, a tile at a time."""

from __future__ import annotations

from itertools import product as combinations
from typing import Any, NamedTuple

import numpy as np
from numba.core import types

from relmp.rounds.execution.cpu.pixels import Pairs
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
from relmp.rounds.execution.cpu.tables import Side

MAX_SIDE = 5 if WIDE else 3
"""Largest number of channels on each side of a tile."""
_SIDES = range(1, MAX_SIDE + 1)


class CorrelateShape(NamedTuple):
    """The sizes of one gradient of the weights.

    Args:
        blocks: Blocks of images.
        group: How many of them are added up before the next chunk of pixels.
        pixels_y, channels_y, pixels_x, channels_x: Pixels and channels of both sides.
        out_dim, in_dim: The largest node sizes of both sides.
        vectors: How many vectors a block of images fills.
    """

    blocks: int
    group: int
    pixels_y: int
    channels_y: int
    pixels_x: int
    channels_x: int
    out_dim: int
    in_dim: int
    vectors: int


class End(NamedTuple):
    """One end of an edge in lanes, counted in channels of a block: the first channel of a tile at
    the first pixel, the length of a block, and the channels of the node."""

    at: int
    block: int
    channels: int


class Product(NamedTuple):
    """One tile of a gradient: ``rows`` times ``columns`` weights from ``w_at``, over the blocks
    of images and the pairs of pixels from a start to a stop."""

    rows: int
    columns: int
    w_at: int
    block_start: int
    block_stop: int
    pair_start: int
    pair_stop: int


@instructions
def correlate_tile(
    typingctx: Any,
    w: Any,
    y: Any,
    x: Any,
    product: Any,
    shape: Any,
    listener: Any,
    speaker: Any,
    pairs: Any,
) -> Any:
    """``w[w_at + r * in_dim + k] += sum over blocks, pairs and images of y * x``.

    For block b and pair p, ``y`` is read at ``b * block + at + pairs.out[p] * channels + r`` of
    the listener, and ``x`` at ``b * block + at + pairs.into[p] * channels + k`` of the speaker.

    Args:
        w, y, x: Arrays.
        product: :class:`Product`.
        shape: :class:`CorrelateShape`.
        listener, speaker: :class:`End` of y and of x.
        pairs: :class:`relmp.rounds.execution.cpu.pixels.Pairs`.
    """
    signature = types.void(w, y, x, product, shape, listener, speaker, pairs)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit = Emitter(context, builder, w.dtype)
        w_data, y_data, x_data = (emit.data(sig.args[i], args[i]) for i in range(3))
        product, shape, listener, speaker, pairs = (
            emit.fields(sig.args[i], args[i]) for i in range(3, 8)
        )

        def values(data: Any, at: Any, count: int, unit: int) -> list[Any]:
            return [emit.load(data, emit.add(at, integer(unit * i))) for i in range(count)]

        def body(vectors: int, height: int, width: int) -> None:
            unit = vectors * emit.lanes
            sums = emit.registers(height * width)
            with emit.loop(product.block_start, product.block_stop) as block:
                y_base = emit.add(listener.at, emit.times(block, listener.block))
                x_base = emit.add(speaker.at, emit.times(block, speaker.block))
                with emit.loop(product.pair_start, product.pair_stop) as pair:
                    y_pixel = emit.times(emit.number(pairs.out, pair), listener.channels)
                    x_pixel = emit.times(emit.number(pairs.into, pair), speaker.channels)
                    y_here = emit.times(emit.add(y_base, y_pixel), unit)
                    x_here = emit.times(emit.add(x_base, x_pixel), unit)
                    for vector in range(vectors):
                        part = integer(vector * emit.lanes)
                        y_values = values(y_data, emit.add(y_here, part), height, unit)
                        x_values = values(x_data, emit.add(x_here, part), width, unit)
                        for number, slot in enumerate(sums):
                            row, column = divmod(number, width)
                            emit.accumulate(slot, y_values[row], x_values[column])
            rows = max(1, emit.lanes // width)  # whose sums one vector holds; or a part of a row
            for row, column in combinations(range(0, height, rows), range(0, width, emit.lanes)):
                some, reach = min(height - row, rows), min(width - column, emit.lanes)
                slots = [
                    sums[(row + i) * width + column + k] for i in range(some) for k in range(reach)
                ]
                totals = emit.sums_of_lanes([builder.load(slot) for slot in slots])
                for i in range(some):
                    part = emit.shuffle(totals, totals, list(range(i * reach, (i + 1) * reach)))
                    place = emit.add(product.w_at, emit.times(shape.in_dim, row + i))
                    emit.add_to(w_data, emit.add(place, integer(column)), part)

        for vectors, height, width in combinations(range(1, MAX_VECTORS + 1), *[_SIDES] * 2):
            case = emit.case
            with (
                case(shape.vectors, vectors),
                case(product.rows, height),
                case(product.columns, width),
            ):
                body(vectors, height, width)
        return context.get_dummy_value()

    return signature, codegen


@compiled
def _correlate(
    y: Array,
    x: Array,
    w: Array,
    shape: tuple[int, ...],
    source: Array,
    target: Array,
    x_side: tuple[Array, ...],
    y_side: tuple[Array, ...],
    pairs: tuple[Array, ...],
    counter: Array,
    step: int,
    tasks: int,
) -> None:
    """The gradient of every weight: what its target wants, times what its source said.

    Shapes:
        - **y**, **x**: in lanes; **w**: flat ``[E, out_dim, in_dim, taps]``.
        - **shape**: :class:`CorrelateShape`.
        - **source**, **target** ``[E]``: the ends of every edge.
        - **x_side**, **y_side**: :class:`Side`, the channels of every node of x and of y.
        - **pairs**: :class:`Pairs` of pixels, in chunks that stay in the cache.
        - Tasks: edges.
    """
    shape, pairs = CorrelateShape(*shape), Pairs(*pairs)
    x_side, y_side = Side(*x_side), Side(*y_side)
    chunks, taps = pairs.ptr.shape[0], pairs.ptr.shape[1] - 1
    groups = (shape.blocks + shape.group - 1) // shape.group
    own = np.empty(taps * shape.out_dim * shape.in_dim, dtype=w.dtype)
    edge = take(counter, step)
    while edge < tasks:
        i, j = target[edge], source[edge]
        own[:] = 0
        in_size, out_size = x_side.size[j], y_side.size[i]
        in_tiles = (in_size + MAX_SIDE - 1) // MAX_SIDE
        out_tiles = (out_size + MAX_SIDE - 1) // MAX_SIDE
        for turn in range(groups * chunks * taps):
            tap, chunk = turn % taps, turn // taps % chunks
            first = turn // taps // chunks * shape.group
            at = tap * shape.out_dim * shape.in_dim
            row = 0
            for out_tile in range(out_tiles):
                row_end = out_size * (out_tile + 1) // out_tiles
                column = 0
                for in_tile in range(in_tiles):
                    column_end = in_size * (in_tile + 1) // in_tiles
                    product = Product(
                        rows=row_end - row,
                        columns=column_end - column,
                        w_at=at + row * shape.in_dim + column,
                        block_start=first,
                        block_stop=min(first + shape.group, shape.blocks),
                        pair_start=pairs.ptr[chunk, tap],
                        pair_stop=pairs.ptr[chunk, tap + 1],
                    )
                    listener = End(
                        at=y_side.start[i] * shape.pixels_y + row,
                        block=shape.pixels_y * shape.channels_y,
                        channels=out_size,
                    )
                    speaker = End(
                        at=x_side.start[j] * shape.pixels_x + column,
                        block=shape.pixels_x * shape.channels_x,
                        channels=in_size,
                    )
                    correlate_tile(own, y, x, product, shape, listener, speaker, pairs)
                    column = column_end
                row = row_end
        whole = own.reshape(taps, shape.out_dim * shape.in_dim)
        place = w[edge * own.size : (edge + 1) * own.size].reshape(whole.shape[1], taps)
        for number in range(whole.shape[1]):
            for tap in range(taps):
                place[number, tap] = whole[tap, number]
        edge = following(edge, counter, step)


@compiled
def correlate(arguments: tuple[Any, ...], team: int, threads: int) -> None:
    """:func:`_correlate` on so many threads."""
    on_threads(_correlate, arguments, team, threads)
