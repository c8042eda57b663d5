"""Rounds of images as functions of autograd, from lanes into lanes.

Images go into lanes and back by functions of their own, each of which is the derivative of the
other. So a round leaves its output in lanes for the next one, what an update needs of it lies
there, and what the output wants is brought into lanes once for both gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from relmp.rounds.channels import ChannelPartition
from relmp.rounds.execution.convolution import Convolution
from relmp.rounds.execution.cpu.lanes import (
    Batch,
    exchanged,
    hear,
    into_lanes,
    numpy_type,
    out_of_lanes,
    wanted_of_weights,
)
from relmp.rounds.execution.cpu.normalise import NormShape, differentiate, normalise
from relmp.rounds.execution.cpu.operators import round_forward
from relmp.rounds.execution.cpu.pixels import WHOLE, Grid, Seen, grid_of, of_part, seen_by
from relmp.rounds.execution.cpu.scratch import pool, scratch
from relmp.rounds.execution.cpu.simd import VECTOR_BYTES
from relmp.rounds.execution.cpu.tables import Side, read_table
from relmp.rounds.execution.cpu.threads import share
from relmp.rounds.execution.update import BatchNormUpdate


class Packed(NamedTuple):
    """Images in lanes, whole or in parts.

    Args:
        lanes: Flat, and followed by autograd.
        batch: What lies in it, with parts for images where they are cut.
        partition: How its channels are dealt out to the nodes.
        grid: How every image is cut.
    """

    lanes: Tensor
    batch: Batch
    partition: ChannelPartition
    grid: Grid = WHOLE

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``[B, C, H, W]`` of the images."""
        images, channels, (height, width), _ = self.batch
        rows, columns = self.grid
        return images // self.grid.parts, channels, height * rows, width * columns


class Call(NamedTuple):
    """A round of images of one size.

    Args:
        batch, out: The images that it takes and gives.
        sides: How their channels are dealt out to the nodes.
        dims, geometry: As operators take them.
        update: The batch norm behind it, or None.
        trains: Whether the statistics of the norm are those of the batch.
        cuts: Whether ReLU follows.
        keeps: Whether a backward pass may come.
    """

    batch: Batch
    out: Batch
    sides: tuple[ChannelPartition, ChannelPartition]
    dims: Sequence[int]
    geometry: Sequence[int]
    update: BatchNormUpdate | None
    trains: bool
    cuts: bool
    keeps: bool


def pack(x: Tensor, partition: ChannelPartition, grid: Grid | None = None) -> Packed:
    """Images ``[B, C, H, W]`` into lanes, cut by ``grid``; None cuts few images, so that lanes are
    not empty."""
    if grid is None:
        grid = grid_of((x.size(2), x.size(3)), len(x), VECTOR_BYTES // x.element_size())
    batch = Batch.of(x, grid)
    lanes = cast(Tensor, _Pack.apply(x, batch, partition, grid))
    return Packed(lanes, batch, partition, grid)


def unpack(x: Packed) -> Tensor:
    """And back."""
    return cast(Tensor, _Unpack.apply(*x))


def as_seen(x: Packed, convolution: Convolution, grid: Grid) -> Packed:
    """What parts of a convolution's output see, margins and all, where ``grid`` cuts it."""
    if x.grid == grid == WHOLE:
        return x
    part, images = of_part(convolution, grid), x.shape[0]
    batch = x.batch._replace(images=images * grid.parts, size=part.image)
    where = seen_by(convolution, x.grid, grid, images, (x.batch.width, batch.width))
    if where is None:
        return x
    call = Exchange(where, (x.batch, batch), x.partition)
    return Packed(cast(Tensor, _Exchange.apply(x.lanes, call, False)), batch, x.partition, grid)


def packed_round(
    x: Packed, w: Tensor, table: Tensor, dims: Sequence[int], convolution: Convolution,
    partition: ChannelPartition, update: BatchNormUpdate | None = None,
    plus: Packed | None = None, *, activates: bool = False,
) -> Packed:  # fmt: skip
    """The round, and behind it the update, the sum with ``plus`` and ReLU where it ``activates``
    (the update may do so itself, but then nothing is added).

    Raises:
        ValueError: If what is to be added is not like what the round gives.
    """
    images = x.shape[0]
    grid = grid_of(convolution.output, images, VECTOR_BYTES // x.lanes.element_size())
    shape = (images, dims[1], *convolution.output)
    if plus is not None and (plus.shape, plus[2:]) != (shape, (partition, grid)):
        raise ValueError(
            f"The round gives {list(shape)}, but what is to be added is {list(plus.shape)}; give "
            f"both the same channels and pixels."
        )
    x, convolution = as_seen(x, convolution, grid), of_part(convolution, grid)
    out = x.batch.sized(dims[1], convolution.output)
    scale = shift = None
    trains, cuts = False, activates
    if update is not None:
        (scale, shift, *_), trains = update.tensors, update.norm.training
        cuts = cuts or update.activates
        if trains and update.norm.num_batches_tracked is not None:
            update.norm.num_batches_tracked.add_(1)
    call = Call(
        x.batch, out, (x.partition, partition), dims, convolution.numbers(), update, trains, cuts,
        torch.is_grad_enabled(),
    )  # fmt: skip
    more = None if plus is None else plus.lanes
    lanes = cast(Tensor, _PackedRound.apply(x.lanes, w, scale, shift, more, table, call))
    return Packed(lanes, out, partition, grid)


def image_round(
    x: Tensor, w: Tensor, table: Tensor, dims: Sequence[int], convolution: Convolution,
    sides: tuple[ChannelPartition, ChannelPartition], update: BatchNormUpdate | None = None,
) -> Tensor:  # fmt: skip
    """The round and its update of images ``[B, C, H, W]``."""
    lanes = pack(x, sides[0])
    return unpack(packed_round(lanes, w, table, dims, convolution, sides[1], update))


class Exchange(NamedTuple):
    """What parts see of one another.

    Args:
        where: Where it lies.
        batches: The parts, and what they see.
        partition: How their channels are dealt out to the nodes.
    """

    where: Seen
    batches: tuple[Batch, Batch]
    partition: ChannelPartition


class _Exchange(torch.autograd.Function):
    """A linear map, and ``back``, by its transpose."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: Exchange, back: bool) -> Tensor:
        ctx.call, ctx.back = call, back
        batch = call.batches[0 if back else 1]
        given, found = _array(x.contiguous()), pool.tensor(batch.numbers, batch.dtype)
        parts, seen = (found.numpy(), given) if back else (given, found.numpy())
        exchanged(parts, seen, call.where, call.batches, side_of(call.partition), back=back)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return cast(Tensor, _Exchange.apply(gradient, ctx.call, not ctx.back)), None, None


class _Pack(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, batch: Batch, partition: ChannelPartition, grid: Grid
    ) -> Tensor:
        ctx.what = batch, partition, grid
        lanes = pool.tensor(batch.numbers, batch.dtype)
        into_lanes(x, lanes.numpy(), side_of(partition), grid)
        return lanes

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return cast(Tensor, _Unpack.apply(gradient, *ctx.what)), None, None, None


class _Unpack(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, lanes: Tensor, batch: Batch, partition: ChannelPartition, grid: Grid
    ) -> Tensor:
        ctx.what = batch, partition, grid
        shape = Packed(lanes, batch, partition, grid).shape
        x = pool.tensor(batch.images * batch.channels * batch.pixels, batch.dtype).view(shape)
        out_of_lanes(_array(lanes.contiguous()), x, side_of(partition), grid)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return cast(Tensor, _Pack.apply(gradient, *ctx.what)), None, None, None


class _PackedRound(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w: Tensor, scale: Tensor | None, shift: Tensor | None,
        plus: Tensor | None, table: Tensor, call: Call,
    ) -> Tensor:  # fmt: skip
        tables, convolution = read_table(table, call.dims[4]), Convolution.of(call.geometry)
        update, out = call.update, call.out
        lanes = pool.tensor(out.numbers, out.dtype)
        is_kept = call.keeps and update is not None
        y = pool.tensor(out.numbers, out.dtype) if is_kept else lanes
        numbers = y.numpy()
        hear(_array(x), w, numbers, tables, convolution, call.batch, out.channels)
        statistics = None
        if update is not None:
            norm, _, tensors = update
            statistics = x.new_empty(2, out.channels)
            more = numbers if plus is None else _array(plus)
            scales = (_array(tensor) for tensor in tensors[:2])
            running = tuple(_array(tensor) for tensor in tensors[2:])
            shape = _norm_shape(call, float(cast(float, norm.momentum)), plus is not None)
            share(
                normalise, len(tables.y_side.size), numbers, lanes.numpy(), more, *scales, running,
                statistics.numpy(), shape, tables.y_side,
            )  # fmt: skip
        if call.keeps:
            kept = (y, statistics) if is_kept else (None, None)
            is_needed = is_kept and call.cuts
            ctx.save_for_backward(
                x, w, scale, shift, plus, table, *kept, lanes if is_needed else None
            )
            ctx.call = call
        return lanes

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # the gradient is differentiated itself
            return _derived_again(ctx, gradient)
        x, w, scale, _, plus, table, y, statistics, lanes = ctx.saved_tensors
        call, gradient = ctx.call, gradient.contiguous()
        tables, convolution = read_table(table, call.dims[4]), Convolution.of(call.geometry)
        wanted: tuple[Tensor | None, ...] = (None, None)
        kept, pulled = gradient, _array(gradient)
        if call.update is not None:
            kind, given = numpy_type(call.out.dtype), pulled
            pulled = scratch.array(call.out.numbers, kind, "y")
            left = given
            if call.cuts and plus is None:
                left = scratch.array(call.out.numbers, kind, "x")
            elif call.cuts:
                kept = pool.tensor(call.out.numbers, call.out.dtype)
                left = kept.numpy()
            sums = torch.empty_like(statistics)
            share(
                differentiate, len(tables.y_side.size), given, _array(y),
                _array(lanes) if call.cuts else given, left, pulled, _array(scale),
                statistics.numpy(), sums.numpy(), _norm_shape(call, 0.0, plus is not None),
                tables.y_side,
            )  # fmt: skip
            wanted = (sums[0], sums[1])
        for_x, for_w, _, _, for_plus, *_ = ctx.needs_input_grad
        to_w = to_x = None
        if for_w:
            ends = (call.out, call.batch, call.dims)
            to_w = wanted_of_weights(pulled, _array(x), tables, convolution, *ends)
        if for_x:
            to_x = pool.tensor(call.batch.numbers, call.batch.dtype)
            where = (tables, convolution, call.out, call.batch.channels)
            hear(pulled, w, to_x.numpy(), *where, backward=True)
        return to_x, to_w, *wanted, kept if for_plus else None, None, None


def _derived_again(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients as PyTorch derives them of the round and its update, one after the other."""
    x, w, scale, shift, plus, table, _, statistics, _ = ctx.saved_tensors
    call = ctx.call
    before, after = call.sides
    images = unpack(Packed(x, call.batch, before))
    out = round_forward(images, w, table, call.dims, call.geometry)
    if call.update is not None:
        if call.trains:
            out = F.batch_norm(out, None, None, scale, shift, True, 0.0, call.update.norm.eps)
        else:
            mean, slope, scale_of, shift_of = (
                t.view(-1, 1, 1) for t in (*statistics, scale, shift)
            )
            out = (out - mean) * slope * scale_of + shift_of
        if plus is not None:
            out = out + unpack(Packed(plus, call.out, after))
        out = out.relu() if call.cuts else out
    lanes = pack(out, after, WHOLE).lanes
    needed = ctx.needs_input_grad[:5]
    given = (x, w, scale, shift, plus)
    inputs = [t for t, is_needed in zip(given, needed, strict=True) if is_needed]
    found = iter(torch.autograd.grad(lanes, inputs, gradient, create_graph=True))
    return *(next(found) if is_needed else None for is_needed in needed), None, None


def _array(x: Tensor) -> Any:
    return x.detach().numpy()


def _norm_shape(call: Call, momentum: float, adds: bool) -> NormShape:
    out, eps = call.out, 0.0 if call.update is None else float(call.update.norm.eps)
    how = (momentum, eps, call.trains, call.cuts, adds)
    return NormShape(out.images, out.channels, out.pixels, out.width, *how)


@lru_cache(maxsize=1024)
def side_of(partition: ChannelPartition) -> Side[Any]:
    """The channels of every node."""
    sizes = np.ascontiguousarray(partition.sizes, dtype=np.int64)
    return Side(np.cumsum(sizes) - sizes, sizes)
