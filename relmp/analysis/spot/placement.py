"""Where particular graphs (connectomes, say) lie on the map of a sweep."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from relmp.analysis.results import Results
from relmp.analysis.spot.surface import Surface
from relmp.analysis.spot.sweet_spot import SweetSpot
from relmp.graphs import RelationalGraph


def place_graphs(
    results: Results,
    graphs: Iterable[RelationalGraph],
    spot: SweetSpot,
    surface: Surface | None = None,
) -> pd.DataFrame:
    """One row a graph: its measures, whether it lies in the sweet spot, its error.

    ``mean``, ``deviation`` and ``n`` are NaN, NaN and 0 for a graph that was not run;
    ``expected`` and ``expected_deviation`` are the surface's at its measures, NaN where the
    sweep has no graphs near them. The sweep's graphs may have another number of nodes, so an
    expectation is a guess across sizes.

    Raises:
        ValueError: If a measure of the map is no property of a graph.
    """
    rows = []
    for graph in graphs:
        place = (_measure(graph, results.measures[0]), _measure(graph, results.measures[1]))
        errors = results.runs.loc[results.runs["graph_key"] == graph.key, results.error]
        expected = None if surface is None or not np.isfinite(place).all() else surface.at(place)
        rows.append(
            {
                "graph": graph.name or graph.key,
                "graph_key": graph.key,
                "num_nodes": graph.num_nodes,
                "density": graph.density,
                **dict(zip(results.measures, place, strict=True)),
                "in_spot": bool(spot.contains(np.array([place]))[0]),
                "mean": np.mean(errors) if len(errors) else np.nan,
                "deviation": np.std(errors) if len(errors) else np.nan,
                "n": len(errors),
                "expected": np.nan if expected is None else expected[0],
                "expected_deviation": np.nan if expected is None else expected[1],
            }
        )
    return pd.DataFrame(rows)


def _measure(graph: RelationalGraph, measure: str) -> float:
    try:
        return float(getattr(graph, measure))
    except (AttributeError, TypeError):
        raise ValueError(
            f"'{measure}' is no number that a relational graph has, so graphs cannot be placed "
            f"on this map; use clustering, path_length or density."
        ) from None
