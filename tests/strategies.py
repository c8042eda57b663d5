"""Random graphs and channels for property tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

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
