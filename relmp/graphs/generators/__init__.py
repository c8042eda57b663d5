"""Graph generators: functions ``*_graph(n, ..., seed) -> networkx.Graph``, also by name."""

from relmp.graphs.generators import classic, expanders, random_graphs, small_worlds, structured
from relmp.graphs.generators.create import (
    GENERATORS,
    Generator,
    check_nodes,
    check_range,
    create_graph,
)

__all__ = [
    "GENERATORS",
    "Generator",
    "check_nodes",
    "check_range",
    "classic",
    "create_graph",
    "expanders",
    "random_graphs",
    "small_worlds",
    "structured",
]
