"""``relmp playground``: the page in which graphs are drawn, played and trained."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

if TYPE_CHECKING:
    from relmp.playground import Preset

CONNECTOMES = ("macaque_visual", "cat", "macaque_whole")
"""Offered where their files are at hand; they are not part of relmp."""


@dataclass(frozen=True)
class PlaygroundCommand:
    """Open the playground: draw a graph, play its messages, train it, in one page.

    The page is one file that needs no network; it can be handed on.

    relmp playground cat "barabasi_albert(n=32, m=2, seed=3)"
    """

    graphs: tyro.conf.Positional[tuple[str, ...]] = ()
    """Further graphs to offer: connectomes, generators with their arguments, or files."""
    out: Path = Path("playground.html")
    """The file to write."""
    open: bool = True
    """Open the page in the browser."""
    root: Path | None = None
    """Folder of the text files of connectomes."""
    download: bool = False
    """Download a named connectome that is not there."""

    def run(self) -> None:
        """Write the page and open it.

        Raises:
            ValueError: If a graph is unknown or has too many nodes, or there is no folder to
                write to.
        """
        from relmp.playground import write_page
        from relmp.playground.presets import karate_club

        if not self.out.parent.is_dir():
            raise ValueError(f"There is no folder {self.out.parent} to write the page to.")
        named = [self._named(text, number) for number, text in enumerate(self.graphs)]
        known = {preset.title for preset in named}
        found = [preset for preset in self._found() if preset.title not in known]
        self.out.write_text(write_page([karate_club(), *found, *named]), encoding="utf-8")
        print(f"Written to {self.out}.")
        if self.open:
            import webbrowser

            page = self.out.resolve().as_uri()
            if not webbrowser.open(page + (f"#graph={named[0].key}" if named else "")):
                print(f"No browser was found here; open {page}.")

    def _named(self, text: str, number: int) -> Preset:
        from relmp.graphs.connectome import CONNECTOMES
        from relmp.graphs.parse import parse_graph
        from relmp.playground.presets import connectome_preset, graph_preset

        graph = parse_graph(text, root=self.root, download=self.download)
        if text in CONNECTOMES:
            return connectome_preset(text, graph)
        # The text is in the key: an old link does not open another page's graph of that number.
        words = re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-")
        return graph_preset(f"graph-{number}-{words}", graph, text)

    def _found(self) -> list[Preset]:
        """The connectomes that can be offered without asking anybody for them."""
        from relmp.graphs.connectome import load_connectome
        from relmp.playground.presets import connectome_preset

        presets = []
        for name in CONNECTOMES:
            try:
                presets.append(connectome_preset(name, load_connectome(name, root=self.root)))
            except ValueError:
                continue
        return presets
