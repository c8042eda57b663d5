"""Connectomes: who talks to whom in a worm, a fly, a mouse, a cat, a monkey and a human.

Nine are small files that are downloaded on request or read from a folder. The others
are data files of an installed package (``cect``, ``graspologic``), which is found but not
imported: nothing of it runs.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np

from relmp.graphs.brains.bio2art import Array, read_bio2art, read_densities
from relmp.graphs.brains.catalogue import CONNECTOMES as CONNECTOMES
from relmp.graphs.brains.catalogue import Connectome
from relmp.graphs.cache import cache_folder
from relmp.graphs.files import load_graph
from relmp.graphs.relational_graph import RelationalGraph

SOURCE = (
    "https://raw.githubusercontent.com/facebookresearch/graph2nn/"
    "b6a67ccca99737d31b45aa4c938f6b7998050cb3/pycls/datasets/"
)


def load_connectome(
    name: str,
    *,
    root: str | os.PathLike[str] | None = None,
    download: bool = False,
    undirected: bool = False,
    self_loops: bool = True,
) -> RelationalGraph:
    """A connectome as a relational graph, directed from source to target.

    Edges of C. elegans carry two attributes, the numbers of chemical synapses and of gap
    junctions; those of the larva of Drosophila one, the number of synapses; those of bio2art's
    (``bio2art_marmoset``, ...) one, the weight. Added self-loops get 1.

    Args:
        name: One of ``CONNECTOMES.names()``; ``CONNECTOMES[name]`` has the citation.
        root: Folder of the files of cat and macaque, and of bio2art's in it or in ``bio2art``
            inside it; ``connectomes`` in ``relmp.graphs.cache.cache_folder()`` by default. The
            others do not use it.
        download: Whether a missing file is fetched into ``root`` and its checksum compared.
        undirected: Whether every edge is made to go both ways.
        self_loops: Whether every node is made to hear itself; if not, the diagonal is as given.

    Raises:
        ValueError: If the name is unknown, the file or the package is missing, or the file
            is not the one that is expected.
    """
    about = CONNECTOMES[name]
    if about.package == "cect":
        graph = _from_cect(about, self_loops)
    elif about.package == "graspologic":
        graph = _from_graspologic(about, self_loops)
    elif about.is_weighted:
        graph = read_bio2art(
            about.file, about.sha256, _folder(about, root), name=name,
            fetch=_fetch if download else None, self_loops=self_loops,
        )  # fmt: skip
    else:
        path = _text_file(about, _folder(about, root), download)
        graph = load_graph(path, kind="matrix", name=name)
        if not self_loops:  # there are none in these files
            edges = graph.edges[:, graph.edges[0] != graph.edges[1]]
            graph = RelationalGraph(graph.num_nodes, edges, name=name, self_loops=False)
    if graph.num_nodes != about.n:
        raise ValueError(
            f"Connectome '{name}' has {about.n} nodes, but {graph.num_nodes} were read; its "
            f"file is another version."
        )
    return graph.undirected() if undirected else graph


def neuron_densities(
    name: str, *, root: str | os.PathLike[str] | None = None, download: bool = False
) -> Array:
    """``[regions]``: neurons per cubic millimetre of a connectome's regions, in their order.

    NaN where none were measured (5 of the macaque's 29).

    Args:
        name: ``bio2art_macaque`` or ``bio2art_marmoset``.
        root, download: As :func:`load_connectome`.

    Raises:
        ValueError: If there are none, or as :func:`load_connectome`.
    """
    about = CONNECTOMES[name]
    file = about.file if about.is_weighted else ""
    folder = _folder(about, root)
    return read_densities(file, folder, name=name, fetch=_fetch if download else None)


def _folder(about: Connectome, root: str | os.PathLike[str] | None) -> Path:
    folder = cache_folder() / "connectomes" if root is None else Path(root)
    inside = folder / "bio2art"
    return inside if about.is_weighted and inside.is_dir() else folder


def _text_file(about: Connectome, folder: Path, download: bool) -> Path:
    path = folder / about.file
    if not path.exists():
        if not download:
            raise ValueError(
                f"Connectome '{about.name}' needs {about.file}, which is not in {folder}; give "
                f"download=True, or root=, the folder that holds it."
            )
        _store(path, _fetch(SOURCE, about.file))
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != about.sha256:
        raise ValueError(
            f"{path} is not the file that is expected (its SHA-256 is {found}, not "
            f"{about.sha256}); remove it and load with download=True."
        )
    return path


def _fetch(source: str, file: str) -> bytes:
    try:
        with urllib.request.urlopen(source + file, timeout=30) as answer:
            content: bytes = answer.read()
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise ValueError(f"{source}{file} could not be downloaded: {error}") from None
    return content


def _store(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    beside.write_bytes(content)
    beside.replace(path)


def _package_folder(about: Connectome) -> Path:
    """Where the package lies; it is looked up, not imported."""
    spec = importlib.util.find_spec(about.package)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            f"Connectome '{about.name}' is a data file of the package {about.package}; "
            f"install it first (pip install {about.package})."
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _missing(about: Connectome, path: Path) -> ValueError:
    return ValueError(
        f"The installed {about.package} has no readable {path.name}, which connectome "
        f"'{about.name}' is read from; another version of it may."
    )


def _from_cect(about: Connectome, self_loops: bool) -> RelationalGraph:
    path = _package_folder(about) / "cache" / about.file
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        cells, synapses = stored["nodes"], stored["connections"]
        kinds = [np.array(synapses[kind], dtype=float) for kind in ("Generic_CS", "Generic_GJ")]
        counts = np.stack(kinds, axis=-1)
    except (OSError, ValueError, KeyError, TypeError):
        raise _missing(about, path) from None
    source, target = np.nonzero(counts.any(axis=-1))
    attr = counts[source, target]
    edges = np.stack([source, target])
    return RelationalGraph(
        len(cells), edges, attr, labels=cells, name=about.name, self_loops=self_loops
    )


def _from_graspologic(about: Connectome, self_loops: bool) -> RelationalGraph:
    folder = _package_folder(about) / "datasets" / "drosophila"
    path = folder / about.file
    try:
        counts = np.loadtxt(path)
        types = (folder / about.file.replace("adjacency", "cell_labels")).read_text().split()
    except (OSError, ValueError):
        raise _missing(about, path) from None
    source, target = np.nonzero(counts)
    attr = counts[source, target]
    labels = [f"{kind}{i}" for i, kind in enumerate(types)]
    edges = np.stack([source, target])
    return RelationalGraph(
        len(counts), edges, attr, labels=labels, name=about.name, self_loops=self_loops
    )
