"""Register tiles: the innermost loops of a round, written as vector instructions.

A compiler does not keep a block of sums in registers across three nested loops, so the two
blocks are given to it as vectors: numba inlines what is built here, LLVM allocates registers
and chooses the instructions of the machine. A vector holds one channel of ``LANES`` images.

Arrays are flat; all offsets count elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_instructions: Callable[[Callable[..., Any]], Callable[..., Any]] = intrinsic
_FEATURES = llvmlite.binding.get_host_cpu_features()
_WIDE = bool(_FEATURES.get("avx512f"))

VECTOR_BYTES = 64 if _WIDE else 32 if _FEATURES.get("avx2") else 16
"""Bytes of a vector register."""
VECTORS = 2
"""Vectors of images that a tile holds for every channel."""
MAX_ROWS = 12 if _WIDE else 6
"""Largest number of channels of a multiplied tile: its sums fill most of the registers."""
MAX_SIDE = 4 if _WIDE else 3
"""Largest number of channels on each side of a correlated tile."""

_INT = ir.IntType(64)


def lanes(itemsize: int) -> int:
    """How many images the kernels handle together, for numbers of so many bytes."""
    return VECTORS * VECTOR_BYTES // itemsize


class _Emitter:
    """Builds instructions on flat arrays of one element type."""

    def __init__(self, context: Any, builder: Any, dtype: Any) -> None:
        self.context, self.builder = context, builder
        self.element = context.get_value_type(dtype)
        self.lanes = VECTOR_BYTES // (dtype.bitwidth // 8)
        self.align = dtype.bitwidth // 8
        self.vector = ir.VectorType(self.element, self.lanes)

    def data(self, array_type: Any, value: Any) -> Any:
        """The pointer to the first element of an array."""
        return self.context.make_array(array_type)(self.context, self.builder, value).data

    def number(self, pointer: Any, index: Any) -> Any:
        return self.builder.load(self.builder.gep(pointer, [index]))

    def load(self, pointer: Any, index: Any) -> Any:
        place = self.builder.bitcast(self.builder.gep(pointer, [index]), self.vector.as_pointer())
        return self.builder.load(place, align=self.align)

    def store(self, value: Any, pointer: Any, index: Any) -> None:
        place = self.builder.bitcast(self.builder.gep(pointer, [index]), self.vector.as_pointer())
        self.builder.store(value, place, align=self.align)

    def broadcast(self, scalar: Any) -> Any:
        undefined = ir.Constant(self.vector, ir.Undefined)
        one = self.builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, undefined, mask)

    def registers(self, count: int) -> list[Any]:
        """Sums that start at zero; LLVM turns these slots into registers."""
        slots = [cgutils.alloca_once(self.builder, self.vector) for _ in range(count)]
        for slot in slots:
            self.builder.store(ir.Constant(self.vector, [0.0] * self.lanes), slot)
        return slots

    def accumulate(self, slot: Any, a: Any, b: Any) -> None:
        product = self.builder.fmul(a, b, flags=("contract",))
        total = self.builder.fadd(self.builder.load(slot), product, flags=("contract",))
        self.builder.store(total, slot)

    def horizontal_sum(self, vector: Any) -> Any:
        """The sum over the lanes, halved again and again."""
        width = self.lanes
        index = ir.IntType(32)
        while width > 1:
            width //= 2
            upper = ir.Constant(ir.VectorType(index, width), list(range(width, 2 * width)))
            lower = ir.Constant(ir.VectorType(index, width), list(range(width)))
            vector = self.builder.fadd(
                self.builder.shuffle_vector(vector, vector, lower),
                self.builder.shuffle_vector(vector, vector, upper),
            )
        return self.builder.extract_element(vector, ir.Constant(index, 0))

    def add(self, *terms: Any) -> Any:
        total = terms[0]
        for term in terms[1:]:
            total = self.builder.add(total, term)
        return total

    def times(self, value: Any, factor: Any) -> Any:
        factor = _INT(factor) if isinstance(factor, int) else factor
        return self.builder.mul(value, factor)

    @contextmanager
    def loop(self, start: Any, stop: Any) -> Iterator[Any]:
        with cgutils.for_range_slice(self.builder, start, stop, _INT(1)) as (index, _):
            yield index

    @contextmanager
    def case(self, value: Any, constant: int) -> Iterator[None]:
        equal = self.builder.icmp_signed("==", value, _INT(constant))
        with self.builder.if_then(equal):
            yield


@_instructions
def multiply_tile(
    typingctx: Any,
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

    For edge e, tap t and channel k, ``x`` is read at ``edge_x[e] * pixels + tap_x[t] *
    edge_channels[e] + k`` (in units of the images held together) and ``w`` at ``w_at +
    edge_w[e] + tap_w[t] * tap_stride + r * row_stride + k * channel_stride``.
    """
    signature = types.void(
        rows, y, y_at, x, w, w_at, row_stride, channel_stride, tap_stride, edge_x, edge_w,
        edge_channels, edge_start, edge_stop, pixels, tap_x, tap_w, tap_start, tap_stop,
    )  # fmt: skip

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit = _Emitter(context, builder, y.dtype)
        (count, _, y_at, _, _, w_at, row_step, channel_step, tap_step,
         _, _, _, edge_start, edge_stop, pixels, _, _, tap_start, tap_stop) = args  # fmt: skip
        arrays = {i: emit.data(sig.args[i], args[i]) for i in (1, 3, 4, 9, 10, 11, 15, 16)}
        unit = VECTORS * emit.lanes

        def body(tile: int) -> None:
            sums = emit.registers(tile * VECTORS)
            row_offsets = [emit.times(row_step, row) for row in range(tile)]
            with emit.loop(edge_start, edge_stop) as edge:
                edge_in = emit.times(emit.number(arrays[9], edge), pixels)
                edge_weight = emit.add(w_at, emit.number(arrays[10], edge))
                channels = emit.number(arrays[11], edge)
                with emit.loop(tap_start, tap_stop) as tap:
                    pixel_at = emit.times(emit.number(arrays[15], tap), channels)
                    x_at = emit.times(emit.add(edge_in, pixel_at), unit)
                    tap_number = emit.number(arrays[16], tap)
                    weight_at = emit.add(edge_weight, emit.times(tap_number, tap_step))
                    with emit.loop(_INT(0), channels) as channel:
                        here = emit.add(x_at, emit.times(channel, unit))
                        values = [
                            emit.load(arrays[3], emit.add(here, _INT(v * emit.lanes)))
                            for v in range(VECTORS)
                        ]
                        weight = emit.add(weight_at, emit.times(channel, channel_step))
                        for row in range(tile):
                            scalar = emit.number(arrays[4], emit.add(weight, row_offsets[row]))
                            factor = emit.broadcast(scalar)
                            for v in range(VECTORS):
                                emit.accumulate(sums[row * VECTORS + v], factor, values[v])
            for number, slot in enumerate(sums):
                place = emit.add(emit.times(y_at, unit), _INT(number * emit.lanes))
                emit.store(builder.load(slot), arrays[1], place)

        for tile in range(1, MAX_ROWS + 1):
            with emit.case(count, tile):
                body(tile)
        return context.get_dummy_value()

    return signature, codegen


@_instructions
def correlate_tile(
    typingctx: Any,
    rows: Any,
    columns: Any,
    w: Any,
    w_at: Any,
    row_stride: Any,
    y: Any,
    y_at: Any,
    y_channels: Any,
    pair_y: Any,
    x: Any,
    x_at: Any,
    x_channels: Any,
    pair_x: Any,
    pair_start: Any,
    pair_stop: Any,
) -> Any:
    """``w[w_at + r * row_stride + k] += sum over pairs and images of y * x``, a small matrix.

    For pair p, ``y`` is read at ``y_at + pair_y[p] * y_channels + r`` and ``x`` at ``x_at +
    pair_x[p] * x_channels + k``, in units of the images held together.
    """
    signature = types.void(
        rows, columns, w, w_at, row_stride, y, y_at, y_channels, pair_y,
        x, x_at, x_channels, pair_x, pair_start, pair_stop,
    )  # fmt: skip

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit = _Emitter(context, builder, w.dtype)
        (row_count, column_count, _, w_at, row_step, _, y_at, y_channels, _,
         _, x_at, x_channels, _, start, stop) = args  # fmt: skip
        arrays = {i: emit.data(sig.args[i], args[i]) for i in (2, 5, 8, 9, 12)}
        unit = VECTORS * emit.lanes

        def body(height: int, width: int) -> None:
            sums = emit.registers(height * width)
            with emit.loop(start, stop) as pair:
                y_pixel = emit.times(emit.number(arrays[8], pair), y_channels)
                x_pixel = emit.times(emit.number(arrays[12], pair), x_channels)
                y_here = emit.times(emit.add(y_at, y_pixel), unit)
                x_here = emit.times(emit.add(x_at, x_pixel), unit)
                for v in range(VECTORS):
                    y_values, x_values = (
                        [
                            emit.load(
                                arrays[number],
                                emit.add(base, _INT(i * unit + v * emit.lanes)),
                            )
                            for i in range(size)
                        ]
                        for number, base, size in ((5, y_here, height), (9, x_here, width))
                    )
                    for row in range(height):
                        for column in range(width):
                            slot = sums[row * width + column]
                            emit.accumulate(slot, y_values[row], x_values[column])
            for row in range(height):
                for column in range(width):
                    at = emit.add(w_at, emit.times(row_step, row), _INT(column))
                    place = builder.gep(arrays[2], [at])
                    total = emit.horizontal_sum(builder.load(sums[row * width + column]))
                    builder.store(builder.fadd(builder.load(place), total), place)

        for height in range(1, MAX_SIDE + 1):
            for width in range(1, MAX_SIDE + 1):
                with emit.case(row_count, height), emit.case(column_count, width):
                    body(height, width)
        return context.get_dummy_value()

    return signature, codegen
