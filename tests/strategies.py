"""Random graphs and channels for property tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from relmp.graphs import RelationalGraph


@st.composite
def relational_graphs(draw: st.DrawFn, max_nodes: int = 7) -> RelationalGraph:
    """Any directed graph: edges drawn one by one, disconnected and empty ones included."""
    n = draw(st.integers(1, max_nodes))
    arcs = [(u, v) for u in range(n) for v in range(n) if u != v]
    chosen = draw(st.lists(st.sampled_from(arcs), unique=True)) if arcs else []
    return RelationalGraph(n, np.array(chosen, dtype=np.int64).reshape(-1, 2).T)


@st.composite
def graphs_and_channels(draw: st.DrawFn, max_nodes: int = 7) -> tuple[RelationalGraph, int, int]:
    """A graph with input and output channels, mostly not multiples of its nodes."""
    graph = draw(relational_graphs(max_nodes))
    channels = st.integers(graph.num_nodes, 4 * graph.num_nodes)
    return graph, draw(channels), draw(channels)


@st.composite
def attributed_graphs(draw: st.DrawFn, max_nodes: int = 6) -> RelationalGraph:
    """A graph that may have attributes, labels, and nodes that do not hear themselves."""
    graph = draw(relational_graphs(max_nodes))
    if draw(st.booleans()):
        kept = draw(st.lists(st.booleans(), min_size=graph.num_edges, max_size=graph.num_edges))
        edges = graph.edges[:, np.array(kept, dtype=bool)]
        graph = RelationalGraph(graph.num_nodes, edges, self_loops=False)
    columns = draw(st.integers(0, 2))
    numbers = st.lists(
        st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, 1.0]),
        min_size=columns * graph.num_edges,
        max_size=columns * graph.num_edges,
    )
    attr = np.array(draw(numbers), dtype=np.float64).reshape(graph.num_edges, columns)
    names = st.text("abcxyz0123456789é-_ ,#<&\"'=", min_size=1, max_size=4)
    labels = st.none() | st.lists(
        names, min_size=graph.num_nodes, max_size=graph.num_nodes, unique=True
    )
    return RelationalGraph(
        graph.num_nodes, graph.edges, attr if attr.size else None, self_loops=False,
        labels=draw(labels), name="drawn",
    )  # fmt: skip


@st.composite
def deaf_graphs(draw: st.DrawFn, max_nodes: int = 6) -> RelationalGraph:
    """A directed graph in which nodes may not hear themselves, or nothing at all."""
    graph = draw(relational_graphs(max_nodes))
    if draw(st.booleans()):
        return graph
    kept = draw(st.lists(st.booleans(), min_size=graph.num_edges, max_size=graph.num_edges))
    edges = graph.edges[:, np.array(kept, dtype=bool)]
    return RelationalGraph(graph.num_nodes, edges, self_loops=False)


def layouts(images: bool = False) -> st.SearchStrategy[Layout]:
    """Ways in which the numbers of a tensor may lie in memory."""
    return st.sampled_from([*_LAYOUTS, *(_IMAGES if images else ())])


Layout: TypeAlias = Callable[
    [tuple[int, ...], torch.Generator, torch.dtype], tuple[Tensor, Callable[[Tensor], Tensor]]
]
"""``(shape, numbers, dtype) -> (leaf, laid)``; ``laid(leaf)`` has the shape."""


def _layout(
    larger: Callable[[tuple[int, ...]], tuple[int, ...]], laid: Callable[..., Tensor]
) -> Layout:
    def make(
        shape: tuple[int, ...], numbers: torch.Generator, dtype: torch.dtype
    ) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        leaf = torch.randn(larger(shape), generator=numbers, dtype=torch.float64).to(dtype)
        return leaf.requires_grad_(), lambda x: laid(x, shape)

    return make


_LAYOUTS: list[Layout] = [
    _layout(lambda s: s, lambda x, s: x),
    _layout(lambda s: (s[1], s[0], *s[2:]), lambda x, s: x.transpose(0, 1)),
    _layout(lambda s: (1, *s[1:]), lambda x, s: x.expand(s)),
    _layout(lambda s: (s[0], 1, *s[2:]), lambda x, s: x.expand(s)),
    _layout(lambda s: (s[0] + 2, s[1] + 3, *s[2:]), lambda x, s: x[1 : s[0] + 1, 2 : s[1] + 2]),
    _layout(lambda s: (2 * s[0], 3 * s[1], *s[2:]), lambda x, s: x[::2, ::3]),
]
_IMAGES: list[Layout] = [
    _layout(lambda s: s, lambda x, s: x.contiguous(memory_format=torch.channels_last)),
    _layout(lambda s: (s[0], s[2], s[3], s[1]), lambda x, s: x.permute(0, 3, 1, 2)),
    _layout(lambda s: (*s[:2], s[3], s[2]), lambda x, s: x.transpose(2, 3)),
    _layout(lambda s: (*s[:2], 1, 1), lambda x, s: x.expand(s)),
]
