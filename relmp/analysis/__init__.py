"""What did we learn: sweet spot, honest numbers, fits, figures and report."""

from relmp.analysis.controls.best_over import best_over
from relmp.analysis.pairs.nulls import NullComparison, compare_nulls, learning_measures
from relmp.analysis.report.brains import plot_places, write_states
from relmp.analysis.report.comparison import Comparison, compare_graphs
from relmp.analysis.report.figures import plot_sweet_spot
from relmp.analysis.report.write import analyse
from relmp.analysis.results import Results
from relmp.analysis.spot.sweet_spot import SweetSpot, find_sweet_spot
from relmp.analysis.topology import plot_topology

__all__ = [
    "Comparison",
    "NullComparison",
    "Results",
    "SweetSpot",
    "analyse",
    "best_over",
    "compare_graphs",
    "compare_nulls",
    "find_sweet_spot",
    "learning_measures",
    "plot_places",
    "plot_sweet_spot",
    "plot_topology",
    "write_states",
]
