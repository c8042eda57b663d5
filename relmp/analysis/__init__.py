"""What did we learn: sweet spot, honest numbers, fits, figures and report."""

from relmp.analysis.controls.best_over import best_over
from relmp.analysis.report.figures import plot_sweet_spot
from relmp.analysis.report.summary import Summary, summarise
from relmp.analysis.report.write import analyse
from relmp.analysis.results import Results
from relmp.analysis.spot.sweet_spot import SweetSpot, find_sweet_spot

__all__ = [
    "Results",
    "Summary",
    "SweetSpot",
    "analyse",
    "best_over",
    "find_sweet_spot",
    "plot_sweet_spot",
    "summarise",
]
