"""Where a graph lies: numbers that describe it, by name.

All but ``density``, ``num_edges`` and ``reciprocity`` look at the undirected graph without
self-loops, as C and L do. A measure that a graph does not have (the assortativity of a
regular graph, the curvature of one without edges) is NaN; distances in a disconnected graph
are infinite.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np

from relmp.graphs.derived.null_models import degree_preserving_rewire
from relmp.graphs.edges import links
from relmp.graphs.measures.view import GRAPH_MEASURES, View, measure_graph
from relmp.graphs.relational_graph import RelationalGraph

if TYPE_CHECKING:
    import pandas as pd


def measure_graphs(graphs: Iterable[RelationalGraph], names: Iterable[str] = ()) -> pd.DataFrame:
    """A table of measures: one row a graph, with its name and key first.

    Args:
        graphs: Any relational graphs.
        names: Which measures, all of them by default.

    Raises:
        ValueError: If a name is unknown.
    """
    import pandas as pd

    names = tuple(dict.fromkeys(names))
    rows = [{"name": g.name or g.key, "key": g.key, **measure_graph(g, names)} for g in graphs]
    return pd.DataFrame(rows, columns=["name", "key", *(names or GRAPH_MEASURES.in_order())])


@GRAPH_MEASURES.register("num_nodes")
def num_nodes(view: View) -> float:
    """Number of nodes n."""
    return view.graph.num_nodes


@GRAPH_MEASURES.register("num_edges")
def num_edges(view: View) -> float:
    """Number of directed edges, self-loops included."""
    return view.graph.num_edges


@GRAPH_MEASURES.register("density")
def density(view: View) -> float:
    """Edges with self-loops over n squared."""
    return view.graph.density


@GRAPH_MEASURES.register("clustering")
def clustering(view: View) -> float:
    """C: mean local clustering coefficient."""
    return view.graph.clustering


@GRAPH_MEASURES.register("path_length")
def path_length(view: View) -> float:
    """L: average shortest path length."""
    return view.graph.path_length


@GRAPH_MEASURES.register("degree_mean")
def degree_mean(view: View) -> float:
    """Mean number of neighbours."""
    return float(view.degrees.mean())


@GRAPH_MEASURES.register("degree_std")
def degree_std(view: View) -> float:
    """Standard deviation of the number of neighbours."""
    return float(view.degrees.std())


@GRAPH_MEASURES.register("degree_min")
def degree_min(view: View) -> float:
    """Smallest number of neighbours."""
    return float(view.degrees.min())


@GRAPH_MEASURES.register("degree_max")
def degree_max(view: View) -> float:
    """Largest number of neighbours."""
    return float(view.degrees.max())


@GRAPH_MEASURES.register("diameter")
def diameter(view: View) -> float:
    """Largest distance between two nodes."""
    return float(view.distances.max())


@GRAPH_MEASURES.register("transitivity")
def transitivity(view: View) -> float:
    """Share of the paths of two edges, over the whole graph, that are closed to triangles."""
    closed = float(np.einsum("ij,ji->", view.adjacency @ view.adjacency, view.adjacency))
    paths = float((view.degrees * (view.degrees - 1)).sum())
    return closed / paths if paths else 0.0


@GRAPH_MEASURES.register("assortativity")
def assortativity(view: View) -> float:
    """Correlation of the degrees at the two ends of an edge."""
    source, target = np.nonzero(view.adjacency)
    ends = view.degrees[source], view.degrees[target]
    spread = float(ends[0].var()) if len(source) else 0.0
    if spread == 0:
        return math.nan
    return float(((ends[0] - ends[0].mean()) * (ends[1] - ends[1].mean())).mean()) / spread


@GRAPH_MEASURES.register("modularity")
def modularity(view: View) -> float:
    """Modularity of the communities that the Louvain method finds (seed 0)."""
    if not view.adjacency.any():
        return math.nan
    communities = nx.community.louvain_communities(view.networkx, seed=0)
    return float(nx.community.modularity(view.networkx, communities))


@GRAPH_MEASURES.register("algebraic_connectivity")
def algebraic_connectivity(view: View) -> float:
    """Second smallest eigenvalue of the Laplacian: 0 for a disconnected graph."""
    if len(view.degrees) < 2:
        return math.nan
    laplacian = np.diag(view.degrees) - view.adjacency
    return max(0.0, float(np.linalg.eigvalsh(laplacian)[1]))


@GRAPH_MEASURES.register("spectral_gap")
def spectral_gap(view: View) -> float:
    """1 minus the second largest absolute eigenvalue of the random walk.

    How fast a walk forgets where it began: 0 for disconnected and for bipartite graphs.
    """
    if len(view.degrees) < 2:
        return math.nan
    return max(0.0, 1.0 - float(np.sort(np.abs(view.walk_eigenvalues))[-2]))


@GRAPH_MEASURES.register("sigma")
def sigma(view: View) -> float:
    """Small-world sigma, (C / C_r) / (L / L_r); C_r, L_r of ten graphs of the same degrees.

    Reference:
        Humphries and Gurney, *Network small-world-ness*, PLoS ONE 2008.
    """
    random_C, random_L = view.once(_random_references)
    L = view.graph.path_length
    if random_C == 0 or L == 0 or not math.isfinite(L) or not math.isfinite(random_L):
        return math.nan
    return view.graph.clustering / random_C * random_L / L


@GRAPH_MEASURES.register("omega")
def omega(view: View) -> float:
    """Small-world omega, L_r / L - C / C_l: near -1 a lattice, 0 a small world, 1 random.

    L_r is that of ``sigma``; C_l is the clustering of a ring lattice with as many edges.

    Reference:
        Telesford et al., *The ubiquity of small-world networks*, Brain Connectivity 2011.
    """
    n, edges = len(view.degrees), int(view.degrees.sum()) // 2
    _, random_L = view.once(_random_references)
    lattice = RelationalGraph.from_edges(
        [(i, (i + step) % n) for step in range(1, edges // n + 1) for i in range(n)]
        + [(i, (i + edges // n + 1) % n) for i in range(edges % n)]
        if edges < n * (n - 1) // 2
        else [(i, j) for i in range(n) for j in range(i)],
        n,
    )
    L = view.graph.path_length
    if L == 0 or not math.isfinite(L) or not math.isfinite(random_L) or not lattice.clustering:
        return math.nan
    return random_L / L - view.graph.clustering / lattice.clustering


@GRAPH_MEASURES.register("entropy")
def entropy(view: View) -> float:
    """Entropy rate of the random walk in nats: the sum of d_i log d_i over the sum of d_i."""
    degrees = view.degrees[view.degrees > 0]
    if not len(degrees):
        return math.nan
    return float((degrees * np.log(degrees)).sum() / degrees.sum())


@GRAPH_MEASURES.register("curvature")
def curvature(view: View) -> float:
    """Mean Ollivier-Ricci curvature of the edges, 1 - W(m_u, m_v).

    W is the earth mover's distance between walks that take one step from either end, each
    to a neighbour at random.

    Reference:
        Ollivier, *Ricci curvature of Markov chains on metric spaces*, J. Funct. Anal. 2009.
    """
    from relmp.graphs.measures.transport import mean_edge_curvature

    if not view.adjacency.any():
        return math.nan
    distances = np.where(np.isfinite(view.distances), view.distances, 0).astype(np.int64)
    return float(mean_edge_curvature(view.adjacency.astype(np.bool_), distances))


@GRAPH_MEASURES.register("reciprocity")
def reciprocity(view: View) -> float:
    """Share of arcs, self-loops apart, whose opposite is there too; 1 where undirected."""
    source, target = view.graph.edges
    n = view.graph.num_nodes
    proper = links(view.graph, directed=True)
    arcs = source[proper] * n + target[proper]
    if not len(arcs):
        return math.nan
    return float(np.isin(target[proper] * n + source[proper], arcs).mean())


def describe(name: str) -> str:
    """What a measure is, in one line.

    Raises:
        ValueError: If the name is unknown.
    """
    text: Any = GRAPH_MEASURES[name].__doc__
    return str(text or "").strip().splitlines()[0] if text else ""


def _random_references(graph: RelationalGraph) -> tuple[float, float]:
    """Mean C and L of ten graphs of the same degrees, rewired at random."""
    rewired = [degree_preserving_rewire(graph.undirected(), seed=seed) for seed in range(10)]
    lengths = [each.path_length for each in rewired if math.isfinite(each.path_length)]
    length = float(np.mean(lengths)) if lengths else math.inf
    return float(np.mean([each.clustering for each in rewired])), length
