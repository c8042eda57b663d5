"""Runs that differ in one thing, compared pair by pair: values of an axis, or two sweeps."""

from relmp.analysis.pairs.paired import Paired, paired_difference
from relmp.analysis.pairs.sweeps import SweepComparison, compare_sweeps
from relmp.analysis.pairs.values import ValueComparison, compare_values

__all__ = [
    "Paired",
    "SweepComparison",
    "ValueComparison",
    "compare_sweeps",
    "compare_values",
    "paired_difference",
]
