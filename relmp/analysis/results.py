"""One task's results in the forms that statistics need: runs, graphs, graphs x seeds.

Every analysis starts from a table with one row a run at one epoch (its columns are those of
``relmp.sweep.collect``). ``Results`` checks it, says in words what it had to leave out, and
holds the final errors by graph and seed. Nothing is filled in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from relmp.graphs.parse import short_names

Array = npt.NDArray[np.float64]

MEASURES = ("clustering", "path_length")
"""The two measures of the paper: C and L."""

SYMBOLS = {"clustering": "C", "path_length": "L", "density": "density", "width": "width"}
"""How a measure is written in figures and sentences; any other is written as its name."""

_NEEDED = ("run", "model", "data", "graph", "graph_key", "density", "seed", "epoch")


@dataclass(frozen=True)
class Results:
    """The final errors of one task.

    Attributes:
        runs: One row a finished run, at the final epoch.
        curves: The rows of those runs at every epoch that the table holds.
        measures: The two columns that span the map.
        error: The column that is compared, lower is better.
        notes: What was left out and why, one sentence each.
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    measures: tuple[str, str]
    error: str
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        table: pd.DataFrame,
        *,
        measures: Sequence[str] = MEASURES,
        error: str = "test_error",
    ) -> Results:
        """Check a table and separate what can be used from what cannot.

        Raises:
            ValueError: If a column is missing, the table is empty, it holds several tasks or
                a run twice, or no run has an error.
        """
        if not isinstance(table, pd.DataFrame):
            raise ValueError(
                f"A table of results is needed, but {table!r} was given; collect(FOLDER) makes one."
            )
        if len(measures) != 2 or measures[0] == measures[1]:
            raise ValueError(
                f"The map needs two different measures, but {list(measures)} were given; "
                f"name two numeric columns of the table, such as {list(MEASURES)}."
            )
        _check_columns(table, (*_NEEDED, *measures, error))
        tasks = table[["model", "data"]].drop_duplicates()
        if len(tasks) > 1:
            names = ", ".join(f"{model} on {data}" for model, data in tasks.to_numpy())
            raise ValueError(
                f"One task is analysed at a time, but the table holds {names}; select one."
            )
        notes: list[str] = []
        runs = _finished(table, notes)
        runs = _usable(runs, [*measures, error], notes)
        if runs.duplicated(["graph_key", "seed"]).any():
            twice = runs[runs.duplicated(["graph_key", "seed"])].iloc[0]
            axes = [str(name) for name in runs.columns if "." in str(name)]
            remedy = (
                f"runs differ in {listing(axes)}: select one value, or take each graph at its own "
                f"(best_over='{axes[0]}', --best-over {axes[0]})."
                if axes
                else "a table holds every graph and seed once."
            )
            raise ValueError(
                f"Graph '{twice['graph']}' has two runs with seed {twice['seed']}; {remedy}"
            )
        curves = table[table["run"].isin(runs["run"])].sort_values(["run", "epoch"])
        return cls(
            runs.reset_index(drop=True),
            curves.reset_index(drop=True),
            (measures[0], measures[1]),
            error,
            tuple(notes),
        )

    # Forms ------------------------------------------------------------------------------

    @property
    def task(self) -> str:
        """What was learned by what: "mlp on cifar10"."""
        return f"{self.runs['model'].iloc[0]} on {self.runs['data'].iloc[0]}"

    @cached_property
    def errors(self) -> pd.DataFrame:
        """Final error, graphs (index ``graph_key``) x seeds, NaN where there is no run."""
        return self.runs.pivot_table(index="graph_key", columns="seed", values=self.error)

    @cached_property
    def graphs(self) -> pd.DataFrame:
        """One row a graph, by ``graph_key``: its facts, and its error's mean, deviation and n.

        The deviation is that of the population (over n, not n - 1), as the paper's is.
        """
        firsts = self.runs.drop_duplicates("graph_key").set_index("graph_key")
        facts = firsts.drop(columns=["run", "seed", "epoch", self.error], errors="ignore")
        frame = facts.reindex(self.errors.index)
        return frame.assign(
            mean=self.errors.mean(axis=1),
            deviation=self.errors.std(axis=1, ddof=0),
            n=self.errors.count(axis=1),
            complete=frame["density"] == 1,
        )

    @cached_property
    def short(self) -> pd.Series:
        """Names of the graphs by ``graph_key``, as short as they still differ."""
        names = [str(name) for name in self.graphs["graph"]]
        return pd.Series(short_names(names), index=self.graphs.index, dtype=object)

    def short_of(self, name: str) -> str:
        """The short name of a graph of this name."""
        found = self.short[self.graphs["graph"] == name]
        return str(found.iloc[0]) if len(found) else name

    @cached_property
    def block(self) -> pd.DataFrame:
        """The largest part of ``errors`` without gaps: graphs that have all of some seeds.

        Comparisons between graphs need the same seeds for each. The seeds are taken from the
        most to the least complete, as many as make graphs x seeds largest.
        """
        there = self.errors.notna()
        order = there.sum().sort_values(ascending=False, kind="stable").index
        sizes = [there[order[:m]].all(axis=1).sum() * m for m in range(1, len(order) + 1)]
        seeds = sorted(order[: int(np.argmax(sizes)) + 1])
        return self.errors.loc[there[seeds].all(axis=1), seeds]

    @cached_property
    def compared(self) -> pd.DataFrame:
        """:attr:`block`, and the graphs that have at least two of its seeds, NaN at the others."""
        seeds = list(self.block.columns)
        there = self.errors[seeds].notna().sum(axis=1) >= min(2, len(seeds))
        return self.errors.loc[there, seeds]

    @cached_property
    def gaps(self) -> list[str]:
        """Names of the graphs outside ``block``: some seed of theirs is missing."""
        outside = self.errors.index.difference(self.block.index, sort=False)
        return [str(name) for name in self.graphs.loc[outside, "graph"]]

    @cached_property
    def complete(self) -> Array:
        """Errors of the complete graph, one a seed; empty where it was not run."""
        rows = self.runs.loc[self.runs["density"] == 1]
        return rows.groupby("seed")[self.error].mean().to_numpy(dtype=np.float64)

    @cached_property
    def sparse(self) -> pd.DataFrame:
        """``graphs`` without the complete graph."""
        return self.graphs[~self.graphs["complete"]]

    def place(self, keys: pd.Index[Any]) -> Array:
        """The two measures of graphs, ``[graphs, 2]``."""
        return self.graphs.loc[keys, list(self.measures)].to_numpy(dtype=np.float64)


def plural(count: int, noun: str, verb: Literal["", "be", "have"] = "") -> str:
    """1 run, 3 runs; with a verb: 1 run has, 3 runs are."""
    one, many = {"": ("", ""), "be": (" is", " are"), "have": (" has", " have")}[verb]
    return f"{count:,} {noun}{one}" if count == 1 else f"{count:,} {noun}s{many}"


def p_text(p: float, digits: int = 3) -> str:
    """A p-value as it stands behind "p": "= 0.012", or "< 0.001"."""
    least = 10.0**-digits
    return f"< {least:.{digits}f}" if p < least else f"= {p:.{digits}f}"


def listing(names: Sequence[object], limit: int = 5) -> str:
    """Names in a row, at most ``limit`` of them."""
    shown = ", ".join(str(name) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def _check_columns(table: pd.DataFrame, needed: Sequence[str]) -> None:
    missing = [column for column in needed if column not in table.columns]
    if missing:
        raise ValueError(
            f"The table of results has no column {listing(missing)}; "
            f"it has {', '.join(map(str, table.columns)) or 'none'}."
        )
    if table.empty:
        raise ValueError("The table of results has no rows; finish at least one run first.")


def last_rows(table: pd.DataFrame) -> pd.DataFrame:
    """One row a finished run: the last one."""
    return _finished(table, [])


def _finished(table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    final = table["epoch"].max()
    at_end = table["epoch"] == final
    if "finished" in table.columns:  # runs may have stopped early
        last = table.groupby("run")["epoch"].transform("max")
        at_end |= table["finished"] & (table["epoch"] == last)
    runs = table[at_end]
    behind = table.loc[~table["run"].isin(runs["run"]), "run"].unique()
    if len(behind):
        notes.append(
            f"{plural(len(behind), 'run', 'have')} not reached epoch {final} and "
            f"{'was' if len(behind) == 1 else 'were'} left out: {listing(list(behind))}."
        )
    return pd.DataFrame(runs)


def _usable(runs: pd.DataFrame, columns: Sequence[str], notes: list[str]) -> pd.DataFrame:
    finite = np.isfinite(runs[list(columns)].to_numpy(dtype=np.float64))
    for position, column in enumerate(columns):
        lost = runs.loc[~finite[:, position], ["graph", "seed"]]
        if len(lost):
            names = [f"{graph} (seed {seed})" for graph, seed in lost.to_numpy()]
            notes.append(
                f"{plural(len(lost), 'run', 'have')} no finite {column} and "
                f"{'was' if len(lost) == 1 else 'were'} left out: {listing(names)}."
            )
    if not finite.all(axis=1).any():
        raise ValueError(
            f"No run has a finite {listing(list(columns))} at the final epoch, so nothing can "
            f"be compared."
        )
    return pd.DataFrame(runs[finite.all(axis=1)])
