"""A sweep: its plan, its parallel runner, its store; killed, resumed, extended, refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import relmp
from relmp.graphs import RelationalGraph, create_graph
from relmp.sweep import collect, stored_graphs
from relmp.sweep.plan import over_graphs, with_complete
from relmp.sweep.store import COLUMNS
from relmp.training import DataConfig, LoopOptions, RunConfig, TrainConfig
from relmp.training.folder import RunFolder

GRAPHS = [create_graph("ws_flex", n=16, k=k, p=0.2, seed=1) for k in (4, 6, 9)]
SETTINGS: dict[str, Any] = {
    "data": "digits", "epochs": 2, "train_size": 200, "batch_size": 64, "width": 32,
    "show_progress": False,
}  # fmt: skip


def sweep(out: Path, seeds: int = 2, **changes: Any) -> pd.DataFrame:
    settings = {"graphs": GRAPHS, "workers": 0, **SETTINGS, **changes}
    return relmp.run_sweep("mlp", out=out, seeds=range(seeds), **settings)


def comparable(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="seconds")


def test_table_has_every_graph_and_seed_at_equal_cost(tmp_path: Path) -> None:
    table = sweep(tmp_path)
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 4 * 2
    assert (table.groupby("graph_key")["seed"].nunique() == 2).all()
    complete = table[table["density"] == 1]
    assert len(complete) == 2
    budget = complete["flops"].iloc[0]
    assert (table["flops"] >= budget).all()
    assert (table["flops"] < 1.05 * budget).all()
    for graph in GRAPHS:
        rows = table[table["graph_key"] == graph.key]
        assert rows["clustering"].iloc[0] == pytest.approx(graph.clustering)
        assert rows["path_length"].iloc[0] == pytest.approx(graph.path_length)
        assert (rows["graph"] == graph.name).all()
    curves = collect(tmp_path, epochs="all")
    assert len(curves) == 4 * 2 * 2
    assert set(stored_graphs(tmp_path)) == {create_graph("complete", n=16), *GRAPHS}


def test_runs_are_those_of_a_single_training(tmp_path: Path) -> None:
    table = sweep(tmp_path, seeds=1)
    graph = GRAPHS[1]
    model = relmp.match_flops("mlp", graph=graph, width=32, input_shape=(1, 8, 8), seed=0)
    history = relmp.train(
        model, "digits", epochs=2, train_size=200, batch_size=64, seed=0, device="cpu"
    )
    row = table[table["graph_key"] == graph.key].iloc[0]
    assert row["test_error"] == history["test_error"].iloc[-1]
    run = relmp.load_run(tmp_path / row["run"])
    assert run.model.config.graph == graph


def test_all_settings_of_training_reach_the_runs(tmp_path: Path) -> None:
    given = {"optimizer": "adamw", "lr": 1e-3, "validation": 0.2, "ema_decay": 0.9}
    table = sweep(tmp_path, seeds=1, graphs=GRAPHS[:1], **given)
    config = relmp.load_run(tmp_path / table["run"].iloc[0]).config
    assert config.data == DataConfig(name="digits", train_size=200, validation=0.2)
    assert config.training == TrainConfig(
        epochs=2, batch_size=64, optimizer="adamw", lr=1e-3, loop=LoopOptions(ema_decay=0.9)
    )
    curves = RunFolder(tmp_path / table["run"].iloc[0]).records()
    assert "val_error" in curves[-1]
    with pytest.raises(ValueError, match=r"training.loop.ema_decay: 0.9 there, 0.99 here"):
        sweep(tmp_path, seeds=1, graphs=GRAPHS[:1], **{**given, "ema_decay": 0.99})
    with pytest.raises(ValueError, match=r"takes seeds=, several of them; seed=3 was given"):
        sweep(tmp_path, seed=3)
    with pytest.raises(
        ValueError, match=r"no option 'epoch'; .* settings of training are .*epochs"
    ):
        sweep(tmp_path, epoch=3)


def test_graphs_without_a_model_of_equal_cost_are_named_and_left_out() -> None:
    """The matched first stage of EfficientNet has fewer than 16 channels over dense graphs."""
    sparse, dense = (create_graph("ws_flex", n=16, k=k, p=0.2, seed=1) for k in (5, 14.5))

    def plan(graphs: list[RelationalGraph]) -> list[RunConfig]:
        return over_graphs("efficientnet_b0", graphs=graphs, seeds=2, data="noise")

    with pytest.warns(UserWarning, match=r"1 of 3 graphs are left out; the first, ws_flex.*14.5"):
        runs = plan([dense, sparse])
    assert [run.model.graph for run in runs] == [create_graph("complete", n=16), sparse] * 2
    with pytest.raises(ValueError, match="channels cannot be shared by 16 nodes"):
        plan([dense])


def test_workers_and_one_process_give_the_same_table(tmp_path: Path) -> None:
    """Bit for bit, since a worker and this process use one thread each."""
    tables = [sweep(tmp_path / str(workers), workers=workers) for workers in (0, 1, 2)]
    for table in tables[1:]:
        pd.testing.assert_frame_equal(comparable(tables[0]), comparable(table), rtol=0, atol=0)


def test_more_seeds_and_graphs_may_be_added_other_settings_not(tmp_path: Path) -> None:
    first = sweep(tmp_path, seeds=1, graphs=GRAPHS[:2])
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("checkpoint.pt")}
    more = sweep(tmp_path, seeds=2, graphs=GRAPHS)
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps, "a finished run was trained again"
    assert len(more) == 8
    kept = more[more["run"].isin(first["run"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, first)
    for change, message in (
        ({"epochs": 3}, r"training.epochs: 2 there, 3 here"),
        ({"width": 64}, r"width: 32 there, 64 here"),
        ({"aggr": "mean"}, r"model.aggr: None there, mean here"),
    ):
        with pytest.raises(ValueError, match=message):
            sweep(tmp_path, **change)
    assert len(collect(tmp_path)) == 8


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one graph"):
        sweep(tmp_path, graphs=[])
    with pytest.raises(ValueError, match="at least one seed"):
        sweep(tmp_path, seeds=0)
    with pytest.raises(ValueError, match="same number of nodes.*these have 8, 16"):
        sweep(tmp_path, graphs=[*GRAPHS, create_graph("complete", n=8)])
    with pytest.raises(ValueError, match="Layer 'rounds.0': 12 channels cannot be shared by 16"):
        sweep(tmp_path, width=12)
    with pytest.raises(FileNotFoundError, match="holds no runs"):
        collect(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []
    blocked = tmp_path / "file"
    blocked.write_text("mine")
    with pytest.raises(OSError, match="file"):
        sweep(blocked)
    assert blocked.read_text() == "mine"


def test_complete_graph_is_added_once_and_repetitions_go() -> None:
    complete = create_graph("complete", n=16)
    assert with_complete([GRAPHS[0], complete, GRAPHS[0]]) == [complete, GRAPHS[0]]


def test_a_run_that_fails_is_named_and_left_out(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"4 of 4 runs failed .*lower lr"):
        table = sweep(tmp_path, seeds=1, lr=1e30)
    assert table.empty


def test_a_disconnected_graph_has_infinite_path_length(tmp_path: Path) -> None:
    cliques = RelationalGraph.from_edges([(0, 1), (2, 3)], 16, name="pairs")
    table = sweep(tmp_path, seeds=1, graphs=[cliques])
    assert table.loc[table["graph"] == "pairs", "path_length"].iloc[0] == float("inf")


SCRIPT = """
import relmp
from tests.sweep.test_sweep import GRAPHS, SETTINGS
if __name__ == "__main__":
    relmp.run_sweep("mlp", out={out!r}, seeds=range(2), graphs=GRAPHS, workers=2,
                    **{{**SETTINGS, "epochs": 40}})
"""


def start(script: Path, out: Path) -> subprocess.Popen[bytes]:
    script.write_text(SCRIPT.format(out=str(out)))
    root = str(Path(__file__).parents[2])
    return subprocess.Popen([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": root})


def epochs_done(out: Path) -> int:
    return sum(len(p.read_text().splitlines()) for p in out.glob("*/metrics.jsonl"))


def wait_for(condition: Any, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("done", [25, pytest.param(150, marks=pytest.mark.slow)])
def test_a_sweep_killed_and_resumed_gives_the_same_table(tmp_path: Path, done: int) -> None:
    out = tmp_path / "killed"
    process = start(tmp_path / "script.py", out)
    wait_for(lambda: epochs_done(out) >= done or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert epochs_done(out) < 4 * 2 * 40, "the sweep ended before it was killed"
    # The workers end with their parent: nothing more is written.
    time.sleep(1.0)
    left = epochs_done(out)
    time.sleep(0.5)
    assert epochs_done(out) == left
    resumed = sweep(out, workers=2, epochs=40)
    whole = sweep(tmp_path / "whole", workers=2, epochs=40)
    pd.testing.assert_frame_equal(comparable(resumed), comparable(whole), rtol=0, atol=0)
    again = sweep(out, workers=2, epochs=40)
    pd.testing.assert_frame_equal(resumed, again)
