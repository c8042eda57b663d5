"""How a graph shows itself: drawn, and in a notebook."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from relmp.graphs.edges import links

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_LINES = 2000
"""So many edges are drawn at most; a picture of more is a grey disc."""
_SIDE = 150


class Shown:
    """What a graph can do for people to see."""

    def draw(self, views: Sequence[str] = (), *, ax: Any = None) -> Figure:
        """The graph seen in several ways, see :func:`relmp.draw_graph`."""
        # Drawing builds on graphs, so it is looked up when it is asked for.
        figure: Figure = import_module("relmp.graphs.draw").draw_graph(self, views, ax=ax)
        return figure

    def _repr_html_(self) -> str:
        graph: Any = self
        facts = {
            "nodes": f"{graph.num_nodes:,}",
            "edges": f"{graph.num_edges:,}" + (", directed" if graph.is_directed else ""),
            "density": f"{graph.density:.3f}",
            "C": f"{graph.clustering:.3f}",
            "L": f"{graph.path_length:.3f}",
            "key": f"<code>{graph.key}</code>",
        }
        rows = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in facts.items())
        name = html.escape(graph.name or "RelationalGraph")
        return (
            f"<div><b>{name}</b><div style='display:flex;gap:1em;align-items:center'>"
            f"{ring(graph)}<table>{rows}</table></div></div>"
        )


def ring(graph: Any) -> str:
    """The graph with its nodes on a ring, as SVG."""
    middle, radius = _SIDE / 2, _SIDE / 2 - 6
    angles = [2 * math.pi * i / graph.num_nodes for i in range(graph.num_nodes)]
    places = [(middle + radius * math.sin(a), middle - radius * math.cos(a)) for a in angles]
    pairs = graph.edges[:, links(graph, graph.is_directed)].T.tolist()
    pairs = pairs[:: math.ceil(len(pairs) / _MOST_LINES) or 1]
    opacity = min(0.8, 12 / math.sqrt(max(len(pairs), 1)))
    lines = "".join(
        f"M{places[u][0]:.1f} {places[u][1]:.1f}L{places[v][0]:.1f} {places[v][1]:.1f}"
        for u, v in pairs
    )
    size = max(0.6, min(3.0, 120 / graph.num_nodes))
    dots = "".join(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{size:.1f}'/>" for x, y in places)
    return (
        f"<svg width='{_SIDE}' height='{_SIDE}' role='img' aria-label='nodes on a ring'>"
        f"<path d='{lines}' stroke='#4c5b6b' stroke-opacity='{opacity:.2f}' fill='none'/>"
        f"<g fill='#1f77b4'>{dots}</g></svg>"
    )
