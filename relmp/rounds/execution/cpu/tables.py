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
