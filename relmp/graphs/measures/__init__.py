"""Where a graph lies: numbers that describe it, by name."""

from relmp.graphs.measures.formulas import describe, measure_graphs
from relmp.graphs.measures.view import Measure, View, measure_graph, measures

__all__ = ["Measure", "View", "describe", "measure_graph", "measure_graphs", "measures"]
