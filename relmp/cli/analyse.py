"""``relmp analyse``: what a sweep, or the paper's published results, say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import tyro

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class AnalyseCommand:
    """Analyse a sweep (relmp analyse FOLDER) or published results (relmp analyse published DIR...).

    Writes tables, figures, analysis.json, summary.txt and report.html, and prints what was found.

    Args:
        source: Folder of a sweep; or the word "published" and the folders of the published
            results, those of all seeds and tasks together.
        out: Folder to write into; the sweep's own by default.
        measures: The two columns that span the map.
        error: The column to compare, lower is better.
        epoch: Compare at this epoch; the last by default.
        best_over: Compare each graph at its own value of a setting that varied, such as
            training.lr, chosen on validation images and judged on other seeds.
        landmarks: Further graphs to place on the map, as the calls that make them, such as
            "ws_flex(n=64, k=8.5, p=0.2, seed=3)".
    """

    source: tyro.conf.Positional[tuple[str, ...]]
    out: str | None = None
    measures: tuple[str, str] = ("clustering", "path_length")
    error: str = "test_error"
    epoch: int | None = None
    best_over: str | None = None
    landmarks: tuple[str, ...] = ()

    def run(self) -> None:
        """Analyse, and print the conclusions.

        Raises:
            ValueError: If the source holds nothing to analyse, or the output folder is missing
                or cannot be written to.
        """
        from relmp.analysis import analyse
        from relmp.analysis.published import read_published
        from relmp.graphs.serialise import graph_from_text

        source: pd.DataFrame | str
        if self.source[:1] == ("published",):
            if self.out is None:
                raise ValueError(
                    "Published results are not written to; name a folder for the analysis (--out)."
                )
            read = read_published(self.source[1:])
            source, graphs, out = read.table, read.graphs, self.out
        elif len(self.source) == 1:
            source, graphs, out = self.source[0], {}, self.out or self.source[0]
        else:
            raise ValueError(
                f"One sweep is analysed at a time, but {len(self.source)} folders were given; "
                f"name one folder, or 'published' and the folders of the published results."
            )
        text = analyse(
            source,
            out,
            measures=self.measures,
            error=self.error,
            epoch=self.epoch,
            best_over=self.best_over,
            graphs=graphs,
            landmarks=[graph_from_text(text) for text in self.landmarks],
        )
        print(text, end="")
        print(f"Written to {out}.")
