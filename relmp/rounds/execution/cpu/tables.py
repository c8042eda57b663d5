"""The graph of a round as the kernels read it."""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from relmp.graphs import RelationalGraph
from relmp.rounds.channels import ChannelPartition

T = TypeVar("T")


class InEdges(NamedTuple, Generic[T]):
    """The edges into every node: whom it hears, and by which weights.

    Shapes:
        - **ptr** ``[n + 1]``: the edges of node i are ``ptr[i]:ptr[i + 1]``.
        - **start**, **size** ``[E]``: first channel heard, and how many.
        - **weight** ``[E]``: where the weights of the edge begin.
    """

    ptr: T
    start: T
    size: T
    weight: T


class Side(NamedTuple, Generic[T]):
    """The channels of every node: the first and how many, ``[n]`` each."""

    start: T
    size: T


class GraphTables(NamedTuple, Generic[T]):
    """A round's graph and channels; end to end in one tensor, as an operator takes them.

    Shapes:
        - **source**, **target** ``[E]``
        - **x_side**, **y_side**: the channels of the nodes at the input and at the output.
        - **forward**, **backward**: the edges by target, and the reversed ones by source.
    """

    source: T
    target: T
    x_side: Side[T]
    y_side: Side[T]
    forward: InEdges[T]
    backward: InEdges[T]


def graph_table(
    graph: RelationalGraph, x_part: ChannelPartition, y_part: ChannelPartition, taps: int
) -> Tensor:
    """The tables of a round end to end, for weights of ``taps`` numbers a pair of channels."""
    source, target = graph.edges
    place = np.arange(graph.num_edges) * (taps * y_part.max_size * x_part.max_size)
    (in_start, in_size), (out_start, out_size) = (
        (np.cumsum(part.sizes) - part.sizes, part.sizes) for part in (x_part, y_part)
    )
    by_source = np.lexsort((target, source))
    reverse_ptr = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=len(in_size)))])
    tables = GraphTables(
        source,
        target,
        Side(in_start, in_size),
        Side(out_start, out_size),
        InEdges(graph.ptr, in_start[source], in_size[source], place),
        InEdges(
            reverse_ptr,
            *(array[by_source] for array in (out_start[target], out_size[target], place)),
        ),
    )
    parts = [*tables[:2], *tables.x_side, *tables.y_side, *tables.forward, *tables.backward]
    return torch.from_numpy(np.concatenate(parts).astype(np.int64))


def read_table(table: Tensor, nodes: int) -> GraphTables[Any]:
    """The inverse of :func:`graph_table`, as NumPy arrays that share its storage."""
    numbers = table.numpy()
    edges = (len(numbers) - 6 * nodes - 2) // 8
    lengths = [edges] * 2 + [nodes] * 4 + [nodes + 1, *[edges] * 3] * 2
    parts, begin = [], 0
    for length in lengths:
        parts.append(numbers[begin : begin + length])
        begin += length
    sides = (Side(*parts[2:4]), Side(*parts[4:6]))
    return GraphTables(parts[0], parts[1], *sides, InEdges(*parts[6:10]), InEdges(*parts[10:14]))


class Heard(NamedTuple, Generic[T]):
    """What every node hears of vectors: for each of its pairs, a row and the place of its weight.

    Shapes:
        - **ptr** ``[n + 1]``: the pairs of node i are ``ptr[i]:ptr[i + 1]``.
        - **row** ``[pairs]``: the channel heard.
        - **weight** ``[pairs]``: the place of the weight of the node's first channel.
        - **start**, **size** ``[n]``: the channels of the node itself.
    """

    ptr: T
    row: T
    weight: T
    start: T
    size: T


def vector_table(
    graph: RelationalGraph, x_part: ChannelPartition, y_part: ChannelPartition
) -> Tensor:
    """What the targets hear and, along the reversed edges, the sources; end to end.

    There is room for as many pairs as edges between nodes of the largest size have, so that
    the length stays when edges change.
    """
    source, target = graph.edges
    place = np.arange(graph.num_edges) * (y_part.max_size * x_part.max_size)
    forward = _heard(source, target, place, 1, x_part, y_part)
    backward = _heard(target, source, place, x_part.max_size, y_part, x_part)
    return torch.from_numpy(np.concatenate([*forward, *backward]).astype(np.int64))


def _heard(
    heard: Any, told: Any, place: Any, step: int, heard_part: Any, told_part: Any
) -> Heard[Any]:
    """What the nodes ``told`` hear of the nodes ``heard``; ``step`` is from the weight of a
    channel heard to that of the next one."""
    order = np.lexsort((heard, told))
    sizes = heard_part.sizes[heard[order]]
    edges = np.repeat(order, sizes)
    channel = np.arange(len(edges)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    of_node = np.bincount(told, heard_part.sizes[heard], minlength=told_part.num_nodes)
    starts, own = (np.cumsum(part.sizes) - part.sizes for part in (heard_part, told_part))
    room = (0, len(order) * heard_part.max_size - len(edges))
    return Heard(
        np.concatenate([[0], np.cumsum(of_node)]),
        np.pad(starts[heard[edges]] + channel, room),
        np.pad(place[edges] + channel * step, room),
        own,
        told_part.sizes,
    )
