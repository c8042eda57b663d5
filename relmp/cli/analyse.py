"""``relmp analyse``: what a sweep, or the paper's published results, say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import tyro

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class AnalyseCommand:
    """Analyse a sweep (relmp analyse FOLDER), compare two (relmp analyse A B), or read the paper's
    results (relmp analyse published DIR...).

    Writes tables, figures, analysis.json, summary.txt and report.html, and prints what was found.

    Args:
        source: Folder of a sweep; folders of two, which are compared over the graphs and seeds that
            they share; or the word "published" and the folders of the published results, those of
            all seeds and tasks together.
        out: Folder to write into; the sweep's own by default.
        measures: The two columns that span the map.
        error: The column to compare, lower is better.
        epoch: Compare at this epoch; the last by default.
        best_over: Compare each graph at its own value of a setting that varied, such as
            training.lr, chosen on validation images and judged on other seeds.
        by: Compare the values of a setting that varied, such as model.message, over the same graphs
            and seeds.
        where: Take only runs with these values of settings that varied, such as training.lr=0.1.
        landmarks: Further graphs to place on the map, as the calls that make them, such as
            "ws_flex(n=64, k=8.5, p=0.2, seed=3)".
    """

    source: tyro.conf.Positional[tuple[str, ...]]
    out: str | None = None
    measures: tuple[str, str] = ("clustering", "path_length")
    error: str = "test_error"
    epoch: int | None = None
    best_over: str | None = None
    by: str | None = None
    where: tuple[str, ...] = ()
    landmarks: tuple[str, ...] = ()

    def run(self) -> None:
        """Analyse, and print the conclusions.

        Raises:
            ValueError: If the source holds nothing to analyse, or the output folder is missing
                or cannot be written to.
        """
        from relmp.analysis import analyse
        from relmp.analysis.published import read_published
        from relmp.graphs.parse import parse_graph

        if len(self.source) == 2 and self.source[0] != "published":
            self._refuse("the comparison of two sweeps", "by", "best_over", "landmarks")
            self._compare_sweeps()
            return
        if self.by is not None:
            self._refuse("the comparison of values (--by)", "best_over", "landmarks")
            self._compare_values(self.by)
            return
        source: pd.DataFrame | str
        if self.source[:1] == ("published",):
            self._refuse("published results", "where")
            if self.out is None:
                raise ValueError(
                    "Published results are not written to; name a folder for the analysis (--out)."
                )
            read = read_published(self.source[1:])
            source, graphs, out = read.table, read.graphs, self.out
        elif len(self.source) == 1:
            source, graphs, out = self.source[0], {}, self.out or self.source[0]
            if self.where:
                from relmp.sweep import collect, stored_graphs

                graphs = {graph.key: graph for graph in stored_graphs(source)}
                source = _selected(collect(source, epochs="all"), self.where)
        else:
            raise ValueError(
                f"One sweep is analysed, or two are compared, but {len(self.source)} folders were "
                f"given; name one folder or two, or 'published' and the folders of the published "
                f"results."
            )
        text = analyse(
            source,
            out,
            measures=self.measures,
            error=self.error,
            epoch=self.epoch,
            best_over=self.best_over,
            graphs=graphs,
            landmarks=[parse_graph(text) for text in self.landmarks],
        )
        print(text, end="")
        print(f"Written to {out}.")

    def _refuse(self, what: str, *options: str) -> None:
        """Raise ``ValueError`` for an option that would be passed over."""
        given = [name for name in options if getattr(self, name)]
        if given:
            option = given[0].replace("_", "-")
            raise ValueError(f"--{option} has no meaning in {what}; leave it out.")

    def _runs_of(self, folder: str) -> pd.DataFrame:
        """The runs of a sweep that are asked for, at the epoch that is asked for."""
        from relmp.sweep import collect

        table = collect(folder, epochs="last" if self.epoch is None else "all")
        if self.epoch is not None:
            table = table[table["epoch"] == self.epoch]
            if table.empty:
                raise ValueError(f"No run in '{folder}' has epoch {self.epoch}.")
        return _selected(table, self.where)

    def _compare_values(self, axis: str) -> None:
        from relmp.analysis.pairs import compare_values
        from relmp.analysis.report.output import OutputFolder

        if len(self.source) != 1 or self.source[0] == "published":
            raise ValueError("--by compares the runs of one sweep; name its folder.")
        found = compare_values(self._runs_of(self.source[0]), axis, error=self.error)
        out = OutputFolder(self.out or self.source[0])
        out.write_table(f"by_{axis}", found.by_value)
        out.write_table(f"by_{axis}_pairs", found.pairs)
        out.write_text(f"by_{axis}.txt", f"{found}\n")
        print(found)
        print(f"Written to {out.path}.")

    def _compare_sweeps(self) -> None:
        from pathlib import Path

        from relmp.analysis import Results
        from relmp.analysis.pairs import compare_sweeps
        from relmp.analysis.pairs.sweeps import plot_sweeps
        from relmp.analysis.report.output import OutputFolder
        from relmp.sweep.store import different_settings

        if self.out is None:
            raise ValueError("Name a folder for the comparison of two sweeps (--out).")
        first, second = (
            Results.of(self._runs_of(folder), measures=self.measures, error=self.error)
            for folder in self.source
        )
        short = [Path(folder).name for folder in self.source]
        names = (short[0], short[1]) if short[0] != short[1] else (self.source[0], self.source[1])
        settings = different_settings(*self.source)
        found = compare_sweeps(first, second, names, tuple(settings))
        out = OutputFolder(self.out)
        out.write_figure("maps", plot_sweeps(first, second, names))
        out.write_text("summary.txt", f"{found}\n")
        print(found)
        print(f"Written to {out.path}.")


def _selected(table: pd.DataFrame, where: tuple[str, ...]) -> pd.DataFrame:
    """The rows that have these values, each given as ``name=value``.

    Raises:
        ValueError: If a name is no column, or no run has the value.
    """
    for text in where:
        name, separator, value = text.partition("=")
        if not separator or name not in table.columns:
            varied = [str(column) for column in table.columns if "." in str(column)]
            raise ValueError(
                f"--where takes name=value with a setting that varied "
                f"({', '.join(varied) or 'none did'}), but was given '{text}'."
            )
        column = table[name].map(str)
        if not (column == value).any():
            there = ", ".join(sorted(column.unique()))
            raise ValueError(f"No run has {name}={value}; there are {there}.")
        table = table[column == value].drop(columns=name if "." in name else [])
    return table
