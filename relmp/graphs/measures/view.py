"""What several measures need of one graph, and measures by name.

A graph asks here for its measures, so nothing of relational graphs is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, Protocol, TypeVar

import networkx as nx
import numpy as np
import numpy.typing as npt

from relmp.graphs.edges import adjacency
from relmp.registry import Registry

T = TypeVar("T")

Floats = npt.NDArray[np.float64]


class Measured(Protocol):
    """A graph, as far as measures look at it."""

    @property
    def num_nodes(self) -> int:
        """Number of nodes."""

    @property
    def num_edges(self) -> int:
        """Number of directed edges, self-loops included."""

    @property
    def edges(self) -> npt.NDArray[np.int64]:
        """``[2, E]``: sources and targets."""

    @property
    def density(self) -> float:
        """Edges over n squared."""

    @property
    def clustering(self) -> float:
        """C."""

    @property
    def path_length(self) -> float:
        """L."""


class View:
    """What several measures need of one graph, computed once."""

    def __init__(self, graph: Measured) -> None:
        self.graph = graph
        self._found: dict[Callable[[Any], Any], Any] = {}

    @cached_property
    def adjacency(self) -> Floats:
        """``[n, n]`` zeros and ones: undirected, no self-loops."""
        heard = adjacency(self.graph)
        return (heard | heard.T).astype(np.float64)

    @cached_property
    def degrees(self) -> Floats:
        """``[n]`` numbers of neighbours."""
        return np.asarray(self.adjacency.sum(axis=1), dtype=np.float64)

    @cached_property
    def distances(self) -> Floats:
        """``[n, n]`` lengths of shortest paths."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import shortest_path

        return np.asarray(shortest_path(csr_array(self.adjacency), unweighted=True))

    @cached_property
    def walk_eigenvalues(self) -> Floats:
        """Eigenvalues of the random walk, ascending; a node without neighbours stays put."""
        roots = np.sqrt(np.maximum(self.degrees, 1))
        walk = self.adjacency + np.diag((self.degrees == 0).astype(np.float64))
        return np.asarray(np.linalg.eigvalsh(walk / roots[:, None] / roots[None, :]))

    @cached_property
    def networkx(self) -> nx.Graph[int]:
        """The same graph for networkx."""
        return nx.from_numpy_array(self.adjacency.astype(np.int64))

    def once(self, what: Callable[[Any], T]) -> T:
        """``what(graph)``, computed once for all measures that ask for it."""
        if what not in self._found:
            self._found[what] = what(self.graph)
        found: T = self._found[what]
        return found


Measure = Callable[[View], float]

GRAPH_MEASURES: Registry[Measure] = Registry("graph measure")


def measure_graph(graph: Measured, names: Iterable[str] = ()) -> dict[str, float]:
    """Measures of a graph by name, all of them by default.

    Args:
        graph: Any relational graph.
        names: Which measures (``relmp.graphs.GRAPH_MEASURES.names()`` lists them).

    Raises:
        ValueError: If a name is unknown.
    """
    view = View(graph)
    return {
        name: float(GRAPH_MEASURES[name](view))
        for name in tuple(names) or GRAPH_MEASURES.in_order()
    }
