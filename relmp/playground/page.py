"""The playground as one HTML file: sources put together, graphs and numbers put in."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import resources
from string import Template

from relmp.graphs.space.graph_sets import sample_graphs
from relmp.playground.presets import MAX_NODES, Preset

SWEET_SPOT = {"clustering": (0.10, 0.50), "path_length": (1.82, 2.75)}
"""The paper's rectangle for the 5-layer MLP on CIFAR-10, as published."""

# In the order in which they are read: a file uses at once only what stands before it.
SCRIPTS = (
    "random",
    "graph",
    "generators",
    "network",
    "tasks",
    "app",
    "colours",
    "arrange",
    "link",
    "drawing",
    "editor",
    "trainer",
    "surfaces",
    "results",
    "player",
    "matrices",
    "map",
    "controls",
    "hints",
    "main",
)

_SOURCES = resources.files("relmp.playground") / "page"


def write_page(presets: Iterable[Preset] = ()) -> str:
    """The page as text.

    Args:
        presets: Graphs to offer besides those that the page makes itself.
    """
    data = {
        "max_nodes": MAX_NODES,
        "presets": [preset.to_dict() for preset in presets],
        "paper": _paper_graphs(),
        "spot": SWEET_SPOT,
    }
    # "</" would end the script element that holds the data.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    scripts = "\n".join(_read(f"{name}.js") for name in SCRIPTS)
    return Template(_read("page.html")).substitute(
        style=_read("page.css"), script=f'"use strict";\n(() => {{\n{scripts}\n}})();', data=text
    )


def _paper_graphs() -> list[dict[str, float]]:
    """Settings and place of the paper's 52 graphs."""
    rows = []
    for graph in sample_graphs(n=64, size=52):
        assert graph.generator is not None
        arguments = graph.generator.arguments
        rows.append(
            {name: arguments[name] for name in ("k", "p", "seed")}
            | {"clustering": graph.clustering, "path_length": graph.path_length}
        )
    return rows


def _read(name: str) -> str:
    return (_SOURCES / name).read_text(encoding="utf-8")
