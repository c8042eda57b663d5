"""Runs that differ in one thing, compared pair by pair: values of an axis, or two sweeps."""

from relmp.analysis.pairs.nulls import (
    NullComparison,
    compare_nulls,
    learning_measures,
    with_variants,
)
from relmp.analysis.pairs.paired import Paired, paired_difference
from relmp.analysis.pairs.sweeps import SweepComparison, compare_sweeps
from relmp.analysis.pairs.values import ValueComparison, compare_values

__all__ = [
    "NullComparison",
    "Paired",
    "SweepComparison",
    "ValueComparison",
    "compare_nulls",
    "compare_sweeps",
    "compare_values",
    "learning_measures",
    "paired_difference",
    "with_variants",
]
