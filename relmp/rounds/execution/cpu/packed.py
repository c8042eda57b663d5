"""Rounds of images as functions of autograd, from lanes into lanes.

Images go into lanes and back by functions of their own, each of which is the derivative of the
other. So a round leaves its output in lanes for the next one, what an update needs of it lies
there, and what the output wants is brought into lanes once for both gradients.
"""

from __future__ import annotations

import math
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
    hear,
    into_lanes,
    into_tiles,
    numpy_type,
    out_of_lanes,
    out_of_tiles,
    wanted_of_weights,
)
from relmp.rounds.execution.cpu.normalise import NormShape, differentiate, normalise
from relmp.rounds.execution.cpu.operators import round_forward
from relmp.rounds.execution.cpu.pixels import Tiles, cut
from relmp.rounds.execution.cpu.scratch import pool, scratch
from relmp.rounds.execution.cpu.simd import VECTOR_BYTES
from relmp.rounds.execution.cpu.tables import Side, read_table
from relmp.rounds.execution.cpu.threads import share
from relmp.rounds.execution.update import BatchNormUpdate


class Packed(NamedTuple):
    """Images in lanes: a flat tensor that autograd follows, and what lies in it."""

    lanes: Tensor
    batch: Batch
    partition: ChannelPartition


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


class Whole(NamedTuple):
    """Images as they were before they went into lanes: how many, their pixels, and how they were
    cut into parts, or None."""

    images: int
    size: tuple[int, int]
    tiles: Tiles | None


def pack(x: Tensor, partition: ChannelPartition, tiles: Tiles | None = None) -> Packed:
    """Images ``[B, C, H, W]`` into lanes, or parts of them."""
    whole = Whole(x.size(0), (x.size(2), x.size(3)), tiles)
    batch = Batch.of(x)
    if tiles is not None:
        batch = batch._replace(images=len(x) * tiles.parts, size=tiles.size)
    return Packed(cast(Tensor, _Pack.apply(x, batch, partition, whole)), batch, partition)


def unpack(x: Packed, whole: Whole | None = None) -> Tensor:
    """And back; parts into what they are parts of."""
    whole = whole or Whole(x.batch.images, x.batch.size, None)
    return cast(Tensor, _Unpack.apply(*x, whole))


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
    out = x.batch.sized(dims[1], convolution.output)
    if plus is not None and plus[1:] != (out, partition):
        raise ValueError(
            f"The round gives {list(out.shape)}, but what is to be added is "
            f"{list(plus.batch.shape)}; give both the same channels and pixels."
        )
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
    return Packed(lanes, out, partition)


def image_round(
    x: Tensor, w: Tensor, table: Tensor, dims: Sequence[int], convolution: Convolution,
    sides: tuple[ChannelPartition, ChannelPartition], update: BatchNormUpdate | None = None,
) -> Tensor:  # fmt: skip
    """The round and its update of images ``[B, C, H, W]``. Few images are cut into parts, so that
    lanes are not empty."""
    whole = Whole(len(x), convolution.output, None)
    parts = cut(convolution, len(x), VECTOR_BYTES // x.element_size())
    before = None
    if parts is not None:
        whole, before, convolution = whole._replace(tiles=parts.behind), parts.before, parts[2]
    lanes = pack(x, sides[0], before)
    return unpack(packed_round(lanes, w, table, dims, convolution, sides[1], update), whole)


class _Pack(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, batch: Batch, partition: ChannelPartition, whole: Whole
    ) -> Tensor:
        ctx.what = batch, partition, whole
        lanes = pool.tensor(batch.numbers, batch.dtype)
        if whole.tiles is None:
            into_lanes(x, lanes.numpy(), side_of(partition))
        else:
            into_tiles(x, lanes.numpy(), whole.tiles, batch, side_of(partition))
        return lanes

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return cast(Tensor, _Unpack.apply(gradient, *ctx.what)), None, None, None


class _Unpack(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, lanes: Tensor, batch: Batch, partition: ChannelPartition, whole: Whole
    ) -> Tensor:
        ctx.what = batch, partition, whole
        numbers, shape = _array(lanes.contiguous()), (whole.images, batch.channels, *whole.size)
        x = pool.tensor(math.prod(shape), batch.dtype).view(shape)
        if whole.tiles is None:
            out_of_lanes(numbers, x, side_of(partition))
        else:
            out_of_tiles(numbers, x, whole.tiles, batch, side_of(partition))
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
    lanes = pack(out, after).lanes
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
