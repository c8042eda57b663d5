"""The graph of a round as the kernels read it."""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from relmp.graphs import RelationalGraph
from relmp.rounds.channels import ChannelPartition

T = TypeVar("T")


class Edges(NamedTuple, Generic[T]):
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
    """A round's graph and channels; flat as tensors, an operator takes them as a list.

    Shapes:
        - **source**, **target** ``[E]``
        - **into**, **out_of**: the channels of the nodes at the input and at the output.
        - **forward**, **backward**: the edges by target, and the reversed ones by source.
    """

    source: T
    target: T
    into: Side[T]
    out_of: Side[T]
    forward: Edges[T]
    backward: Edges[T]


def graph_tensors(
    graph: RelationalGraph, into: ChannelPartition, out_of: ChannelPartition, taps: int
) -> list[Tensor]:
    """The tables of a round, flat, for weights of ``taps`` numbers a pair of channels."""
    source, target = graph.edges
    place = np.arange(graph.num_edges) * (taps * out_of.max_size * into.max_size)
    sides = [(np.cumsum(part.sizes) - part.sizes, part.sizes) for part in (into, out_of)]
    (in_start, in_size), (out_start, out_size) = sides
    by_source = np.lexsort((target, source))
    reverse_ptr = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=len(in_size)))])
    arrays = [
        *(source, target, in_start, in_size, out_start, out_size),
        *(graph.ptr, in_start[source], in_size[source], place),
        *(array[by_source] for array in (out_start[target], out_size[target], place)),
    ]
    arrays.insert(10, reverse_ptr)
    return [torch.from_numpy(np.array(array, dtype=np.int64)) for array in arrays]


def unflatten(tensors: list[Tensor]) -> GraphTables[Any]:
    """The inverse of :func:`graph_tensors`, as NumPy arrays that share their storage."""
    a = [tensor.numpy() for tensor in tensors]
    return GraphTables(a[0], a[1], Side(*a[2:4]), Side(*a[4:6]), Edges(*a[6:10]), Edges(*a[10:14]))
