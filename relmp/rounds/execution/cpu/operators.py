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

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from relmp.rounds.execution.convolution import Convolution
from relmp.rounds.execution.cpu.lanes import (
    Batch,
    hear,
    into_lanes,
    numpy_type,
    out_of_lanes,
    wanted_of_weights,
)
from relmp.rounds.execution.cpu.scratch import scratch
from relmp.rounds.execution.cpu.tables import Side, read_table
from relmp.rounds.execution.derivatives import register_derivatives

Numbers: TypeAlias = Sequence[int]


@torch.library.custom_op("relmp::round", mutates_args=(), device_types="cpu")
def round_forward(x: Tensor, w: Tensor, graph: Tensor, dims: Numbers, geometry: Numbers) -> Tensor:
    """The round: ``y = sum over edges of w * x``."""
    return _heard(x, w, graph, dims, geometry, backward=False)


@torch.library.custom_op("relmp::round_input_gradient", mutates_args=(), device_types="cpu")
def round_input_gradient(
    y: Tensor, w: Tensor, graph: Tensor, dims: Numbers, geometry: Numbers
) -> Tensor:
    """What ``y`` wants of the input: the round over the reversed graph."""
    return _heard(y, w, graph, dims, geometry, backward=True)


@torch.library.custom_op("relmp::round_weight_gradient", mutates_args=(), device_types="cpu")
def round_weight_gradient(
    y: Tensor, x: Tensor, graph: Tensor, dims: Numbers, geometry: Numbers
) -> Tensor:
    """What ``y`` wants of the weights; zero in padded slots."""
    tables, convolution = read_table(graph, dims[4]), Convolution.of(geometry)
    lanes = (_in_lanes(y, tables.y_side, "y"), _in_lanes(x, tables.x_side, "x"))
    return wanted_of_weights(*lanes, tables, convolution, Batch.of(y), Batch.of(x), dims)


def _heard(
    x: Tensor, w: Tensor, graph: Tensor, dims: Numbers, geometry: Numbers, *, backward: bool
) -> Tensor:
    tables, convolution = read_table(graph, dims[4]), Convolution.of(geometry)
    channels, image = (dims[0], convolution.image) if backward else (dims[1], convolution.output)
    x_side, y_side = (tables.x_side, tables.y_side)[:: -1 if backward else 1]
    y = x.new_empty(x.size(0), channels, *image)
    room, x_lanes = _room(y, "y"), _in_lanes(x, x_side, "x")
    hear(x_lanes, w, room, tables, convolution, Batch.of(x), channels, backward=backward)
    out_of_lanes(room, y, y_side)
    return y


def _in_lanes(x: Tensor, side: Side[Any], place: str) -> Any:
    lanes = _room(x, place)
    into_lanes(x, lanes, side)
    return lanes


def _room(x: Tensor, place: str) -> Any:
    return scratch.array(Batch.of(x).numbers, numpy_type(x.dtype), place)


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
