"""Who talks to whom: relational graphs, generators, measures and the design space."""

from relmp.graphs.design_space import DesignSpace, sweep_design_space
from relmp.graphs.generators import create_graph, generators
from relmp.graphs.graph_sets import sample_graphs
from relmp.graphs.relational_graph import RelationalGraph

__all__ = [
    "DesignSpace",
    "RelationalGraph",
    "create_graph",
    "generators",
    "sample_graphs",
    "sweep_design_space",
]
