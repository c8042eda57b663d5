"""Each graph at its own rate: chosen on validation images of other seeds, judged on this one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import relmp
from relmp.analysis.results import Results


def grid(noise: float = 0.0, seeds: int = 4, **changes: Any) -> pd.DataFrame:
    """Two graphs; g0 is best at rate 0.1 and g1 at 0.01, and luck of deviation ``noise``."""
    rng = np.random.default_rng(0)
    rows = []
    for graph, best in (("g0", 0.1), ("g1", 0.01)):
        for rate in (0.1, 0.03, 0.01):
            for seed in range(seeds):
                error = 20 + 5 * abs(np.log10(rate / best)) + rng.normal(0, noise)
                rows += [
                    {
                        "run": f"{graph}-{rate}-{seed}", "model": "m", "data": "d", "graph": graph,
                        "graph_key": graph, "num_nodes": 64, "density": 0.3, "clustering": 0.2,
                        "path_length": 2.0, "seed": seed, "epoch": epoch, "training.lr": rate,
                        "val_error": error, "test_error": error + rng.normal(0, noise),
                    }
                    for epoch in (1, 2)
                ]  # fmt: skip
    return pd.DataFrame(rows).assign(**changes)


def test_every_graph_has_its_own_rate() -> None:
    own = relmp.best_over(grid(), "training.lr")
    assert own.groupby("graph_key")["training.lr"].unique().map(list).to_dict() == {
        "g0": [0.1],
        "g1": [0.01],
    }
    assert len(own) == 2 * 4 * 2, "all epochs of the runs kept"
    assert Results.of(own).errors.shape == (2, 4)
    assert (own["test_error"] == 20).all()


def test_no_run_decides_about_itself() -> None:
    """Where rates are equal, choosing one shows no gain: the luck of a seed is not picked."""
    gains = []
    for trial in range(200):
        rng = np.random.default_rng(trial)
        table = grid(seeds=5)
        table["val_error"] = table["test_error"] = rng.normal(20, 1, len(table))
        gains.append(relmp.best_over(table, "training.lr")["test_error"].mean() - 20)
    assert abs(np.mean(gains)) < 3 * np.std(gains) / np.sqrt(len(gains)) + 0.02


@pytest.mark.parametrize(
    ("table", "axis", "sentence"),
    [
        (
            grid(),
            "training.momentum",
            "'training.momentum' did not vary in these runs",
        ),
        (grid().drop(columns="val_error"), "training.lr", "need validation images"),
        (grid(val_error=np.nan), "training.lr", "need validation images"),
        (grid(seeds=1), "training.lr", "there is only one seed"),
        (
            pd.concat([grid(), grid().assign(run=lambda t: t["run"] + "x", **{"model.init": "b"})]),
            "training.lr",
            "Runs differ in model.init besides training.lr",
        ),
    ],
)
def test_bad_input(table: pd.DataFrame, axis: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        relmp.best_over(table, axis)


def test_a_grid_cannot_be_analysed_without_saying_how() -> None:
    with pytest.raises(ValueError, match=r"two runs with seed 0; runs differ in training\.lr"):
        Results.of(grid())
