"""What did we learn: sweet spot, honest numbers, fits, figures and report."""

from relmp.analysis.analyse import analyse
from relmp.analysis.best_over import best_over
from relmp.analysis.figures import plot_sweet_spot
from relmp.analysis.results import Results
from relmp.analysis.summary import Summary, summarise
from relmp.analysis.sweet_spot import SweetSpot, find_sweet_spot

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
