"""The dense twin of a round: written out node by node, with nothing of relmp's layouts in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from relmp.graphs import RelationalGraph


def places(n: int, channels: int) -> list[slice]:
    """Which channels of a layer each node holds."""
    sizes = np.full(n, channels // n)
    sizes[: channels % n] += 1
    sizes = np.random.RandomState(1).permutation(sizes)
    ends = np.cumsum(sizes)
    return [slice(int(end - size), int(end)) for size, end in zip(sizes, ends, strict=True)]


def laid_out(
    graph: RelationalGraph, weight: Tensor, channels: tuple[int, int], *, mean: bool = False
) -> Tensor:
    """``weight [E, out_dim, in_dim, ...]`` as one matrix or kernel, zeros where no edge is."""
    ins, outs = (places(graph.num_nodes, count) for count in channels)
    matrix = weight.new_zeros((channels[1], channels[0], *weight.shape[3:]))
    heard = np.bincount(graph.edges[1], minlength=graph.num_nodes)
    for e, (u, v) in enumerate(graph.edges.T.tolist()):
        rows, columns = outs[v], ins[u]
        block = weight[e, : rows.stop - rows.start, : columns.stop - columns.start]
        part = torch.zeros_like(matrix)
        part[rows, columns] = block / (heard[v] if mean else 1)
        matrix = matrix + part
    return matrix


def nodes_of(x: Tensor, n: int) -> Tensor:
    """``[B, C, ...]`` -> ``[n, B, c, ...]``, nodes padded to the largest."""
    held = places(n, x.size(1))
    largest = max(place.stop - place.start for place in held)
    rows = []
    for place in held:
        missing = largest - (place.stop - place.start)
        padding = x.new_zeros((x.size(0), missing, *x.shape[2:]))
        rows.append(torch.cat([x[:, place], padding], 1))
    return torch.stack(rows)


def flat_of(nodes: Sequence[Tensor], channels: int) -> Tensor:
    """Node states ``[B, c, ...]`` -> ``[B, C, ...]``, without what is padding."""
    held = places(len(nodes), channels)
    parts = [x[:, : p.stop - p.start] for x, p in zip(nodes, held, strict=True)]
    return torch.cat(parts, 1)
