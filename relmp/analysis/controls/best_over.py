"""Each graph at its own value of a setting, chosen on validation images and judged elsewhere."""

from __future__ import annotations

import numpy as np
import pandas as pd

VALIDATION = "val_error"


def best_over(table: pd.DataFrame, axis: str) -> pd.DataFrame:
    """The runs of a grid in which every graph has the value of ``axis`` that suits it.

    For every graph and seed, the value is the one whose validation error, averaged over the graph's
    *other* seeds, is lowest; the row kept is the run with that value at this seed. So no run takes
    part in the choice that decides its row, and the luck of a seed is not picked.

    Args:
        table: Results of one task, of every graph at several values and with several seeds; those
            of :func:`relmp.collect`, at the last epoch or at all.
        axis: The column of the setting, such as ``"training.lr"``.

    Returns:
        The rows kept, all epochs of them, with all columns.

    Raises:
        ValueError: If the axis did not vary, the runs have no validation errors, or there is only
            one seed.
    """
    if axis not in table.columns:
        varied = [str(name) for name in table.columns if "." in str(name)]
        raise ValueError(
            f"'{axis}' did not vary in these runs; {', '.join(varied) or 'nothing'} did."
        )
    last = table[table["epoch"] == table.groupby("run")["epoch"].transform("max")]
    if VALIDATION not in table.columns or last[VALIDATION].isna().any():
        raise ValueError(
            f"To choose {axis}, runs need validation images that were held out; train with "
            f"validation=0.1 (--validation 0.1)."
        )
    if last["seed"].nunique() < 2:
        raise ValueError(
            f"{axis} is chosen on some seeds and judged on others, but there is only one seed."
        )
    if last.duplicated(["graph_key", "seed", axis]).any():
        others = [str(name) for name in table.columns if "." in str(name) and name != axis]
        raise ValueError(
            f"Runs differ in {', '.join(others) or 'more'} besides {axis}; select one value of it."
        )
    kept = []
    for _, runs in last.groupby("graph_key", sort=False):
        errors = runs.pivot_table(index="seed", columns=axis, values=VALIDATION)
        for seed in errors.index:
            means = errors.drop(index=seed).mean()
            own = runs[runs["seed"] == seed].set_index(axis)
            there = means[means.index.isin(own.index)].dropna()
            if len(there):
                kept.append(own.loc[there.index[int(np.argmin(there.to_numpy()))], "run"])
    return table[table["run"].isin(kept)].reset_index(drop=True)
