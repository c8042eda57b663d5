"""A brain against its null models: paired by seed, with what could have been seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from relmp.analysis.pairs.paired import LEVEL, holm, paired_difference
from relmp.analysis.results import p_text
from relmp.graphs.brains.nulls import NULLS

BRAIN = "brain"
POWER = 0.8
MEASURES = {"lowest": "lowest loss", "epochs": "epochs to 1 %"}


def learning_measures(table: pd.DataFrame, loss: str = "test_loss") -> pd.DataFrame:
    """Two measures of every run: the lowest loss, and how soon it comes near.

    ``epochs`` is the first epoch e with :math:`100\\,(l_e - \\min l) / (\\max l - \\min l) \\le 1`.

    Args:
        table: One row an epoch, as ``collect(folder, epochs="all")`` gives.
        loss: The column of the loss.

    Returns:
        One row a run: the columns of its last row, ``lowest``, ``epochs``, and ``variant`` as
        :func:`with_variants` has it.

    Raises:
        ValueError: If a column is missing or no run has been evaluated.

    Reference:
        Goulas, Damicelli, Hilgetag, *Bio-instantiated recurrent neural networks*, Neural Networks
        2021, section 2.5.
    """
    missing = {"run", "graph", "seed", "epoch", loss} - set(table.columns)
    if missing:
        raise ValueError(
            f"The table of results has no column {min(missing)}; "
            f"collect(FOLDER, epochs='all') makes one."
        )
    curves = table[table[loss].notna()].sort_values(["run", "epoch"])
    if curves.empty:
        raise ValueError(f"No run has a {loss}; finish at least one epoch that is evaluated.")
    rows = []
    for _, run in curves.groupby("run", sort=False):
        losses = run[loss].to_numpy(dtype=np.float64)
        low, high = losses.min(), losses.max()
        near = np.flatnonzero(100 * (losses - low) <= high - low)[0]
        row: dict[str, Any] = {str(name): value for name, value in run.iloc[-1].items()}
        rows.append(row | {"lowest": low, "epochs": float(run["epoch"].iloc[near])})
    return with_variants(pd.DataFrame(rows))


def with_variants(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column ``variant``: what a graph is, by its name, ``"brain"`` or a kind of
    null model; and the initial weights where these vary."""
    found = table["graph"].map(lambda name: _kind(str(name)))
    if "model.init" in table.columns and len(table["model.init"].unique()) > 1:
        found = found + ", " + table["model.init"]
    return table.assign(variant=found)


@dataclass(frozen=True)
class NullComparison:
    """A brain and its null models, measure by measure.

    Attributes:
        baseline: The variant that the others are compared with.
        means: One row a variant: ``variant``, ``seeds``, and mean and deviation of every measure.
        differences: One row a variant and measure: ``variant``, ``measure``, ``difference`` (the
            brain's from the variant's: above 0 the brain is lower), ``low``, ``high`` (95 %),
            ``p_value``, ``p_holm`` (for as many variants), ``detectable`` (the difference that
            would be seen with a probability of 80 %), ``seeds``.
    """

    baseline: str
    means: pd.DataFrame
    differences: pd.DataFrame

    def __str__(self) -> str:
        lines = []
        for row in self.differences.to_dict("records"):
            what = MEASURES.get(str(row["measure"]), str(row["measure"]))
            found = (
                f"{row['variant']} - {self.baseline}, {what}: {row['difference']:+.3g} "
                f"({row['low']:.3g} to {row['high']:.3g}), p {p_text(row['p_holm'])} of "
                f"{row['seeds']} seeds"
            )
            if not row["p_holm"] < LEVEL:
                found += f": no difference is seen; one of {row['detectable']:.2g} would have been"
            lines.append(f"{found}.")
        return "\n".join(lines)


def compare_nulls(
    measured: pd.DataFrame, *, baseline: str | None = None, measures: tuple[str, ...] = ("lowest",)
) -> NullComparison:
    """Compare every variant with the brain, pair by pair of equal seeds.

    Args:
        measured: What :func:`learning_measures` gave, or any table with ``variant``, ``seed`` and
            the measures.
        baseline: The variant to compare with; the first whose name begins with ``"brain"``.
        measures: Columns.

    Raises:
        ValueError: If there is no such variant or column, or fewer than two seeds are shared.
    """
    variants = list(dict.fromkeys(measured["variant"])) if "variant" in measured else []
    brains = [name for name in variants if name.startswith(BRAIN)]
    base = baseline or (brains[0] if brains else None)
    if base is None or base not in variants or len(variants) < 2:
        raise ValueError(
            f"A brain is compared with other variants, but the table has "
            f"{', '.join(variants) or 'none'}; run the brain and its null models."
        )
    rows = []
    for measure in measures:
        if measure not in measured.columns:
            raise ValueError(f"The table of results has no column {measure}.")
        values = measured.pivot_table(index="variant", columns="seed", values=measure)
        found = []
        for variant in variants:
            if variant == base:
                continue
            difference = (values.loc[variant] - values.loc[base]).dropna()
            if len(difference) < 2:
                raise ValueError(f"'{variant}' and '{base}' share fewer than 2 seeds; run more.")
            paired = paired_difference(difference.to_frame().T)
            assert paired is not None
            seeds = paired.seeds
            error = float(difference.std(ddof=1)) / seeds**0.5
            reach = stats.t.ppf(1 - LEVEL / 2, seeds - 1) + stats.t.ppf(POWER, seeds - 1)
            found.append(
                {
                    "variant": variant,
                    "measure": measure,
                    "difference": paired.mean,
                    "low": paired.interval[0],
                    "high": paired.interval[1],
                    "p_value": paired.p_value,
                    "detectable": float(reach) * error,
                    "seeds": seeds,
                }
            )
        corrected = holm(np.array([row["p_value"] for row in found]))
        rows += [row | {"p_holm": p} for row, p in zip(found, corrected, strict=True)]
    grouped = measured.groupby("variant", sort=False)
    means = grouped["seed"].count().rename("seeds").to_frame()
    for measure in measures:
        means[measure] = grouped[measure].mean()
        means[f"{measure}_deviation"] = grouped[measure].std(ddof=1)
    return NullComparison(base, means.reset_index(), pd.DataFrame(rows))


def _kind(name: str) -> str:
    kind = name.split(" of ")[0]
    return kind if kind in NULLS else BRAIN
