"""A round on a CPU as three operators of PyTorch, each the derivative of the others.

A round is linear in its input and in its weights. So the gradients are of the same kind: the
input gradient is a round over the reversed graph, the weight gradient joins both sides, and
each of the three is differentiated by the other two, to any order.

Shapes:
    - **x** ``[B, C_in, H, W]``, **y** ``[B, C_out, H', W']``
    - **w** ``[E, out_dim, in_dim, kh, kw]``
    - **graph**: :func:`relmp.rounds.execution.cpu.tables.graph_table`
    - **dims**: channels of x and of y, in_dim, out_dim, nodes, edges
    - **geometry**: the numbers of :class:`relmp.rounds.execution.convolution.Convolution`
"""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from relmp.rounds.execution.convolution import Convolution
from relmp.rounds.execution.cpu.correlate import CorrelateShape, correlate
from relmp.rounds.execution.cpu.multiply import MultiplyShape, multiply
from relmp.rounds.execution.cpu.pixels import (
    CHUNK,
    Taps,
    backward_taps,
    forward_taps,
    tap_pairs,
)
from relmp.rounds.execution.cpu.scratch import scratch
from relmp.rounds.execution.cpu.simd import VECTOR_BYTES, block_size
from relmp.rounds.execution.cpu.tables import InEdges, Side, read_table
from relmp.rounds.execution.cpu.threads import share
from relmp.rounds.execution.cpu.transpose import transpose
from relmp.rounds.execution.derivatives import register_derivatives

Numbers: TypeAlias = Sequence[int]

PART_BYTES = 2**22
"""How much of the input a part of the pixels sees: a share of the outermost cache."""


@torch.library.custom_op("relmp::round", mutates_args=(), device_types="cpu")
def round_forward(x: Tensor, w: Tensor, graph: Tensor, dims: Numbers, geometry: Numbers) -> Tensor:
    """The round: ``y = sum over edges of w * x``."""
    tables, convolution = read_table(graph, dims[4]), Convolution.of(geometry)
    graph_part = ((w.size(2), 1), tables.forward, tables.x_side, tables.y_side)
    return _multiply(x, w, *graph_part, forward_taps(convolution), dims[1], convolution.output)


@torch.library.custom_op("relmp::round_input_gradient", mutates_args=(), device_types="cpu")
def round_input_gradient(
    y: Tensor, w: Tensor, graph: Tensor, dims: Numbers, geometry: Numbers
) -> Tensor:
    """What ``y`` wants of the input: the round over the reversed graph."""
    tables, convolution = read_table(graph, dims[4]), Convolution.of(geometry)
    graph_part = ((1, w.size(2)), tables.backward, tables.y_side, tables.x_side)
    return _multiply(y, w, *graph_part, backward_taps(convolution), dims[0], convolution.image)


@torch.library.custom_op("relmp::round_weight_gradient", mutates_args=(), device_types="cpu")
def round_weight_gradient(
    y: Tensor, x: Tensor, graph: Tensor, dims: Numbers, geometry: Numbers
) -> Tensor:
    """What ``y`` wants of the weights; zero in padded slots."""
    tables, convolution = read_table(graph, dims[4]), Convolution.of(geometry)
    pairs = tap_pairs(convolution)
    in_dim, out_dim, _, edges = dims[2:]
    w = torch.zeros(edges, math.prod(convolution.kernel), out_dim, in_dim, dtype=x.dtype)
    shape = CorrelateShape(
        blocks=_blocks(x),
        group=max(1, CHUNK // math.prod(convolution.output)),
        pixels_y=math.prod(y.shape[2:]),
        channels_y=y.size(1),
        pixels_x=math.prod(x.shape[2:]),
        channels_x=x.size(1),
        out_dim=out_dim,
        in_dim=in_dim,
        vectors=_vectors(x),
    )
    share(
        correlate,
        edges,
        _to_lanes(y, tables.y_side, "y"),
        _to_lanes(x, tables.x_side, "x"),
        w.view(-1).numpy(),
        shape,
        *(tables.source, tables.target, tables.x_side, tables.y_side),
        pairs,
    )
    # The layout of the parameter: taps last.
    return w.movedim(1, -1).reshape(edges, *w.shape[2:], *convolution.kernel).contiguous()


def _multiply(
    x: Tensor,
    w: Tensor,
    strides: tuple[int, int],
    edges: InEdges[Any],
    x_side: Side[Any],
    y_side: Side[Any],
    taps: Taps,
    channels: int,
    image: tuple[int, int],
) -> Tensor:
    """The round along ``edges`` from the channels of ``x_side`` to those of ``y_side``."""
    weight = w.flatten(3).movedim(-1, 1).contiguous()  # taps outermost: their channels adjoin
    y = x.new_empty(x.size(0), channels, *image)
    block = math.prod(x.shape[1:]) * _width(x)
    group = max(1, min(_blocks(x), PART_BYTES // (block * x.element_size())))
    parts = max(1, min(image[0], block * x.element_size() // PART_BYTES))
    shape = MultiplyShape(
        pixels=math.prod(x.shape[2:]),
        block=block,
        channels=channels,
        row_stride=strides[0],
        channel_stride=strides[1],
        tap_stride=w.size(1) * w.size(2),
        blocks=_blocks(x),
        group=group,
        parts=parts,
        vectors=_vectors(x),
    )
    tasks = -(-_blocks(x) // group) * parts * len(y_side.size)
    y_lanes = _empty_lanes(y, "y")
    share(
        multiply,
        tasks,
        _to_lanes(x, x_side, "x"),
        weight.view(-1).numpy(),
        y_lanes,
        shape,
        *(y_side, edges, taps),
    )
    count = _blocks(y) * len(y_side.size)
    share(transpose, count, y.flatten(2).numpy(), y_lanes, _width(y), y_side, False)
    return y


def _to_lanes(x: Tensor, side: Side[Any], place: str) -> Any:
    out = _empty_lanes(x, place)
    flat = x.contiguous().flatten(2).numpy()
    share(transpose, _blocks(x) * len(side.size), flat, out, _width(x), side, True)
    return out


def _empty_lanes(x: Tensor, place: str) -> Any:
    count = _blocks(x) * math.prod(x.shape[1:]) * _width(x)
    return scratch.array(count, np.float64 if x.dtype == torch.float64 else np.float32, place)


def _width(x: Tensor) -> int:
    """Images of a block."""
    return block_size(x.element_size(), x.size(0))


def _vectors(x: Tensor) -> int:
    return _width(x) * x.element_size() // VECTOR_BYTES


def _blocks(x: Tensor) -> int:
    return -(-x.size(0) // _width(x))


# Shapes without numbers, for compilers --------------------------------------------------------


@round_forward.register_fake
def _(x: Tensor, w: Tensor, graph: Tensor, dims: Numbers, geometry: Numbers) -> Tensor:
    return x.new_empty(x.size(0), dims[1], *geometry[10:12])


@round_input_gradient.register_fake
def _(y: Tensor, w: Tensor, graph: Tensor, dims: Numbers, geometry: Numbers) -> Tensor:
    return y.new_empty(y.size(0), dims[0], *geometry[8:10])


@round_weight_gradient.register_fake
def _(y: Tensor, x: Tensor, graph: Tensor, dims: Numbers, geometry: Numbers) -> Tensor:
    return y.new_empty(dims[5], dims[3], dims[2], *geometry[0:2])


register_derivatives(round_forward, round_input_gradient, round_weight_gradient)
