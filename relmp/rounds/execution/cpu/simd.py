"""Vector instructions for kernels, built for LLVM.

A compiler does not keep a block of sums in registers across nested loops. So the innermost
blocks of the kernels are given to it as vectors: numba inlines what is built here, LLVM
allocates registers and chooses the instructions of the machine.

Arrays are flat, and all places count elements. Kernels are kept on disk once compiled; numba
compiles one again when its own file changes, so remove the ``__pycache__`` beside this file
after changing it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, TypeAlias, TypeVar

import llvmlite.binding
import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.types.containers import BaseTuple
from numba.extending import intrinsic

Array: TypeAlias = Any
Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def _has(feature: str) -> bool:
    """Whether kernels may use a set of instructions: one of this machine, or of that which
    ``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` tell numba to compile for."""
    named: str | None = numba.config.CPU_FEATURES
    if named is not None:
        return f"+{feature}" in named.split(",")
    return bool(llvmlite.binding.get_host_cpu_features().get(feature))


WIDE = _has("avx512f")
"""Whether there are 32 registers of 64 bytes."""
VECTOR_BYTES = 64 if WIDE else 32 if _has("avx2") else 16
"""Bytes of a vector register."""
MAX_VECTORS = 2
"""Largest number of vectors that a block of images fills."""

compiled: Callable[[Kernel], Kernel] = numba.njit(nogil=True, cache=True, error_model="numpy")
"""Decorator of a kernel, which threads run side by side."""
reordered: Callable[[Kernel], Kernel] = numba.njit(
    nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"}
)
"""The same of one that sums up, in any order, so that it does so in vectors; NaN and infinity keep
their meaning. For no other: numba compiles a function for itself and again with every kernel that
calls it. The process that compiles calls one, later ones the other, and what may be reordered need
not round alike in both."""
instructions: Callable[[Callable[..., Any]], Callable[..., Any]] = intrinsic
"""Decorator of a function that builds instructions."""


@instructions
def pointer(typingctx: Any, address: Any) -> Any:
    """A place in memory that was given as a number, for ``numba.carray``."""
    signature = types.voidptr(types.int64)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return signature, codegen


@instructions
def take(typingctx: Any, counter: Any, step: Any) -> Any:
    """The number on a counter that threads share, which then grows by ``step``."""
    signature = types.int64(counter, types.int64)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = context.make_array(sig.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", place, args[1], "monotonic")

    return signature, codegen


@compiled
def following(task: int, counter: Array, step: int) -> int:
    """The task after this one of those that a thread took, or the first of the next ones."""
    return task + 1 if (task + 1) % step else take(counter, step)


@instructions
def on_threads(typingctx: Any, kernel: Any, arguments: Any, team: Any, threads: Any) -> Any:
    """``kernel(*arguments)`` on so many OpenMP threads at once, on this one alone if it is one.

    ``team`` is the address of ``GOMP_parallel(function, data, threads, flags)``, which starts
    them. No thread needs the interpreter, so that this takes some microseconds.
    """
    inner = kernel.get_call_type(typingctx, arguments.types, {})
    signature = types.void(kernel, arguments, types.int64, types.int64)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        compiled_kernel = kernel.dispatcher.overloads[inner.args]
        context.active_code_library.add_linking_library(compiled_kernel.library)
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        function_type = ir.FunctionType(ir.VoidType(), [pointer])
        name = builder.module.get_unique_name("on_threads")
        function = ir.Function(builder.module, function_type, name)
        function.linkage = "internal"
        there = ir.IRBuilder(function.append_basic_block())
        packed = there.load(there.bitcast(function.args[0], args[1].type.as_pointer()))
        values = [there.extract_value(packed, i) for i in range(len(arguments))]
        context.call_internal_no_propagate(there, compiled_kernel.fndesc, inner, values)
        there.ret_void()
        start_type = ir.FunctionType(
            ir.VoidType(), [function_type.as_pointer(), pointer, number, number]
        )
        lent = _lent(context, builder, arguments, args[1])
        data = builder.bitcast(cgutils.alloca_once_value(builder, lent), pointer)
        several = builder.icmp_signed(">", args[3], integer(1))
        with builder.if_else(several) as (together, alone):
            with together:
                start = builder.inttoptr(args[2], start_type.as_pointer())
                count = builder.trunc(args[3], number)
                builder.call(start, [function, data, count, ir.Constant(number, 0)])
            with alone:
                builder.call(function, [data])
        return context.get_dummy_value()

    return signature, codegen


def _lent(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """Arguments whose arrays have no owner, since the caller has them: threads that count
    references to one array, at every slice of it, wait for each other."""
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        array.parent = cgutils.get_null_value(array.parent.type)
        return array._getvalue()
    if isinstance(kind, BaseTuple):
        for place, part in enumerate(kind):
            own = _lent(context, builder, part, builder.extract_value(value, place))
            value = builder.insert_value(value, own, place)
    return value


def integer(value: int) -> Any:
    """A constant of the type of places."""
    return ir.Constant(ir.IntType(64), value)


def block_size(itemsize: int, images: int) -> int:
    """How many images the kernels hold together: one vector of them, or two where they fill an
    even number of vectors, so that no vector is empty."""
    one = VECTOR_BYTES // itemsize
    vectors = -(-images // one)
    return one if vectors % MAX_VECTORS else one * MAX_VECTORS


class Emitter:
    """Builds instructions on flat arrays of one element type."""

    def __init__(self, context: Any, builder: Any, dtype: Any) -> None:
        self.context, self.builder = context, builder
        self.element = context.get_value_type(dtype)
        self.lanes = VECTOR_BYTES // (dtype.bitwidth // 8)  # of a vector
        self.align = dtype.bitwidth // 8
        self.vector = ir.VectorType(self.element, self.lanes)

    def data(self, array_type: Any, value: Any) -> Any:
        """The pointer to the first element of an array."""
        return self.context.make_array(array_type)(self.context, self.builder, value).data

    def fields(self, tuple_type: Any, value: Any) -> Any:
        """The fields of a named tuple by name: numbers as they are, arrays as :meth:`data`."""
        found = {}
        for number, (name, kind) in enumerate(zip(tuple_type.fields, tuple_type, strict=True)):
            part = self.builder.extract_value(value, number)
            found[name] = self.data(kind, part) if isinstance(kind, types.Array) else part
        return SimpleNamespace(**found)

    def number(self, pointer: Any, index: Any) -> Any:
        return self.builder.load(self.builder.gep(pointer, [index]))

    def load(self, pointer: Any, index: Any) -> Any:
        place = self.builder.bitcast(self.builder.gep(pointer, [index]), self.vector.as_pointer())
        return self.builder.load(place, align=self.align)

    def add_to(self, pointer: Any, index: Any, value: Any) -> None:
        """Add a short vector to what is there."""
        place = self.builder.bitcast(self.builder.gep(pointer, [index]), value.type.as_pointer())
        total = self.builder.fadd(self.builder.load(place, align=self.align), value)
        self.builder.store(total, place, align=self.align)

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

    def shuffle(self, a: Any, b: Any, places: list[int]) -> Any:
        """Lanes of ``a``, or of ``b`` where a place is ``lanes`` or more."""
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places)
        return self.builder.shuffle_vector(a, b, mask)

    def sums_of_lanes(self, vectors: list[Any]) -> Any:
        """One vector whose lane i is the sum over the lanes of vector i."""
        zero = ir.Constant(self.vector, [0.0] * self.lanes)
        vectors = vectors + [zero] * (self.lanes - len(vectors))
        # Places are moved within 16 bytes, then those as wholes: for that an instruction needs no
        # table of places, which would take registers from the sums.
        group = 16 // self.align
        within, levels = group.bit_length() - 1, self.lanes.bit_length() - 1
        for level in range(levels):  # two vectors become one: their sums side by side
            piece, reach = (1, group) if level < within else (group, self.lanes)
            both = [
                start + vector * self.lanes + place
                for start in range(0, self.lanes, reach)
                for vector in (0, 1)
                for place in range(reach)
            ]
            even, odd = (
                [at for i, at in enumerate(both) if i // piece % 2 == half] for half in (0, 1)
            )
            vectors = [
                self.builder.fadd(self.shuffle(a, b, even), self.shuffle(a, b, odd))
                for a, b in zip(vectors[::2], vectors[1::2], strict=True)
            ]
        return vectors[0]

    def transposed(self, rows: list[Any]) -> list[Any]:
        """The transpose of a square of as many vectors as lanes."""
        step = 1
        while step < self.lanes:  # swap the blocks beside the diagonal, ever larger ones
            own = [i if not i & step else i - step + self.lanes for i in range(self.lanes)]
            next_ = [i + step if not i & step else i + self.lanes for i in range(self.lanes)]
            for i in range(self.lanes):
                if not i & step:
                    a, b = rows[i], rows[i + step]
                    rows[i], rows[i + step] = self.shuffle(a, b, own), self.shuffle(a, b, next_)
            step *= 2
        return rows

    def add(self, *terms: Any) -> Any:
        total = terms[0]
        for term in terms[1:]:
            total = self.builder.add(total, term)
        return total

    def times(self, value: Any, factor: Any) -> Any:
        factor = integer(factor) if isinstance(factor, int) else factor
        return self.builder.mul(value, factor)

    @contextmanager
    def loop(self, start: Any, stop: Any) -> Iterator[Any]:
        with cgutils.for_range_slice(self.builder, start, stop, integer(1)) as (index, _):
            yield index

    @contextmanager
    def case(self, value: Any, constant: int) -> Iterator[None]:
        equal = self.builder.icmp_signed("==", value, integer(constant))
        with self.builder.if_then(equal):
            yield
