"""The six connectomes of bio2art: weighted matrices of regions, row = source.

A folder may hold them as text (``NAME.txt``, ``NAME.labels.txt``, ``NAME.neuron_density.txt``)
or as bio2art's own arrays (``C_NAME.npy``, ``ND_NAME.npy``), which is what a download fetches.
The numbers are compared with a checksum, whichever file they came from; nothing that is read can
run code, so the pickled names of regions are not.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from relmp.graphs.relational_graph import RelationalGraph

SOURCE = (
    "https://raw.githubusercontent.com/AlGoulas/bio2art/"
    "e46de2b7cb9b4063cb7b3728ef9d1b709be78c79/bio2art/connectomes/"
)
DENSITIES = {
    "Macaque_Normalized": "582f4776ae68696b3561ff2ee5ddfc6b9a85498e1b0876cfb5678d7fb00c7c80",
    "Marmoset_Normalized": "2e4bfe29a124166d84aaa99b1326c2240ea4c870daa4388819c53a8283aa03b0",
}
"""Which connectomes come with neuron densities, and the checksum of these."""

Array = npt.NDArray[np.float64]
Fetch = Callable[[str, str], bytes]
"""``(source, file) -> content``."""


def read_bio2art(
    file: str, sha256: str, folder: Path, *, name: str, fetch: Fetch | None, self_loops: bool
) -> RelationalGraph:
    """A connectome with the weights of its matrix as edge attributes.

    Args:
        file: NAME above.
        sha256: Of the weights, as float64 row by row.
        folder: Where the files lie.
        name: Name of the graph.
        fetch: What downloads a missing array into the folder; None does not.
        self_loops: Whether every node gets a self-loop, of weight 1.

    Raises:
        ValueError: If the file is missing, or its numbers are others.
    """
    weights = _numbers(folder, f"{file}.txt", f"C_{file}.npy", sha256, fetch)
    labels = folder / f"{file}.labels.txt"
    source, target = np.nonzero(weights)
    return RelationalGraph(
        len(weights),
        np.stack([source, target]),
        weights[source, target],
        labels=labels.read_text(encoding="utf-8").split("\n")[: len(weights)]
        if labels.exists()
        else None,
        name=name,
        self_loops=self_loops,
    )


def read_densities(file: str, folder: Path, *, name: str, fetch: Fetch | None) -> Array:
    """``[regions]``: neurons per cubic millimetre, NaN where none were measured.

    Raises:
        ValueError: If there are none for this connectome, or as :func:`read_bio2art`.
    """
    if file not in DENSITIES:
        raise ValueError(
            f"There are no neuron densities of connectome '{name}'; those of bio2art are of "
            f"macaque and marmoset, so give the number of neurons of each region yourself."
        )
    stored = f"{file}.neuron_density.txt", f"ND_{file}.npy"
    return _numbers(folder, *stored, DENSITIES[file], fetch)


def _numbers(folder: Path, text: str, array: str, sha256: str, fetch: Fetch | None) -> Array:
    """The numbers of either file, compared with their checksum."""
    path = folder / text
    if not path.exists():
        path = folder / array
    if not path.exists() and fetch is None:
        raise ValueError(
            f"Neither {text} nor {array} is in {folder}; give download=True, or root=, the "
            f"folder that holds one of them."
        )
    fetched = None
    if not path.exists() and fetch is not None:
        fetched = fetch(SOURCE, array)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}.tmp")
        beside.write_bytes(fetched)
        beside.replace(path)
    try:
        numbers = np.loadtxt(path) if path.suffix == ".txt" else np.load(path, allow_pickle=False)
        values = np.asarray(numbers, dtype="<f8")
    except (OSError, ValueError, EOFError):
        raise ValueError(
            f"{path} is not the file that is expected: it holds no numbers; remove it and load "
            f"with download=True."
        ) from None
    # NaN has many bit patterns; all are written as one.
    values = np.where(np.isnan(values), np.nan, values)
    found = hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
    if found != sha256:
        raise ValueError(
            f"{path} is not the file that is expected (the SHA-256 of its numbers is {found}, "
            f"not {sha256}); remove it and load with download=True."
        )
    return values
