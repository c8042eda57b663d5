"""Vectors in columns: the batch lies in the lanes, a channel is a row.

In columns, a flat array ``[blocks, channels, row]`` holds up to ``BLOCK_VECTORS`` vectors of
images side by side. Rows begin an odd number of vectors apart, so that rows read together do not
push one another out of the nearest cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import carray

from relmp.rounds.execution.cpu.simd import (
    VECTOR_BYTES,
    Array,
    compiled,
    following,
    on_threads,
    pointer,
    take,
)
from relmp.rounds.execution.cpu.transpose import transpose_tile

BLOCK_VECTORS = 8
"""Largest number of vectors of a row."""
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
def share_of(tasks: int, threads: int) -> int:
    """How many tasks a thread takes at a time."""
    return max(1, tasks // (threads * PIECES))


@compiled
def turn(
    at: int, channels: int, rows: Array, columns: Columns, back: bool, counter: Array, team: int,
    threads: int,
) -> None:  # fmt: skip
    """The phase of :func:`to_columns`: ``[B, C]`` at an address into ``rows``, or ``back``."""
    x = carray(pointer(at), (columns.images, channels), rows.dtype)
    square = VECTOR_BYTES // rows.itemsize
    tasks = columns.vectors * ((channels + square - 1) // square)
    arguments = (x, rows, columns, back, counter, share_of(tasks, threads), tasks)
    on_threads(to_columns, arguments, team, threads)
