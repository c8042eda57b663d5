"""What the values of an axis do: messages, learning rates, anything that a grid varied."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from relmp.analysis.pairs.paired import holm, paired_difference
from relmp.analysis.results import p_text

PAIR = ("graph_key", "seed")


@dataclass(frozen=True)
class ValueComparison:
    """The values of an axis, and every two of them pair by pair.

    Attributes:
        axis: The axis.
        error: The column that was compared.
        by_value: One row a value, by mean error: ``value``, ``runs``, ``error``, ``flops``,
            ``ms_an_epoch`` (medians).
        pairs: One row for every two values: ``first``, ``second``, ``difference`` (of the second
            from the first), ``low``, ``high``, ``p_value`` and ``p_holm`` (corrected for the
            number of pairs), ``graphs``, ``seeds``.
    """

    axis: str
    error: str
    by_value: pd.DataFrame
    pairs: pd.DataFrame

    def __str__(self) -> str:
        lines = [f"{self.axis}, by mean {self.error}:"]
        shown = self.by_value.assign(
            error=self.by_value["error"].map("{:.2f}".format),
            flops=self.by_value["flops"].map("{:,.0f}".format),
            ms_an_epoch=self.by_value["ms_an_epoch"].map("{:.0f}".format),
        )
        lines.append(shown.rename(columns={"ms_an_epoch": "ms an epoch"}).to_string(index=False))
        if self.pairs.empty:
            lines.append("No two values share a graph and a seed, so nothing is compared.")
        else:
            lines.append(
                f"Paired differences (95 % interval over graphs and seeds; p corrected for "
                f"{len(self.pairs)} comparisons by Holm):"
            )
        for row in self.pairs.itertuples():
            lines.append(
                f"  {row.second} - {row.first}: {row.difference:+.2f} ({row.low:.2f} to "
                f"{row.high:.2f}), p {p_text(float(str(row.p_holm)))}, {row.graphs} graphs x "
                f"{row.seeds} seeds"
            )
        if len(self.pairs) and self.pairs["seeds"].max() < 2:
            lines.append("  One seed only: these hold for that seed, not for others.")
        return "\n".join(lines)


def compare_values(table: pd.DataFrame, axis: str, *, error: str = "test_error") -> ValueComparison:
    """Compare the values of an axis over the same graphs and seeds.

    Args:
        table: Results of a grid; the last epoch of every run is compared. Runs pair up where graph,
            seed and all other axes are the same.
        axis: A column that varied ("model.message").
        error: The column to compare, lower is better.

    Raises:
        ValueError: If the axis did not vary, or a column is missing.
    """
    axes = [str(name) for name in table.columns if "." in str(name)]
    allowed = [*axes, "model", "data", "graph"]
    if axis not in table.columns or axis not in allowed or table[axis].nunique(dropna=False) < 2:
        raise ValueError(
            f"'{axis}' did not vary in these runs; {', '.join(axes) or 'no axis'} did."
        )
    if error not in table.columns:
        raise ValueError(f"The table has no column '{error}'.")
    last = table[table["epoch"] == table.groupby("run")["epoch"].transform("max")]
    others = [name for name in axes if name != axis]
    rows = [name for name in ("model", "data", "graph_key", *others) if name != axis]
    if axis == "graph":
        rows.remove("graph_key")
    named = last.assign(**{axis: last[axis].map(str), **{o: last[o].map(str) for o in others}})
    grid = named.pivot_table(index=rows, columns=[axis, "seed"], values=error)
    summary = (
        named.assign(ms=1000 * named["seconds"])
        .groupby(axis)
        .agg(
            runs=("run", "size"),
            error=(error, "mean"),
            flops=("flops", "median"),
            ms_an_epoch=("ms", "median"),
        )
        .sort_values("error")
        .rename_axis("value")
        .reset_index()
    )
    found = []
    for first, second in combinations(summary["value"], 2):
        result = paired_difference(grid[second] - grid[first])
        if result is not None:
            low, high = result.interval
            found.append(
                (first, second, result.mean, low, high, result.p_value, result.graphs, result.seeds)
            )
    columns = ["first", "second", "difference", "low", "high", "p_value", "graphs", "seeds"]
    pairs = pd.DataFrame(found, columns=columns)
    pairs.insert(6, "p_holm", holm(pairs["p_value"].fillna(1).to_numpy(dtype=np.float64)))
    return ValueComparison(axis, error, summary, pairs)
