"""Which layer has which graph."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TypeAlias

import numpy as np

from relmp.graphs.relational_graph import RelationalGraph, require_graph


class LayerGraphs(Mapping[str, RelationalGraph | None]):
    """A frozen mapping from the names of layers, or patterns of them, to graphs.

    A layer has the graph of the first pattern that fits its name (``"stages.0.*"``), and is an
    ordinary one where that graph is None or no pattern fits.

    Args:
        graphs: The graphs, by name or pattern as of :mod:`fnmatch`.

    Raises:
        ValueError: If it is empty, or holds something else than graphs.
    """

    def __init__(self, graphs: Mapping[str, RelationalGraph | None]) -> None:
        self._graphs = dict(graphs)
        if not self.different:
            raise ValueError(
                "A mapping from layers to graphs needs at least one graph, but it has none; give "
                "graph=None for a model without graphs."
            )

    @property
    def different(self) -> list[RelationalGraph]:
        """The graphs without repetition."""
        given = [require_graph(graph) for graph in self._graphs.values() if graph is not None]
        return list(dict.fromkeys(given))

    def __getitem__(self, pattern: str) -> RelationalGraph | None:
        return self._graphs[pattern]

    def __iter__(self) -> Iterator[str]:
        return iter(self._graphs)

    def __len__(self) -> int:
        return len(self._graphs)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LayerGraphs) and self.key == other.key

    def __repr__(self) -> str:
        return f"<LayerGraphs {self.name}>"

    @cached_property
    def key(self) -> str:
        """Content hash of the patterns, in order, and the graphs: 16 hexadecimal digits."""
        parts = [f"{name}={graph and graph.key}" for name, graph in self._graphs.items()]
        return hashlib.sha256(f"layer-graphs-1:{';'.join(parts)}".encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """The graphs by their patterns, for people."""
        parts = [
            f"{pattern}: {'dense' if graph is None else graph.name or graph.key}"
            for pattern, graph in self._graphs.items()
        ]
        shown = parts if len(parts) < 4 else [*parts[:2], f"{len(parts) - 2} more"]
        return "{" + ", ".join(shown) + "}"

    @property
    def num_nodes(self) -> int:
        """Nodes of the largest graph."""
        return max(graph.num_nodes for graph in self.different)

    @property
    def is_complete(self) -> bool:
        """Whether all graphs are complete."""
        return all(graph.is_complete for graph in self.different)

    @property
    def density(self) -> float:
        """Mean density of the different graphs."""
        return float(np.mean([graph.density for graph in self.different]))

    @property
    def clustering(self) -> float:
        """Mean clustering of the different graphs."""
        return float(np.mean([graph.clustering for graph in self.different]))

    @property
    def path_length(self) -> float:
        """Mean path length of the different graphs; infinite where that of one is."""
        return float(np.mean([graph.path_length for graph in self.different]))


Graphs: TypeAlias = RelationalGraph | Mapping[str, RelationalGraph | None] | None
"""What ``graph=`` of a model takes: one graph for all rounds, one a layer, or none."""


def as_graphs(graph: Graphs) -> RelationalGraph | LayerGraphs | None:
    """The value itself, with a mapping frozen.

    Raises:
        ValueError: If it is no graph.
    """
    if isinstance(graph, Mapping):
        return graph if isinstance(graph, LayerGraphs) else LayerGraphs(graph)
    return None if graph is None else require_graph(graph)


def graph_of_each(graph: Graphs, layers: Iterable[str]) -> dict[str, RelationalGraph | None]:
    """The graph of every layer.

    Raises:
        ValueError: If a pattern fits no layer.
    """
    names = list(layers)
    if not isinstance(graph, Mapping):
        return dict.fromkeys(names, graph)
    for pattern in graph:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(
                f"graph names '{pattern}', but no relational layer is called so; they are "
                f"{', '.join(names) or 'none'}."
            )
    return {
        name: next((graph[pattern] for pattern in graph if fnmatchcase(name, pattern)), None)
        for name in names
    }
