"""The graph that a text stands for, wherever the text was shown."""

from __future__ import annotations

from pathlib import Path

from relmp.checks import did_you_mean
from relmp.graphs.connectome import CONNECTOMES, load_connectome
from relmp.graphs.files import load_graph
from relmp.graphs.generators import GENERATORS
from relmp.graphs.generators.gallery import example_graph
from relmp.graphs.relational_graph import RelationalGraph
from relmp.graphs.serialise import graph_from_text


def parse_graph(
    text: str, *, root: str | Path | None = None, download: bool = False
) -> RelationalGraph:
    """The graph that a text stands for.

    Args:
        text: ``"ws_flex(n=64, k=8, p=0.1, seed=0)"``, a generator's name (its example is taken;
            the graph's name says which), a connectome's name, or a file.
        root: Folder of the text files of connectomes.
        download: Whether a connectome that is not there is downloaded.

    Raises:
        ValueError: If it is none of these.
    """
    if "(" in text and not Path(text).exists():
        return graph_from_text(text)
    if text in GENERATORS:
        return example_graph(text)
    if text in CONNECTOMES:
        return load_connectome(text, root=root, download=download)
    if not Path(text).exists() and not Path(text).suffix:
        raise ValueError(
            f"'{text}' is no file, connectome or generator; `relmp graphs list` lists the names."
            f"{did_you_mean(text, [*GENERATORS, *CONNECTOMES])}"
        )
    return load_graph(text)
