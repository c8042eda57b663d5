"""A plan of echo-state networks: every run's read-out fitted, in one table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from relmp.training.config import DataConfig
from relmp.training.data import DataSet
from relmp.training.echo.readout import fit_readout
from relmp.training.run import data_of
from relmp.training.run_config import RunConfig


def fit_readouts(
    plan: Iterable[RunConfig],
    *,
    alpha: float | Sequence[float] = 1e-6,
    data_folder: str | Path = "data",
    download: bool = False,
) -> pd.DataFrame:
    """Build the model of every run of a plan, fit its read-out and judge it.

    A plan over radius, input scale and leak: ``grid(base, **{"model.init": ["spectral(radius=0.9)",
    "spectral(radius=0.95)"], "model.input_scale": [0.1, 1.0], "model.leak": [0.6, 1.0]})``, where
    the model of ``base`` has ``frozen=True``.

    Args:
        plan: The runs, as :func:`relmp.grid` makes them; their training is not used.
        alpha: Ridge penalty, see :func:`fit_readout`.
        data_folder: Where the files of data sets lie.
        download: Whether missing files are fetched.

    Returns:
        One row a run: ``run``, ``model``, ``data``, ``graph``, ``graph_key``, ``seed``, a column
        for every axis on which the runs differ, ``alpha``, ``test_loss``, ``test_error`` and, where
        numbers are asked, ``capacity``, the sum of their squared correlations.

    Raises:
        ValueError: If the plan is empty, or as :func:`fit_readout`.
    """
    runs, rows = list(plan), []
    if not runs:
        raise ValueError("The plan has no runs; give at least one.")
    every = [run.axes() for run in runs]
    axes = [name for name in every[0] if len({str(values.get(name)) for values in every}) > 1]
    free = ("model.name", "data.name", "model.graph", "model.seed", "training.seed")
    data: dict[DataConfig, DataSet] = {}
    for run, values in zip(runs, every, strict=True):
        if run.data not in data:
            data[run.data] = data_of(run.data, run.data.name, data_folder, download=download)
        found = fit_readout(run.model.create(), data[run.data], alpha=alpha)
        graph = run.model.graph
        rows.append(
            {
                "run": run.key,
                "model": run.model.name,
                "data": run.data.name,
                "graph": "none" if graph is None else graph.name or graph.key,
                "graph_key": "none" if graph is None else graph.key,
                "seed": run.model.seed,
                **{axis: values.get(axis) for axis in axes if axis not in free},
                "alpha": found.alpha,
                "test_loss": found.test_loss,
                "test_error": found.test_error,
                "capacity": found.correlations.sum() if len(found.correlations) else np.nan,
            }
        )
    return pd.DataFrame(rows)
