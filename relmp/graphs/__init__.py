"""Who talks to whom: relational graphs, generators, measures and the design space."""

from relmp.graphs.design_space import sample_graphs
from relmp.graphs.generators import create_graph, generators
from relmp.graphs.relational_graph import RelationalGraph

__all__ = ["RelationalGraph", "create_graph", "generators", "sample_graphs"]
