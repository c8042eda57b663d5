"""The graph of a round as the kernels on a GPU read it.

All edges into a node share its channels. So what a node hears is one long list of channels,
those of all its neighbours end to end, and the round is one product a node:
``y_i = W_i x[heard by i]``, with ``W_i`` as wide as the list is long.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from relmp.graphs import RelationalGraph
from relmp.rounds.channels import ChannelPartition

ALIGNED = 4  # numbers: parts of the table begin at multiples of 16 bytes, as kernels assume

Numbers = npt.NDArray[np.int64]


class Heard(NamedTuple):
    """The channels that every node hears in one direction, and the channels it holds.

    Shapes:
        - **ptr** ``[n + 1]``: what node i hears is ``ptr[i]:ptr[i + 1]``.
        - **channel** ``[K]``: the channel heard.
        - **place** ``[K]``: where the weights of its edge for this channel begin, in
          ``[E, out_dim, in_dim]``.
        - **start**, **size** ``[n]``: the first channel of every node, and how many it holds.
    """

    ptr: Tensor
    channel: Tensor
    place: Tensor
    start: Tensor
    size: Tensor


class Sizes(NamedTuple):
    """The numbers by which operators read a table.

    Args:
        in_channels, out_channels: Channels of the round's input and output.
        in_dim, out_dim: The largest node sizes.
        nodes, edges: Those of the graph.
        heard, told: Numbers in the list of all nodes, forwards and backwards.
        most_heard: The longest list of a node, forwards.
    """

    in_channels: int
    out_channels: int
    in_dim: int
    out_dim: int
    nodes: int
    edges: int
    heard: int
    told: int
    most_heard: int


def graph_table(
    graph: RelationalGraph, into: ChannelPartition, out_of: ChannelPartition
) -> tuple[Tensor, Sizes]:
    """The tables of both directions end to end, int32, and the numbers to read them by."""
    source, target = graph.edges
    edge = np.arange(graph.num_edges) * (out_of.max_size * into.max_size)
    forward = _heard(source, target, into, out_of, edge, 1)
    backward = _heard(target, source, out_of, into, edge, into.max_size)
    parts = [np.pad(part, (0, -len(part) % ALIGNED)) for part in (*forward, *backward)]
    sizes = Sizes(
        into.channels,
        out_of.channels,
        into.max_size,
        out_of.max_size,
        graph.num_nodes,
        graph.num_edges,
        len(forward[1]),
        len(backward[1]),
        int(np.diff(forward[0]).max()),
    )
    return torch.from_numpy(np.concatenate(parts).astype(np.int32)), sizes


def read_table(table: Tensor, sizes: Sizes) -> tuple[Heard, Heard]:
    """The inverse of :func:`graph_table`: views of what is heard forwards and backwards."""
    nodes = sizes.nodes
    lengths = [
        length
        for heard in (sizes.heard, sizes.told)
        for length in (nodes + 1, heard, heard, nodes, nodes)
    ]
    parts, begin = [], 0
    for length in lengths:
        parts.append(table[begin : begin + length])
        begin += length + -length % ALIGNED
    return Heard(*parts[:5]), Heard(*parts[5:])


def _heard(
    speaker: Numbers,
    listener: Numbers,
    of_speaker: ChannelPartition,
    of_listener: ChannelPartition,
    edge: Numbers,
    stride: int,
) -> tuple[Numbers, ...]:
    """The five parts of :class:`Heard`; ``stride`` is from one channel of a speaker to the next
    in the weights of an edge."""
    order = np.lexsort((speaker, listener))
    speaker, listener, edge = speaker[order], listener[order], edge[order]
    starts, sizes = (np.cumsum(of_speaker.sizes) - of_speaker.sizes), of_speaker.sizes
    counts = sizes[speaker]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    lengths = np.bincount(listener, weights=counts, minlength=of_listener.num_nodes)
    return (
        np.concatenate([[0], np.cumsum(lengths.astype(np.int64))]),
        np.repeat(starts[speaker], counts) + within,
        np.repeat(edge, counts) + within * stride,
        np.cumsum(of_listener.sizes) - of_listener.sizes,
        of_listener.sizes,
    )
