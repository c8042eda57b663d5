"""Aggregations: PyG's and your own, by name, as a class, an object or a factory."""

from relmp.rounds.aggregation.combined import MODES, CombinedAggregation
from relmp.rounds.aggregation.resolve import (
    AGGREGATIONS,
    Aggr,
    aggregation_name,
    aggregation_names,
    degree_scaled,
    resolve_aggregation,
)
from relmp.rounds.aggregation.text import (
    aggregation_code,
    aggregation_text,
    foreign_aggregations,
)

__all__ = [
    "AGGREGATIONS",
    "MODES",
    "Aggr",
    "CombinedAggregation",
    "aggregation_code",
    "aggregation_name",
    "aggregation_names",
    "aggregation_text",
    "degree_scaled",
    "foreign_aggregations",
    "resolve_aggregation",
]
