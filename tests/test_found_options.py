"""Options of the command line that were passed over without a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import relmp
from relmp.cli import main
from relmp.graphs import create_graph
from relmp.sweep import collect
from tests.test_found import refused


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    relmp.run_sweep(
        graphs=[create_graph("ws_flex", n=8, k=4, p=0.2, seed=1)], seeds=1, out=folder, epochs=2,
        train_size=60, batch_size=30, width=16, workers=0, show_progress=False,
    )  # fmt: skip
    return folder


def test_options_beside_a_plan_of_runs_are_refused(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They were passed over, and other runs trained than the command line said."""
    plan = str(finished / "plan.json")
    for option in (["--epochs", "9"], ["--loop.patience", "2"], ["--graphs", "star(n=8)"]):
        line = ["sweep", "--plan", plan, "--dry-run", "--out", str(finished), *option]
        assert "would be passed over" in refused(line, capsys)


def test_options_of_an_analysis_are_not_passed_over(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two sweeps were compared at their last epochs, whatever --epoch said."""
    first = second = str(finished)
    out = ["--out", str(tmp_path / "o")]
    for given in (
        [first, second, "--best-over", "training.lr"], [first, second, "--by", "graph"],
        [first, second, "--landmarks", "star(n=8)"],
        [first, "--by", "graph", "--landmarks", "star(n=8)"],
        ["published", first, "--where", "seed=0"],
    ):  # fmt: skip
        assert "has no meaning in" in refused(["analyse", *given, *out], capsys)
    for given in ([first, second], [first, "--by", "graph"]):
        assert "has epoch 7" in refused(["analyse", *given, "--epoch", "7", *out], capsys)
    main(["analyse", first, "--by", "graph", "--epoch", "1", *out])
    shown = pd.read_csv(tmp_path / "o" / "by_graph.csv").set_index("value")["error"]
    table = collect(finished, epochs="all")
    wanted = table[table["epoch"] == 1].groupby("graph")["test_error"].mean()
    np.testing.assert_allclose(shown[wanted.index], wanted)
