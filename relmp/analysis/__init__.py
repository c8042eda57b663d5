"""What did we learn: sweet spot, honest numbers, fits, figures and report."""

from relmp.analysis.controls.best_over import best_over
from relmp.analysis.report.comparison import Comparison, compare_graphs
from relmp.analysis.report.figures import plot_sweet_spot
from relmp.analysis.report.write import analyse
from relmp.analysis.results import Results
from relmp.analysis.spot.sweet_spot import SweetSpot, find_sweet_spot
from relmp.analysis.topology import plot_topology

__all__ = [
    "Comparison",
    "Results",
    "SweetSpot",
    "analyse",
    "best_over",
    "compare_graphs",
    "find_sweet_spot",
    "plot_sweet_spot",
    "plot_topology",
]
