"""Who talks to whom: relational graphs, generators, measures and the design space."""

from relmp.graphs.brains.nulls import null_graphs, null_model
from relmp.graphs.brains.scaling import region_sizes, scale_connectome
from relmp.graphs.connectome import CONNECTOMES, load_connectome, neuron_densities
from relmp.graphs.derived.coarsening import coarsen
from relmp.graphs.derived.null_models import (
    clustering_preserving_rewire,
    degree_preserving_rewire,
    same_size_graph,
)
from relmp.graphs.derived.union import disjoint_union
from relmp.graphs.files import load_graph
from relmp.graphs.generators import GENERATORS, create_graph
from relmp.graphs.layers.densities import layer_densities
from relmp.graphs.measures import GRAPH_MEASURES, measure_graphs
from relmp.graphs.parse import parse_graph
from relmp.graphs.relational_graph import RelationalGraph
from relmp.graphs.saving import save_graph
from relmp.graphs.space.design_space import DesignSpace, sweep_design_space
from relmp.graphs.space.graph_sets import sample_graphs
from relmp.graphs.space.targets import find_graph

__all__ = [
    "CONNECTOMES",
    "GENERATORS",
    "GRAPH_MEASURES",
    "DesignSpace",
    "RelationalGraph",
    "clustering_preserving_rewire",
    "coarsen",
    "create_graph",
    "degree_preserving_rewire",
    "disjoint_union",
    "find_graph",
    "layer_densities",
    "load_connectome",
    "load_graph",
    "measure_graphs",
    "neuron_densities",
    "null_graphs",
    "null_model",
    "parse_graph",
    "region_sizes",
    "same_size_graph",
    "sample_graphs",
    "save_graph",
    "scale_connectome",
    "sweep_design_space",
]
