"""An example of every generator: what the gallery shows and the tests try."""

from __future__ import annotations

from typing import Any

from relmp.graphs.generators import GENERATORS, create_graph
from relmp.graphs.relational_graph import RelationalGraph

EXAMPLES: dict[str, dict[str, Any]] = {
    "complete": {"n": 16},
    "ws_flex": {"n": 32, "k": 5.5, "p": 0.2, "seed": 3},
    "watts_strogatz": {"n": 32, "k": 4, "p": 0.2, "seed": 3},
    "ring_lattice": {"n": 32, "k": 6},
    "cycle": {"n": 32},
    "path": {"n": 32},
    "star": {"n": 32},
    "tree": {"n": 31},
    "grid": {"n": 36},
    "torus": {"n": 36},
    "hypercube": {"n": 32},
    "harary": {"n": 32, "k": 5},
    "erdos_renyi": {"n": 32, "p": 0.2, "seed": 3},
    "barabasi_albert": {"n": 32, "m": 2, "seed": 3},
    "powerlaw_cluster": {"n": 32, "m": 2, "p": 0.8, "seed": 3},
    "stochastic_block": {"n": 32, "blocks": 4, "p_in": 0.7, "p_out": 0.05, "seed": 3},
    "random_geometric": {"n": 32, "radius": 0.35, "seed": 3},
    "caveman": {"n": 32, "caves": 4},
    "random_regular": {"n": 32, "d": 4, "seed": 3},
    "ramanujan": {"n": 32, "d": 4, "seed": 3},
    "margulis": {"n": 36},
    "paley": {"n": 29},
    "lps": {"n": 2184, "d": 6},
    "flat_butterfly": {"n": 32, "levels": 3, "hubs": 2},
    "monarch": {"n": 36},
    "group": {"n": 32, "groups": 4},
    "random_directed": {"n": 32, "p": 0.15, "seed": 3},
    "random_in_regular": {"n": 32, "k": 4, "seed": 3},
}
"""Parameters that show what a generator does; every generator of relmp has some."""


def example_graph(name: str) -> RelationalGraph:
    """The example of a generator.

    Raises:
        ValueError: If the generator is unknown, or has no example.
    """
    _ = GENERATORS[name]
    if name not in EXAMPLES:
        raise ValueError(f"There is no example of '{name}'; give its parameters.")
    return create_graph(name, **EXAMPLES[name])
