"""What the kernels do with images in lanes, as functions of arrays.

Lanes are flat, ``[blocks, nodes, pixels, channels of the node, block_size]``
(:mod:`relmp.rounds.execution.cpu.transpose`), and zero behind the end of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from relmp.rounds.execution.convolution import Convolution
from relmp.rounds.execution.cpu.correlate import CorrelateShape, correlate
from relmp.rounds.execution.cpu.multiply import MultiplyShape, multiply
from relmp.rounds.execution.cpu.pixels import (
    CHUNK,
    WHOLE,
    Grid,
    Seen,
    backward_taps,
    forward_taps,
    tap_pairs,
)
from relmp.rounds.execution.cpu.scratch import pool
from relmp.rounds.execution.cpu.simd import VECTOR_BYTES, block_size
from relmp.rounds.execution.cpu.tables import GraphTables, Side
from relmp.rounds.execution.cpu.threads import share
from relmp.rounds.execution.cpu.transpose import exchange, tile, transpose

PART_BYTES = 2**22
"""How much of the input a part of the pixels sees: a share of the outermost cache."""


class Batch(NamedTuple):
    """Images that lie in lanes: how many, their channels and pixels, and the type of numbers."""

    images: int
    channels: int
    size: tuple[int, int]
    dtype: torch.dtype

    @classmethod
    def of(cls, x: Tensor, grid: Grid = WHOLE) -> Batch:
        """``[B, C, H, W]``, or the parts into which they are cut."""
        size = (x.size(2) // grid.rows, x.size(3) // grid.columns)
        return cls(x.size(0) * grid.parts, x.size(1), size, x.dtype)

    def sized(self, channels: int, size: Sequence[int]) -> Batch:
        """The same images with other channels and pixels."""
        return self._replace(channels=channels, size=(size[0], size[1]))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.images, self.channels, *self.size

    @property
    def pixels(self) -> int:
        return self.size[0] * self.size[1]

    @property
    def width(self) -> int:
        """Images of a block."""
        return block_size(self.dtype.itemsize, self.images)

    @property
    def vectors(self) -> int:
        """How many vectors a block fills."""
        return self.width * self.dtype.itemsize // VECTOR_BYTES

    @property
    def blocks(self) -> int:
        return -(-self.images // self.width)

    @property
    def block(self) -> int:
        """The numbers of a block."""
        return self.channels * self.pixels * self.width

    @property
    def numbers(self) -> int:
        return self.blocks * self.block


def into_lanes(x: Tensor, lanes: Any, side: Side[Any], grid: Grid = WHOLE) -> None:
    _transposed(x.detach().contiguous(), lanes, side, grid, into=True)


def out_of_lanes(lanes: Any, x: Tensor, side: Side[Any], grid: Grid = WHOLE) -> None:
    _transposed(x, lanes, side, grid, into=False)


def _transposed(x: Tensor, lanes: Any, side: Side[Any], grid: Grid, *, into: bool) -> None:
    batch = Batch.of(x, grid)
    if grid == WHOLE:
        flat = x.flatten(2).numpy()
        share(transpose, batch.blocks * len(side.size), flat, lanes, batch.width, side, into)
    else:
        share(tile, len(side.size), x.numpy(), lanes, batch.width, grid, side, into)


def exchanged(
    x: Any, seen: Any, where: Seen, batches: tuple[Batch, Batch], side: Side[Any], *, back: bool
) -> None:
    """What parts see of one another, ``x`` to ``seen``; or ``back``, where it is added up."""
    sizes = (batches[0].channels, *(n for b in batches for n in (b.blocks, b.pixels, b.width)))
    share(exchange, len(side.size), x, seen, sizes, where, side, back)


def hear(
    x: Any, w: Tensor, y: Any, tables: GraphTables[Any], convolution: Convolution, batch: Batch,
    channels: int, *, backward: bool = False,
) -> None:  # fmt: skip
    """``y``, of so many channels, becomes the round of ``x`` of a batch; or, ``backward``, the
    round over the reversed graph, by which what an output wants reaches the input."""
    in_dim, taps = w.size(2), math.prod(w.shape[3:])
    strides, edges, side = (in_dim * taps, taps), tables.forward, tables.y_side
    seen, image = forward_taps, convolution.output
    if backward:
        strides, edges, side = (taps, in_dim * taps), tables.backward, tables.x_side
        seen, image = backward_taps, convolution.image
    block_bytes = batch.block * batch.dtype.itemsize
    group = max(1, min(batch.blocks, PART_BYTES // block_bytes))
    parts = max(1, min(image[0], block_bytes // PART_BYTES))
    shape = MultiplyShape(
        pixels=batch.pixels,
        block=batch.block,
        channels=channels,
        row_stride=strides[0],
        channel_stride=strides[1],
        tap_stride=1,
        blocks=batch.blocks,
        group=group,
        parts=parts,
        vectors=batch.vectors,
    )
    tasks = -(-batch.blocks // group) * parts * len(side.size)
    weights = w.detach().contiguous().view(-1).numpy()
    share(multiply, tasks, x, weights, y, shape, side, edges, seen(convolution))


def wanted_of_weights(
    y: Any, x: Any, tables: GraphTables[Any], convolution: Convolution, y_batch: Batch,
    x_batch: Batch, dims: Sequence[int],
) -> Tensor:  # fmt: skip
    """``[E, out_dim, in_dim, *kernel]``: what ``y`` wants of the weights; zero in padded slots."""
    in_dim, out_dim, _, edges = dims[2:]
    shape_of_w = (edges, out_dim, in_dim, *convolution.kernel)
    w = pool.tensor(math.prod(shape_of_w), x_batch.dtype).view(shape_of_w)
    shape = CorrelateShape(
        blocks=x_batch.blocks,
        group=max(1, CHUNK // math.prod(convolution.output)),
        pixels_y=y_batch.pixels,
        channels_y=y_batch.channels,
        pixels_x=x_batch.pixels,
        channels_x=x_batch.channels,
        out_dim=out_dim,
        in_dim=in_dim,
        vectors=x_batch.vectors,
    )
    ends = (tables.source, tables.target, tables.x_side, tables.y_side)
    share(correlate, edges, y, x, w.view(-1).numpy(), shape, *ends, tap_pairs(convolution))
    return w


def numpy_type(dtype: torch.dtype) -> Any:
    return np.float64 if dtype == torch.float64 else np.float32
