"""Which connectomes there are, and the work to cite for each."""

from __future__ import annotations

from dataclasses import dataclass

from relmp.graphs.brains.bio2art import DENSITIES
from relmp.registry import Registry


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
        sha256: Its checksum, where it is downloaded; of bio2art's that of the numbers in it.
        package: The package whose data file it is, where it is not downloaded.
    """

    name: str
    title: str
    n: int
    citation: str
    licence: str
    file: str
    sha256: str = ""
    package: str = ""

    @property
    def is_weighted(self) -> bool:
        """Whether it is one of bio2art's, whose edges have one weight each."""
        return self.licence == _BIO2ART

    @property
    def has_densities(self) -> bool:
        """Whether the neuron density of its regions is known."""
        return self.is_weighted and self.file in DENSITIES


CONNECTOMES: Registry[Connectome] = Registry("connectome")
"""What is known of every connectome, by name."""


def _register(*entries: Connectome) -> None:
    for entry in entries:
        CONNECTOMES.register(entry.name)(entry)


_GRAPH2NN = "MIT (as distributed in graph2nn)"
_CECT = "MIT (as distributed in cect)"
_BIO2ART = "MIT (as distributed in bio2art)"
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
    *(
        Connectome(f"bio2art_{name}", title, n, citation, _BIO2ART, file, sha256)
        for name, title, n, citation, file, sha256 in (
            (
                "drosophila",
                "Drosophila, brain: 49 local processing units, weighted",
                49,
                "Chiang et al., Three-dimensional reconstruction of brain-wide wiring networks in "
                "Drosophila at single-cell resolution, Current Biology 2011",
                "Drosophila",
                "8bd354827051e004fe495d3e9578f273873761ad08240166c7b949952d8f7598",
            ),
            (
                "human",
                "Human, left hemisphere: 57 areas, weighted, undirected",
                57,
                "Betzel and Bassett, Specificity and robustness of long-distance connections in "
                "weighted, interareal connectomes, PNAS 2018",
                "Human_Betzel_Normalized",
                "cf930fc9e9920e2f4cc3c6eacf1aaceb16e9dfef6069d3449db7e646ee9cf4cf",
            ),
            (
                "macaque",
                "Macaque, cortex: 29 areas, weighted",
                29,
                "Markov et al., A weighted and directed interareal connectivity matrix for "
                "macaque cerebral cortex, Cerebral Cortex 2014",
                "Macaque_Normalized",
                "0b1e818db304d888b6d8c6ea78bbf828f640d9d20ca25b87ddc1a3a81afcaecd",
            ),
            (
                "marmoset",
                "Marmoset, cortex: 55 areas, weighted",
                55,
                "Majka et al., Towards a comprehensive atlas of cortical connections in a "
                "primate brain, Journal of Comparative Neurology 2016",
                "Marmoset_Normalized",
                "7a543b8396ecf6788ceca18f6a8d7cd0b20561b65bf14baee2dff62a41c4a358",
            ),
            (
                "mouse_cortex",
                "Mouse, cortex: 19 areas, weighted",
                19,
                "Gamanut et al., The mouse cortical connectome, characterized by an ultra-dense "
                "cortical graph, maintains specificity by distinct connectivity profiles, "
                "Neuron 2018",
                "Mouse_Gamanut_Normalized",
                "e351f0efbac14232f0efbaac43a5fd131a6e07f50da379d709990366aead22bb",
            ),
            (
                "mouse",
                "Mouse, hemisphere: 56 areas, weighted",
                56,
                "Oh et al., A mesoscale connectome of the mouse brain, Nature 2014; as made by "
                "Rubinov, Ypma, Watson and Bullmore, Wiring cost and topological participation "
                "of the mouse brain connectome, PNAS 2015",
                "Mouse_Ypma_Oh",
                "9db67c52ecafeec754476fe744408921ad6c21ff3d14ea5dc095177def0a83d8",
            ),
        )
    ),
)
