"""Pictures of graphs: nodes and edges, adjacency matrix, place in the plane of C and L.

Every function returns a matplotlib ``Figure`` and touches no global state of pyplot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
import numpy.typing as npt

from relmp.graphs.edges import adjacency, links
from relmp.graphs.generators.gallery import EXAMPLES, example_graph
from relmp.graphs.relational_graph import RelationalGraph
from relmp.graphs.space.design_space import sweep_design_space
from relmp.graphs.space.graph_sets import PAPER_BINS, paper_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EDGE, NODE, REGION, MARK = "#4c5b6b", "#1f77b4", "#d9dee4", "#d62728"
_MOST_DRAWN = 400  # nodes; a picture of more is one blot and takes minutes to lay out


def draw_graph(graph: RelationalGraph, views: Sequence[str] = (), *, ax: Any = None) -> Figure:
    """A graph seen in several ways, side by side.

    Args:
        graph: Any relational graph.
        views: Of ``"circular"``, ``"spring"``, ``"matrix"`` and ``"plane"``; all by default,
            without the layouts where there are too many nodes to tell apart.
        ax: Axes to draw into, one a view; with one axes and no views, neighbours lie close.

    Raises:
        ValueError: If a view is unknown.
    """
    from relmp.picture import panels

    views = (views,) if isinstance(views, str) else views
    large = graph.num_nodes > _MOST_DRAWN
    if ax is not None and hasattr(ax, "plot"):
        views = views or (("matrix",) if large else ("spring",))
    chosen = tuple(views) or (("matrix", "plane") if large else tuple(VIEWS))
    unknown = [view for view in chosen if view not in VIEWS]
    if unknown:
        raise ValueError(f"Unknown view '{unknown[0]}'; choose of {', '.join(VIEWS)}.")
    figure, places = panels(ax, (3.6 * len(chosen), 3.9), 1, len(chosen))
    for axes, view in zip(places, chosen, strict=True):
        VIEWS[view](axes, graph)
    if ax is not None:
        return figure
    figure.suptitle(
        f"{graph.name or graph.key}\n{graph.num_nodes} nodes, {graph.num_edges} edges, "
        f"C = {graph.clustering:.3f}, L = {graph.path_length:.3f}",
        fontsize=9,
    )
    return figure


def draw_gallery(names: Iterable[str] = ()) -> Figure:
    """The example of every generator (or of these), six a row."""
    from relmp.picture import panels

    chosen = list(names) or list(EXAMPLES)
    columns = min(6, len(chosen))
    rows = math.ceil(len(chosen) / columns)
    figure, places = panels(None, (2.3 * columns, 2.6 * rows), rows, columns)
    for axes, name in zip(places, chosen, strict=False):
        graph = example_graph(name)
        (draw_matrix if graph.num_nodes > _MOST_DRAWN else draw_spring)(axes, graph)
        axes.set_title(
            f"{name}\nn={graph.num_nodes}  C={graph.clustering:.2f}  L={graph.path_length:.2f}",
            fontsize=8,
        )
    for axes in places[len(chosen) :]:
        axes.set_axis_off()
    return figure


def draw_circular(axes: Axes, graph: RelationalGraph) -> None:
    """Nodes on a circle in the order of their numbers."""
    angle = 2 * np.pi * np.arange(graph.num_nodes) / graph.num_nodes
    _draw_edges(axes, graph, np.stack([np.sin(angle), np.cos(angle)], axis=1))
    axes.set_title("nodes in order", fontsize=8)


def draw_spring(axes: Axes, graph: RelationalGraph) -> None:
    """Nodes that are joined lie close together (Fruchterman and Reingold, seed 0)."""
    plain: nx.Graph[int] = nx.empty_graph(graph.num_nodes)
    plain.add_edges_from((u, v) for u, v in graph.edges.T.tolist() if u != v)
    place = nx.spring_layout(plain, seed=0, iterations=100)
    _draw_edges(axes, graph, np.array([place[i] for i in range(graph.num_nodes)]))
    axes.set_title("neighbours close", fontsize=8)


def draw_matrix(axes: Axes, graph: RelationalGraph) -> None:
    """The adjacency matrix: a dot where a target (row) hears a source (column), as weights lie."""
    matrix = adjacency(graph) | np.eye(graph.num_nodes, dtype=np.bool_)
    axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1.2, interpolation="nearest")
    axes.set_xlabel("source", fontsize=8)
    axes.set_ylabel("target", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.set_title("who speaks to whom", fontsize=8)


def draw_plane(axes: Axes, graph: RelationalGraph) -> None:
    """The graph in the plane of C and L, before the region that WS-flex graphs attain."""
    C, L = attainable_region(graph.num_nodes)
    axes.scatter(C, L, s=7, color=REGION, marker="s", linewidths=0, label="attained by ws_flex")
    if math.isfinite(graph.path_length):
        axes.plot([graph.clustering], [graph.path_length], "o", color=MARK, ms=6)
    else:
        axes.axvline(graph.clustering, color=MARK, lw=1, label="L is infinite")
    axes.set_xlabel("C", fontsize=8)
    axes.set_ylabel("L", fontsize=8)
    axes.tick_params(labelsize=7)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, loc="upper left", frameon=False)
    axes.set_title("clustering and path length", fontsize=8)


def attainable_region(n: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Points (C, L) that WS-flex graphs of n nodes attain.

    For 64 and 16 nodes the bins of the paper's largest sets; otherwise a coarse sweep. Empty
    where n is below 7 or above 200.
    """
    if n in PAPER_BINS:
        count, longest = PAPER_BINS[n]
        bins = paper_table(n)[:, 3:] - 0.5
        return bins[:, 0] / count, 1 + bins[:, 1] * (longest - 1) / count
    if not 7 <= n <= 200:
        return np.empty(0), np.empty(0)
    k = np.linspace(math.sqrt(max(4, n / 8)), math.sqrt(n - 2), 40) ** 2
    space = sweep_design_space(
        n, k=k, p=np.linspace(0, 1, 60) ** 2, seeds=1, cache=False, progress=False
    )
    connected = np.isfinite(space.L)
    return space.C[connected], space.L[connected]


VIEWS: dict[str, Callable[[Any, RelationalGraph], None]] = {
    "circular": draw_circular,
    "spring": draw_spring,
    "matrix": draw_matrix,
    "plane": draw_plane,
}
"""The ways in which ``draw_graph`` shows a graph."""


def _draw_edges(axes: Axes, graph: RelationalGraph, place: npt.NDArray[np.float64]) -> None:
    from matplotlib.collections import LineCollection

    source, target = graph.edges
    kept = links(graph, graph.is_directed)
    segments = np.stack([place[source[kept]], place[target[kept]]], axis=1)
    opacity = min(0.8, 12 / math.sqrt(max(len(segments), 1)))
    if graph.is_directed:
        for start, end in segments:
            arrow = {"arrowstyle": "-|>", "color": EDGE, "alpha": opacity, "lw": 0.6}
            arrow["mutation_scale"] = 6
            axes.annotate("", xy=tuple(end), xytext=tuple(start), arrowprops=arrow)
    else:
        lines = LineCollection(list(segments), colors=EDGE, linewidths=0.7, alpha=opacity)
        axes.add_collection(lines)
    size = max(4, 600 / graph.num_nodes)
    axes.scatter(place[:, 0], place[:, 1], s=size, color=NODE, zorder=3, linewidths=0)
    axes.margins(0.08)
    axes.set_aspect("equal")
    axes.set_axis_off()
