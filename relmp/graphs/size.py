"""How large a graph may be, checked before any work on it starts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

MAX_NODES = 2**16
"""Of a generated graph; C and L take n squared bits."""
MAX_EDGES = 2**23
"""Of a generated graph, both directions counted."""
MAX_LABELLED = 10**7
"""Nodes of any graph."""

_EDGES: dict[str, Callable[..., float]] = {
    "complete": lambda n: n * n,
    "erdos_renyi": lambda n, p: p * n * n,
    "random_directed": lambda n, p: p * n * n,
    "random_geometric": lambda n, radius: min(1.0, math.pi * radius**2) * n * n,
    "stochastic_block": lambda n, blocks, p_in, p_out: n * n * (p_in / max(blocks, 1) + p_out),
    "group": lambda n, groups: n * n / max(groups, 1),
    "caveman": lambda n, caves: n * n / max(caves, 1),
    "paley": lambda n: n * n / 2,
    "monarch": lambda n: 2 * n**1.5,
    "ws_flex": lambda n, k: n * k,
    "watts_strogatz": lambda n, k: n * k,
    "ring_lattice": lambda n, k: n * k,
    "harary": lambda n, k: n * k,
    "random_in_regular": lambda n, k: n * k,
    "random_regular": lambda n, d: n * d,
    "ramanujan": lambda n, d: n * d,
    "lps": lambda n, d: n * d,
    "barabasi_albert": lambda n, m: 2 * n * m,
    "powerlaw_cluster": lambda n, m: 2 * n * m,
    "flat_butterfly": lambda n, hubs: n * (math.log2(max(n, 2)) + 2 * hubs),
}
"""About how many edges the larger generators make, by what they are given."""


def check_size(generator: str, arguments: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` if a generator is asked for more than a machine holds.

    What is no number is left to the checks of the generator.
    """
    n = arguments.get("n")
    if not isinstance(n, int) or isinstance(n, bool):
        return
    if n > MAX_NODES:
        raise ValueError(
            f"A generated graph has at most {MAX_NODES:,} nodes, but n is {n:,}; build a larger "
            f"one from its edges (RelationalGraph, load_graph)."
        )
    count = _EDGES.get(generator)
    if count is None or n < 1:
        return
    names = count.__code__.co_varnames
    try:
        edges = count(**{name: float(arguments[name]) for name in names})
    except (KeyError, TypeError, ValueError, OverflowError):
        return
    if edges > MAX_EDGES:
        raise ValueError(
            f"A generated graph has at most {MAX_EDGES:,} edges, but this one would have about "
            f"{edges:,.0f}; ask for fewer nodes or a smaller degree."
        )
