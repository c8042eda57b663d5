"""The relational graph: who talks to whom."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Hashable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import networkx as nx
import numpy as np
import numpy.typing as npt

from relmp.graphs.edges import (
    checked_attributes,
    checked_edges,
    checked_labels,
    edges_of_networkx,
    frozen,
    in_both_directions,
    networkx_of,
    with_self_loops,
)
from relmp.graphs.shown import Shown
from relmp.graphs.size import MAX_LABELLED

if TYPE_CHECKING:
    import torch
    from torch_geometric.data import Data


class GeneratorCall(NamedTuple):
    """The call that made a graph: name of the generator and its arguments."""

    name: str
    arguments: Mapping[str, Any]


class RelationalGraph(Shown):
    r"""A frozen set of nodes and directed edges :math:`j \to i`: node i listens to node j.

    Every node also listens to itself: self-loops are added where they are missing, unless
    ``self_loops=False`` says that the diagonal is as given. An undirected graph is one that
    holds both directions of every edge. Two graphs are equal when their nodes, edges and edge
    attributes are; ``name``, ``labels`` and ``generator`` do not count.

    Args:
        num_nodes: Number of nodes n, at least 1.
        edge_index: Integer array ``[2, E]``, row 0 the source and row 1 the target. Repeated
            edges are an error. The order does not matter; edges are stored sorted by target,
            then source.
        edge_attr: Optional numbers ``[E]`` or ``[E, D]`` that travel with the edges
            (a distance, a synapse count).
        self_loops: Whether every node gets a self-loop. Where it is False, a node may hear
            nothing, or not itself.
        self_loop_attr: The attribute that an added self-loop gets.
        labels: Optional names of the nodes, one each.
        name: What people call this graph; free text.
        generator: Name and arguments of the generator that made this graph, where there is one.

    Raises:
        ValueError: If there are no nodes, an edge leaves the range, an edge is repeated, or
            the attributes do not match the edges or are not finite.

    Reference:
        You, Leskovec, He, Xie, *Graph Structure of Neural Networks*, ICML 2020, section 2.
    """

    def __init__(
        self,
        num_nodes: int,
        edge_index: npt.ArrayLike | torch.Tensor,
        edge_attr: npt.ArrayLike | torch.Tensor | None = None,
        *,
        self_loops: bool = True,
        self_loop_attr: float = 1.0,
        labels: Iterable[Hashable] | None = None,
        name: str = "",
        generator: GeneratorCall | None = None,
    ) -> None:
        is_whole = isinstance(num_nodes, int | np.integer) and not isinstance(num_nodes, bool)
        if not is_whole or not 1 <= num_nodes <= MAX_LABELLED:
            raise ValueError(
                f"A relational graph needs at least one node, and at most {MAX_LABELLED:,}, but "
                f"num_nodes is {num_nodes!r}."
            )
        self._num_nodes = num_nodes = int(num_nodes)
        edges = checked_edges(num_nodes, edge_index)
        attr = checked_attributes(edges.shape[1], edge_attr)
        if self_loops:
            edges, attr = with_self_loops(num_nodes, edges, attr, self_loop_attr)
        order = np.lexsort((edges[0], edges[1]))
        self._edges = frozen(edges[:, order])
        self._attr = None if attr is None else frozen(attr[order])
        self.name = name
        self.generator = generator
        self.labels = None if labels is None else checked_labels(num_nodes, labels)
        self._sealed = True

    def __setattr__(self, attribute: str, value: object) -> None:
        if getattr(self, "_sealed", False):
            raise AttributeError(
                f"A RelationalGraph is frozen: '{attribute}' cannot be set; build a new graph."
            )
        super().__setattr__(attribute, value)

    # Building ---------------------------------------------------------------------------

    @classmethod
    def from_networkx(
        cls,
        graph: nx.Graph[Any],
        *,
        edge_attrs: Iterable[str] = (),
        name: str = "",
        generator: GeneratorCall | None = None,
    ) -> RelationalGraph:
        """From any networkx graph, directed (an arc is source to target) or not.

        Nodes are numbered in the order in which the graph holds them; their old names become
        ``labels``. Self-loops are added where they are missing.

        Args:
            graph: A ``Graph`` or ``DiGraph``.
            edge_attrs: Edge data to carry along, one column of ``edge_attr`` each.
            name: Name of the result; the graph's own name by default.
            generator: Name and arguments of the generator that made it, where there is one.

        Raises:
            ValueError: For a multigraph, an empty graph, or missing edge data.
        """
        edges, attr, index = edges_of_networkx(graph, tuple(edge_attrs))
        labels = None if list(index) == list(range(len(index))) else index
        return cls(
            len(index),
            edges,
            attr,
            labels=labels,
            name=name or str(graph.graph.get("name", "")),
            generator=generator,
        )

    @classmethod
    def from_edges(
        cls,
        edges: Iterable[tuple[int, int]],
        num_nodes: int | None = None,
        *,
        directed: bool = False,
        name: str = "",
    ) -> RelationalGraph:
        """From pairs of node numbers: arcs ``(source, target)`` where ``directed``, else both ways.

        There is one node more than the largest number, unless ``num_nodes`` says how many.
        """
        pairs = np.array(list(edges), dtype=np.int64).reshape(-1, 2)
        if num_nodes is None:
            num_nodes = int(pairs.max()) + 1 if len(pairs) else 0
        if not directed:
            pairs = np.concatenate([pairs, pairs[pairs[:, 0] != pairs[:, 1], ::-1]])
        return cls(num_nodes, pairs.T, name=name)

    # What it holds ----------------------------------------------------------------------

    @property
    def num_nodes(self) -> int:
        """Number of nodes n."""
        return self._num_nodes

    @property
    def num_edges(self) -> int:
        """Number of directed edges E, self-loops included."""
        return int(self._edges.shape[1])

    @property
    def num_self_loops(self) -> int:
        """How many nodes hear themselves; all of them unless ``self_loops=False`` was said."""
        return int((self._edges[0] == self._edges[1]).sum())

    @property
    def edges(self) -> npt.NDArray[np.int64]:
        """``[2, E]``, sorted by target then source, as a read-only NumPy array."""
        return self._edges

    @property
    def edge_index(self) -> torch.Tensor:
        """``[2, E]`` int64, row 0 the source and row 1 the target; a fresh tensor."""
        import torch

        return torch.from_numpy(self._edges.copy())

    @property
    def edge_attr(self) -> torch.Tensor | None:
        """``[E, D]`` float64 in the order of ``edge_index``, or None; a fresh tensor."""
        import torch

        return None if self._attr is None else torch.from_numpy(self._attr.copy())

    @property
    def ptr(self) -> npt.NDArray[np.int64]:
        """``[n + 1]``: the in-edges of node i are ``ptr[i]:ptr[i + 1]``."""
        return np.searchsorted(self._edges[1], np.arange(self._num_nodes + 1)).astype(np.int64)

    @property
    def in_degrees(self) -> npt.NDArray[np.int64]:
        """``[n]``: how many nodes each node hears, itself included where it hears itself."""
        return np.diff(self.ptr)

    @cached_property
    def is_directed(self) -> bool:
        """Whether some edge has no opposite edge."""
        forward = self._edges[0] * self._num_nodes + self._edges[1]
        backward = self._edges[1] * self._num_nodes + self._edges[0]
        return not np.array_equal(np.sort(forward), np.sort(backward))

    @cached_property
    def key(self) -> str:
        """Content hash of n, edges and edge attributes: 16 hexadecimal digits."""
        digest = hashlib.sha256(f"relational-graph-1:{self._num_nodes}:".encode())
        digest.update(self._edges.astype("<i8").tobytes())
        if self._attr is not None:
            digest.update(f":{self._attr.shape[1]}:".encode())
            digest.update(self._attr.astype("<f8").tobytes())
        return digest.hexdigest()[:16]

    # Where it lies ----------------------------------------------------------------------

    @property
    def density(self) -> float:
        """Edges, self-loops included, over n squared; 1 for the complete graph."""
        return self.num_edges / self._num_nodes**2

    @cached_property
    def clustering(self) -> float:
        """C: mean local clustering coefficient, undirected and without self-loops."""
        from relmp.graphs import kernels

        return float(kernels.mean_clustering(self._neighbour_sets))

    @cached_property
    def path_length(self) -> float:
        """L: average shortest path length, undirected; infinite for a disconnected graph."""
        from relmp.graphs import kernels

        total = kernels.sum_of_distances(self._neighbour_sets)
        pairs = self._num_nodes * (self._num_nodes - 1)
        return math.inf if total < 0 else total / max(pairs, 1)

    def measures(self, *names: str) -> dict[str, float]:
        """Measures by name, all by default; ``relmp.graphs.GRAPH_MEASURES.names()`` lists them.

        Raises:
            ValueError: If a name is unknown.
        """
        from relmp.graphs.measures.view import measure_graph

        return measure_graph(self, names)

    def undirected(self) -> RelationalGraph:
        """The graph in which two nodes hear each other if either heard the other.

        An edge that was there in both directions gets the mean of their attributes.
        """
        if not self.is_directed and self._attributes_are_symmetric():
            return self
        edges, attr = in_both_directions(self._num_nodes, self._edges, self._attr)
        return _rebuild(self._num_nodes, edges, attr, (self.labels, self.name, None))

    @property
    def is_complete(self) -> bool:
        """Whether every node hears every node."""
        return self.num_edges == self._num_nodes**2

    @property
    def _neighbour_sets(self) -> npt.NDArray[np.uint64]:
        from relmp.graphs import kernels

        return kernels.pack(self._num_nodes, self._edges[0], self._edges[1])

    # Leaving ----------------------------------------------------------------------------

    def to_networkx(self) -> nx.Graph[Any]:
        """A ``networkx.Graph``, or a ``DiGraph`` where the graph is directed; no self-loops.

        Nodes carry their labels. Edge attributes become the edge data ``attr_0``,
        ``attr_1``, ...; a pair whose two directions differ makes a ``DiGraph``.
        """
        both_alike = not self.is_directed and self._attributes_are_symmetric()
        names = self.labels or tuple(range(self._num_nodes))
        return networkx_of(names, self._edges, self._attr, directed=not both_alike, name=self.name)

    def to_pyg(self) -> Data:
        """A PyG ``Data`` with ``edge_index``, ``edge_attr``, ``num_nodes``."""
        with warnings.catch_warnings():
            # PyTorch Geometric calls torch.jit.script when it is imported.
            warnings.filterwarnings("ignore", message="`torch.jit.script`")
            from torch_geometric.data import Data

        return Data(edge_index=self.edge_index, edge_attr=self.edge_attr, num_nodes=self._num_nodes)

    def _attributes_are_symmetric(self) -> bool:
        if self._attr is None:
            return True
        opposite = np.lexsort((self._edges[1], self._edges[0]))
        return np.array_equal(self._attr, self._attr[opposite])

    # Being a value ----------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RelationalGraph) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __reduce__(self) -> tuple[Any, ...]:
        about = (self.labels, self.name, self.generator)
        return (_rebuild, (self._num_nodes, self._edges, self._attr, about))

    def __repr__(self) -> str:
        name = f"{self.name}: " if self.name else ""
        kind = "directed, " if self.is_directed else ""
        return (
            f"<RelationalGraph {name}{kind}{self._num_nodes} nodes, {self.num_edges} edges, "
            f"density {self.density:.3f}>"
        )


def require_graph(value: object) -> RelationalGraph:
    """The value, if it is a relational graph.

    Raises:
        ValueError: If it is anything else; says how to make one of it.
    """
    if isinstance(value, RelationalGraph):
        return value
    make = "RelationalGraph.from_networkx" if isinstance(value, nx.Graph) else "relmp.create_graph"
    shown = repr(value) if isinstance(value, str) else f"a {type(value).__name__}"
    raise ValueError(f"A RelationalGraph is needed, but {shown} was given; make one by {make}.")


def _rebuild(num_nodes: int, edges: Any, attr: Any, about: tuple[Any, ...]) -> RelationalGraph:
    labels, name, generator = about
    return RelationalGraph(
        num_nodes, edges, attr, self_loops=False, labels=labels, name=name, generator=generator
    )
