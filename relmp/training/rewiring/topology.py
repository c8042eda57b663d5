"""What training made of the edges: ``topology.jsonl``, a line for every layer and rewiring, or for
every layer and epoch where scores choose."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

from relmp.files import append_text, json_line, read_lines, write_text
from relmp.graphs import RelationalGraph

TOPOLOGY = "topology.jsonl"

Topology: TypeAlias = dict[str, Any]
"""A layer after a rewiring: ``rewiring`` (its number; 0 is the start), ``step`` (of the
optimiser), ``layer``, ``edges`` (or weights), ``density``, ``changed`` (edges that are new),
``tried`` (share of all places that was ever taken), ``overlap`` (share of the edges of the start
that are there), and of the graph ``clustering``, ``path_length``, ``spectral_gap``, ``in_degree``
and ``out_degree`` (least, mean, most). What a graph has not (the path length of a disconnected
one), and for single weights all that is said of graphs, is None."""


def layer_record(graph: RelationalGraph | None, **values: Any) -> Topology:
    """The record of one layer; None for a layer of single weights."""
    measured: dict[str, Any] = dict.fromkeys(
        ("clustering", "path_length", "spectral_gap", "in_degree", "out_degree")
    )
    if graph is not None:
        found = graph.measures("clustering", "path_length", "spectral_gap")
        measured |= {name: value if math.isfinite(value) else None for name, value in found.items()}
        degrees = [int(degree) for degree in graph.in_degrees]
        spoken = [0] * graph.num_nodes
        for source in graph.edges[0].tolist():
            spoken[source] += 1
        for name, counts in (("in_degree", degrees), ("out_degree", spoken)):
            measured[name] = [min(counts), sum(counts) / len(counts), max(counts)]
    return values | measured


def append_topology(folder: Path, records: Iterable[Topology]) -> None:
    """Append records to the file of a run."""
    append_text(folder / TOPOLOGY, "".join(map(json_line, records)))


def read_topology(folder: str | Path) -> list[Topology]:
    """The records of a run; a torn last line is dropped with a warning.

    Raises:
        FileNotFoundError: If the run neither changed nor chose edges.
        ValueError: If the file is damaged otherwise.
    """
    path = Path(folder) / TOPOLOGY
    if not path.exists():
        raise FileNotFoundError(
            f"'{folder}' has no {TOPOLOGY}: no run was trained there with rewiring= or with "
            f"a scored message."
        )
    lines = list(read_lines(path))
    for number, record in enumerate(lines[:-1], 1):
        if record is None:
            raise ValueError(
                f"Line {number} of '{path}' is no record; remove that file to go on without what "
                f"it says."
            )
    if lines[-1:] == [None]:
        warnings.warn(f"Dropped the torn last line of '{path}'.", stacklevel=2)
    return [record for record in lines if record is not None]


def resume_topology(folder: Path, count: int) -> None:
    """Drop what was written after the checkpoint that a run goes on from.

    Args:
        folder: Folder of the run.
        count: Rewirings up to the checkpoint.
    """
    path = folder / TOPOLOGY
    if not path.exists():
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = [record for record in read_topology(folder) if record["rewiring"] <= count]
    write_text(path, "".join(map(json_line, kept)))
