"""Connectomes: who talks to whom in a worm, a fly, a cat and a macaque.

Three are small text files that are downloaded on request or read from a folder. The others
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
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from relmp.graphs.cache import cache_folder
from relmp.graphs.files import load_graph
from relmp.graphs.relational_graph import RelationalGraph
from relmp.registry import Registry

SOURCE = (
    "https://raw.githubusercontent.com/facebookresearch/graph2nn/"
    "b6a67ccca99737d31b45aa4c938f6b7998050cb3/pycls/datasets/"
)


@dataclass(frozen=True)
class Connectome:
    """What is known of a connectome without loading it.

    Attributes:
        name: What ``load_connectome`` calls it.
        title: What it is.
        n: Number of nodes.
        citation: The work to cite when it is used.
        licence: The terms under which its file is distributed.
        file: Name of the data file.
        sha256: Its checksum, where it is downloaded.
        package: The package whose data file it is, where it is not.
    """

    name: str
    title: str
    n: int
    citation: str
    licence: str
    file: str
    sha256: str = ""
    package: str = ""


def load_connectome(
    name: str,
    *,
    root: str | os.PathLike[str] | None = None,
    download: bool = False,
    undirected: bool = False,
) -> RelationalGraph:
    """A connectome as a relational graph, directed from source to target.

    Edges of C. elegans carry two attributes, the numbers of chemical synapses and of gap
    junctions; those of Drosophila one, the number of synapses. Added self-loops get 1.

    Args:
        name: One of ``connectomes.names()``; ``connectomes[name]`` has the citation.
        root: Folder of the text files of cat and macaque; ``connectomes`` in
            ``relmp.graphs.cache.cache_folder()`` by default. The others do not use it.
        download: Whether a missing text file is fetched into ``root`` and its checksum
            compared.
        undirected: Whether every edge is made to go both ways.

    Raises:
        ValueError: If the name is unknown, the file or the package is missing, or the file
            is not the one that is expected.
    """
    about = CONNECTOMES[name]
    if about.package == "cect":
        graph = _from_cect(about)
    elif about.package == "graspologic":
        graph = _from_graspologic(about)
    else:
        folder = cache_folder() / "connectomes" if root is None else Path(root)
        graph = load_graph(_text_file(about, folder, download), kind="matrix", name=name)
    if graph.num_nodes != about.n:
        raise ValueError(
            f"Connectome '{name}' has {about.n} nodes, but {graph.num_nodes} were read; its "
            f"file is another version."
        )
    return graph.undirected() if undirected else graph


def _text_file(about: Connectome, folder: Path, download: bool) -> Path:
    path = folder / about.file
    if not path.exists():
        if not download:
            raise ValueError(
                f"Connectome '{about.name}' needs {about.file}, which is not in {folder}; give "
                f"download=True, or root=, the folder that holds it."
            )
        _store(path, _fetch(about.file))
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != about.sha256:
        raise ValueError(
            f"{path} is not the file that is expected (its SHA-256 is {found}, not "
            f"{about.sha256}); remove it and load with download=True."
        )
    return path


def _fetch(file: str) -> bytes:
    try:
        with urllib.request.urlopen(SOURCE + file, timeout=30) as answer:
            content: bytes = answer.read()
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise ValueError(f"{SOURCE}{file} could not be downloaded: {error}") from None
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


def _from_cect(about: Connectome) -> RelationalGraph:
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
    return RelationalGraph(len(cells), edges, attr, labels=cells, name=about.name)


def _from_graspologic(about: Connectome) -> RelationalGraph:
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
    return RelationalGraph(len(counts), edges, attr, labels=labels, name=about.name)


CONNECTOMES: Registry[Connectome] = Registry("connectome")
"""What is known of every connectome, by name."""


def _register(*entries: Connectome) -> None:
    for entry in entries:
        CONNECTOMES.register(entry.name)(entry)


_GRAPH2NN = "MIT (as distributed in graph2nn)"
_CECT = "MIT (as distributed in cect)"
_WITVLIET = (
    "Witvliet et al., Connectomes across development reveal principles of brain maturation, "
    "Nature 2021"
)
_EICHLER = (
    "Eichler et al., The complete connectome of a learning and memory centre in an insect "
    "brain, Nature 2017"
)

_register(
    Connectome(
        "cat",
        "Cat, cortex: 52 areas",
        52,
        "Scannell et al., The connectional organization of the cortico-thalamic system of the "
        "cat, Cerebral Cortex 1999",
        _GRAPH2NN,
        "cat.txt",
        "5fbf7f49afc66420ad63d4956c4d31af71dd3a3dfa8e4003a05371f779310fc2",
    ),
    Connectome(
        "macaque_visual",
        "Macaque, visual cortex: 30 areas",
        30,
        "Felleman and Van Essen, Distributed hierarchical processing in the primate cerebral "
        "cortex, Cerebral Cortex 1991",
        _GRAPH2NN,
        "mcvisual.txt",
        "93159421630e8b2ba5ca472819275c32e064318511dbe8c38a02a19b9cf45b54",
    ),
    Connectome(
        "macaque_whole",
        "Macaque, cortex: 71 areas",
        71,
        "Young, The organization of neural systems in the primate cerebral cortex, "
        "Proceedings of the Royal Society B 1993",
        _GRAPH2NN,
        "mcwhole.txt",
        "d347964446e362fac2b4edf49c886a575efdc52a4078d342402409dd453b4a69",
    ),
    Connectome(
        "celegans_pharynx",
        "C. elegans, pharynx: neurons, muscles and other cells",
        63,
        "Cook et al., The connectome of the Caenorhabditis elegans pharynx, Journal of "
        "Comparative Neurology 2020",
        _CECT,
        "Cook2020DataReader.json",
        package="cect",
    ),
    Connectome(
        "celegans_varshney",
        "C. elegans, whole animal without the pharynx",
        281,
        "Varshney et al., Structural properties of the Caenorhabditis elegans neuronal "
        "network, PLoS Computational Biology 2011",
        _CECT,
        "VarshneyDataReader.json",
        package="cect",
    ),
    Connectome(
        "celegans_white",
        "C. elegans, whole animal",
        309,
        "White et al., The structure of the nervous system of the nematode Caenorhabditis "
        "elegans, Philosophical Transactions of the Royal Society B 1986",
        _CECT,
        "White_whole.json",
        package="cect",
    ),
    *(
        Connectome(
            f"celegans_witvliet_{stage}",
            f"C. elegans, brain, data set {stage} of 8 ({age})",
            n,
            _WITVLIET,
            _CECT,
            f"WitvlietDataReader{stage}.json",
            package="cect",
        )
        for stage, (age, n) in enumerate(
            [
                ("larva L1", 187),
                ("larva L1", 194),
                ("larva L1", 198),
                ("larva L1", 204),
                ("larva L2", 211),
                ("larva L3", 216),
                ("adult", 222),
                ("adult", 219),
            ],
            start=1,
        )
    ),
    *(
        Connectome(
            f"drosophila_{side}",
            f"Drosophila larva, mushroom body, {side} side",
            n,
            _EICHLER,
            "MIT (as distributed in graspologic)",
            f"{side}_adjacency.csv",
            package="graspologic",
        )
        for side, n in (("left", 209), ("right", 213))
    ),
)
