"""Where a graph lies: numbers that describe it, by name."""

from relmp.graphs.measures.formulas import describe, measure_graphs
from relmp.graphs.measures.view import GRAPH_MEASURES, Measure, View, measure_graph

__all__ = ["GRAPH_MEASURES", "Measure", "View", "describe", "measure_graph", "measure_graphs"]
