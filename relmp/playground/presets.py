"""Graphs that the playground offers by a button."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx

from relmp.graphs.connectome import CONNECTOMES
from relmp.graphs.relational_graph import RelationalGraph

MAX_NODES = 100
"""How many nodes the page draws."""


@dataclass(frozen=True)
class Preset:
    """A graph with a name and the Python that makes it.

    Attributes:
        key: What a link calls it: letters, digits, hyphens and underscores.
        title: What the button says.
        graph: The graph, with ``MAX_NODES`` nodes at most.
        python: The Python that makes the graph; its edges are listed where this is empty.
        note: What it is and whom to cite, where there is something to say.

    Raises:
        ValueError: If the graph has too many nodes.
    """

    key: str
    title: str
    graph: RelationalGraph
    python: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        n = self.graph.num_nodes
        if n > MAX_NODES:
            raise ValueError(
                f"The playground draws at most {MAX_NODES} nodes, but '{self.title}' has {n}; "
                f"relmp.coarsen makes a smaller graph of it."
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the page; self-loops are left out."""
        return {
            "key": self.key,
            "title": self.title,
            "n": self.graph.num_nodes,
            "edges": [(int(u), int(v)) for u, v in self.graph.edges.T if u != v],
            "python": self.python,
            "note": self.note,
        }


def karate_club() -> Preset:
    """A social network of 34 people, which comes with networkx."""
    return Preset(
        "karate_club",
        "Karate club",
        RelationalGraph.from_networkx(nx.karate_club_graph()),
        "relmp.RelationalGraph.from_networkx(networkx.karate_club_graph())",
        "34 members of a karate club and who met whom: Zachary, An information flow model for "
        "conflict and fission in small groups, Journal of Anthropological Research 1977.",
    )


def connectome_preset(name: str, graph: RelationalGraph) -> Preset:
    """A connectome of relmp that was loaded from a file of the user's."""
    about = CONNECTOMES[name]
    title = name.replace("_", " ").capitalize()
    note = f"{about.title}: {about.citation}."
    return Preset(name, title, graph, f'relmp.load_connectome("{name}")', note)


def graph_preset(key: str, graph: RelationalGraph, text: str) -> Preset:
    """A graph that the user named: a generator with its arguments, or a file.

    A graph of edge attributes has no line of Python here: the page does not hold them.
    """
    if graph.generator is not None:
        name, arguments = graph.generator
        call = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        return Preset(key, text, graph, f'relmp.create_graph("{name}", {call})')
    return Preset(key, Path(text).stem, graph)
