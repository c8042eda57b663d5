"""The loops of a round over target nodes, edges, pixels and blocks of channels.

Images lie in lanes: a flat array ``[blocks, nodes, pixels, channels of the node, lanes]`` holds
``lanes`` images side by side. One instruction handles one channel of many images, a pixel at
the border or under a stride costs what it costs and nothing more, and what a node says lies in
one piece. An offset in channels times the number of pixels is where a node begins.

Every kernel does the tasks ``start:stop`` of its own, so that threads can share them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numba

from relmp.rounds.execution.cpu.simd import MAX_ROWS, MAX_SIDE, correlate_tile, multiply_tile

Array: TypeAlias = Any
Kernel = TypeVar("Kernel", bound=Callable[..., None])
_compiled: Callable[[Kernel], Kernel] = numba.njit(nogil=True, cache=True, error_model="numpy")


@_compiled
def to_lanes(
    x: Array, out: Array, lanes: int, node_start: Array, node_size: Array, start: int, stop: int
) -> None:
    """``[B, C, P]`` -> lanes; images behind the batch are zero. Tasks: blocks x nodes."""
    images, channels, pixels = x.shape
    nodes = node_size.shape[0]
    for task in range(start, stop):
        first = task // nodes * lanes
        node = task % nodes
        here = min(lanes, images - first)
        size = node_size[node]
        begin = (task // nodes * channels + node_start[node]) * pixels * lanes
        for channel in range(size):
            for pixel in range(pixels):
                at = begin + (pixel * size + channel) * lanes
                for lane in range(here):
                    out[at + lane] = x[first + lane, node_start[node] + channel, pixel]
                for lane in range(here, lanes):
                    out[at + lane] = 0


@_compiled
def from_lanes(
    x: Array, out: Array, lanes: int, node_start: Array, node_size: Array, start: int, stop: int
) -> None:
    """Lanes -> ``[B, C, P]``. Tasks: blocks x nodes."""
    images, channels, pixels = out.shape
    nodes = node_size.shape[0]
    for task in range(start, stop):
        first = task // nodes * lanes
        node = task % nodes
        here = min(lanes, images - first)
        size = node_size[node]
        begin = (task // nodes * channels + node_start[node]) * pixels * lanes
        for channel in range(size):
            for pixel in range(pixels):
                at = begin + (pixel * size + channel) * lanes
                for lane in range(here):
                    out[first + lane, node_start[node] + channel, pixel] = x[at + lane]


@_compiled
def multiply(
    x: Array,
    w: Array,
    y: Array,
    shape: Array,
    node_start: Array,
    node_size: Array,
    ptr: Array,
    edge_x: Array,
    edge_channels: Array,
    edge_w: Array,
    pixel_ptr: Array,
    tap_x: Array,
    tap_w: Array,
    start: int,
    stop: int,
) -> None:
    """One round: every node sums the weighted channels of its neighbours at the tapped pixels.

    Shapes:
        - **x**, **y**: in lanes; **w**: flat.
        - **shape**: pixels of x, block length of x, channels of y, row, channel and tap stride
          of w, parts of the pixels.
        - **node_start**, **node_size** ``[n]``: the channels of every node of y.
        - **ptr** ``[n + 1]``, **edge_x**, **edge_channels**, **edge_w** ``[E]``: the edges into
          every node, with the first channel heard, how many, and the place of the weights.
        - **pixel_ptr**, **tap_x**, **tap_w**: for every pixel of y, the pixels of x that it
          sees, and through which tap.
        - Tasks: blocks x parts of the pixels x nodes.
    """
    pixels_in, block_in, channels_out = shape[0], shape[1], shape[2]
    row_stride, channel_stride, tap_stride, parts = shape[3], shape[4], shape[5], shape[6]
    nodes, pixels = node_size.shape[0], pixel_ptr.shape[0] - 1
    for task in range(start, stop):
        node = task % nodes
        part = task // nodes % parts
        block = task // nodes // parts
        x_block = x[block * block_in :]
        size = node_size[node]
        begin = (block * channels_out + node_start[node]) * pixels
        tiles = (size + MAX_ROWS - 1) // MAX_ROWS
        for pixel in range(pixels * part // parts, pixels * (part + 1) // parts):
            row = 0
            for tile in range(tiles):
                row_end = size * (tile + 1) // tiles
                multiply_tile(
                    row_end - row,
                    y,
                    begin + pixel * size + row,
                    x_block,
                    w,
                    row * row_stride,
                    row_stride,
                    channel_stride,
                    tap_stride,
                    edge_x,
                    edge_w,
                    edge_channels,
                    ptr[node],
                    ptr[node + 1],
                    pixels_in,
                    tap_x,
                    tap_w,
                    pixel_ptr[pixel],
                    pixel_ptr[pixel + 1],
                )
                row = row_end


@_compiled
def correlate(
    y: Array,
    x: Array,
    w: Array,
    shape: Array,
    source: Array,
    target: Array,
    in_start: Array,
    in_size: Array,
    out_start: Array,
    out_size: Array,
    chunk_ptr: Array,
    pair_y: Array,
    pair_x: Array,
    start: int,
    stop: int,
) -> None:
    """The gradient of every weight: what its target wants, times what its source said.

    Shapes:
        - **y**, **x**: in lanes; **w**: flat ``[E, taps, out_dim, in_dim]``, added to.
        - **shape**: blocks, pixels and block length of y, pixels and block length of x,
          out_dim, in_dim.
        - **chunk_ptr** ``[chunks, taps + 1]``, **pair_y**, **pair_x**: pairs of pixels that a
          tap joins, in chunks that stay in the cache.
        - Tasks: edges.
    """
    blocks, pixels_y, block_y, pixels_x, block_x = shape[0], shape[1], shape[2], shape[3], shape[4]
    out_dim, in_dim, taps = shape[5], shape[6], chunk_ptr.shape[1] - 1
    for edge in range(start, stop):
        i, j = target[edge], source[edge]
        in_tiles = (in_size[j] + MAX_SIDE - 1) // MAX_SIDE
        out_tiles = (out_size[i] + MAX_SIDE - 1) // MAX_SIDE
        for step in range(blocks * chunk_ptr.shape[0]):
            block, chunk = step // chunk_ptr.shape[0], step % chunk_ptr.shape[0]
            y_block, x_block = y[block * block_y :], x[block * block_x :]
            for tap in range(taps):
                at = (edge * taps + tap) * out_dim * in_dim
                row = 0
                for out_tile in range(out_tiles):
                    row_end = out_size[i] * (out_tile + 1) // out_tiles
                    column = 0
                    for in_tile in range(in_tiles):
                        column_end = in_size[j] * (in_tile + 1) // in_tiles
                        correlate_tile(
                            row_end - row,
                            column_end - column,
                            w,
                            at + row * in_dim + column,
                            in_dim,
                            y_block,
                            out_start[i] * pixels_y + row,
                            out_size[i],
                            pair_y,
                            x_block,
                            in_start[j] * pixels_x + column,
                            in_size[j],
                            pair_x,
                            chunk_ptr[chunk, tap],
                            chunk_ptr[chunk, tap + 1],
                        )
                        column = column_end
                    row = row_end
