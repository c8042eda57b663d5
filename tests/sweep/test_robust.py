"""A sweep loses no run: to other runs that fail, to kills, to other runners, to damaged files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

import relmp
from relmp import machine
from relmp.fingerprint import code_fingerprint
from relmp.graphs import create_graph
from relmp.sweep import collect
from relmp.sweep.work import Ready
from relmp.training.folder import RunFolder
from tests.sweep.test_sweep import GRAPHS, comparable, sweep

ROOT = Path(__file__).parents[2]
FRAGILE = create_graph("ws_flex", n=16, k=6, p=0.2, seed=1)


class Fragile(relmp.LinearMessage):
    """Cannot speak along the edges of one of the graphs."""

    def connect(self, edges: relmp.rounds.Edges) -> None:
        if len(edges.source) != FRAGILE.num_edges:
            return
        how = os.environ.get("HOW", "raise")
        if how == "exit":
            raise SystemExit(3)
        if how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError("not along these")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("raise", "RuntimeError: not along these"),
        ("exit", "SystemExit: 3"),
        ("die", "Its process was killed by signal 9"),
    ],
)
def test_one_failing_graph_leaves_the_others_alone(
    how: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOW", how)
    monkeypatch.setattr("relmp.sweep.runner.check_fit", lambda *_: None)
    with pytest.warns(UserWarning, match="runs failed") as caught:
        table = sweep(tmp_path, seeds=3, message=Fragile, workers=2, epochs=1)
    (said,) = [str(w.message) for w in caught if "runs failed" in str(w.message)]
    assert said.startswith(
        f"3 of 12 runs failed and are not in the table; the first, {FRAGILE.name}"
    )
    assert reason in said
    assert len(table) == 9
    assert FRAGILE.key not in set(table["graph_key"])
    failures = list(tmp_path.glob("*/failure.txt"))
    assert len(failures) == 3
    if how == "raise":
        assert "Traceback" in failures[0].read_text()
        assert "in connect" in failures[0].read_text()
        # Once the message is mended, the same call trains what is missing.
        monkeypatch.setattr(Fragile, "connect", relmp.LinearMessage.connect)
        whole = sweep(tmp_path, seeds=3, message=Fragile, workers=0, epochs=1, same_code=True)
        assert len(whole) == 12
        assert not list(tmp_path.glob("*/failure.txt"))


def test_other_code_under_the_same_name_is_refused(tmp_path: Path) -> None:
    def define(factor: int) -> Any:
        scope: dict[str, Any] = {"relmp": relmp, "__name__": __name__}
        exec(
            "class Redefined(relmp.LinearMessage):\n"
            "    def forward(self, x_i, x_j):\n"
            f"        return {factor} * super().forward(x_i, x_j)\n",
            scope,
        )
        globals()["Redefined"] = scope["Redefined"]
        return scope["Redefined"]

    first, second = define(1), define(2)
    assert code_fingerprint(first) != code_fingerprint(second)
    assert code_fingerprint(second) == code_fingerprint(define(2))
    assert code_fingerprint(relmp.LinearMessage) is None
    table = sweep(tmp_path, seeds=1, message=define(1))
    with pytest.raises(ValueError, match=r"sweep in .* was started with other code of its message"):
        sweep(tmp_path, seeds=2, message=define(2))
    run = relmp.create_model("mlp", in_features=64, width=32, graph=GRAPHS[0], message=define(1))
    relmp.train(run, out=tmp_path / "one", epochs=1)
    other = relmp.create_model("mlp", in_features=64, width=32, graph=GRAPHS[0], message=define(2))
    with pytest.raises(ValueError, match="other code of its message; use another folder, or if it"):
        relmp.train(other, out=tmp_path / "one", epochs=1)
    relmp.train(other, out=tmp_path / "one", epochs=1, same_code=True)
    relmp.train(other, out=tmp_path / "one", epochs=1)  # what it was told it keeps
    shutil.rmtree(tmp_path / "one")
    assert len(sweep(tmp_path, seeds=2, message=define(2), same_code=True)) == 2 * len(table)


RUNNER = """
import sys, relmp
from tests.sweep.test_sweep import GRAPHS, SETTINGS
if __name__ == "__main__":
    relmp.run_sweep("mlp", out=sys.argv[1], seeds=3, graphs=GRAPHS, workers=2,
                    **{**SETTINGS, "epochs": 8})
"""


def runner(out: Path, count: int = 1) -> list[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error::UserWarning", "-c", RUNNER, str(out)]
    return [
        subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(count)
    ]


@pytest.mark.slow
def test_two_runners_share_the_work(tmp_path: Path) -> None:
    together = runner(tmp_path / "two", 3)
    for process in together:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    whole = sweep(tmp_path / "whole", seeds=3, epochs=8)
    found = collect(tmp_path / "two")
    pd.testing.assert_frame_equal(comparable(found), comparable(whole), rtol=0, atol=0)
    assert not list((tmp_path / "two").rglob("*.part"))


@pytest.mark.slow
def test_ctrl_c_while_another_process_has_a_run_in_hand(tmp_path: Path) -> None:
    table = sweep(tmp_path, seeds=3, epochs=8)
    run = RunFolder(tmp_path / table["run"].iloc[-1])
    for path in (run.path / "checkpoint.pt", run.path / "metrics.jsonl"):
        path.unlink()
    (run.path / "checkpoint.previous.pt").unlink()
    with run.lock():
        (process,) = runner(tmp_path)
        time.sleep(20)
        assert process.poll() is None, "it waits for the run"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
        assert process.returncode != 0


def test_one_thread_everywhere_and_the_parent_keeps_its_own(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for workers in (0, 1):
            table = sweep(tmp_path / str(workers), seeds=1, workers=workers)
            for run in table["run"]:
                beside = RunFolder(tmp_path / str(workers) / run).beside()
                assert beside["machine"]["threads"] == 1
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    sweep(folder, seeds=1)
    return folder


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def first_run(folder: Path) -> Path:
    return sorted(folder.glob("*/config.json"))[0].parent


def collected(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        table = collect(folder)
    return table, [str(w.message) for w in said]


@pytest.mark.parametrize("how", ["doubled", "unordered", "torn in the middle"])
def test_damaged_records_are_those_of_the_checkpoint(how: str, finished: Path, copy: Path) -> None:
    metrics = first_run(copy) / "metrics.jsonl"
    one, two = metrics.read_text().splitlines(keepends=True)
    metrics.write_text(
        {"doubled": one + one, "unordered": two + one, "torn in the middle": one[:20] + "\n" + two}[
            how
        ]
    )
    table, said = collected(copy)
    assert any("records of the checkpoint are used" in sentence for sentence in said)
    pd.testing.assert_frame_equal(table, collect(finished))


def test_a_torn_line_never_joins_the_next_record(copy: Path) -> None:
    run = first_run(copy)
    whole = (run / "metrics.jsonl").read_text()
    for extra in ('{"epoch": 3, "tr', whole[:-1]):
        (run / "metrics.jsonl").write_text(whole + extra if extra[0] == "{" else extra)
    (run / "metrics.jsonl").write_text(whole + '{"epoch": 3, "tr')
    RunFolder(run).resume()
    assert (run / "metrics.jsonl").read_text() == whole
    (run / "metrics.jsonl").write_text(whole.rstrip("\n"))  # whole, but for the end of its line
    RunFolder(run).resume()
    assert (run / "metrics.jsonl").read_text() == whole


def test_a_copied_folder_is_counted_once(finished: Path, copy: Path) -> None:
    run = first_run(copy)
    shutil.copytree(run, copy / f"{run.name} (copy)")
    shutil.copytree(run, copy / f"0 {run.name}")
    table, said = collected(copy)
    pd.testing.assert_frame_equal(table, collect(finished))
    assert sum("holds the same run" in sentence for sentence in said) == 2


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda c: json.dumps({**c, "training": {**c["training"], "lr": 9}}), "was changed after"),
        (lambda c: "[]", "is damaged: it holds a list, no object"),
        (lambda c: "{", "is damaged"),
        (lambda c: json.dumps({"format": 2}), "is no configuration of a run"),
        (lambda c: json.dumps({**c, "model": {**c["model"], "options": None}}), "no object"),
        (lambda c: json.dumps({**c, "model": {**c["model"], "extra": 1}}), "extra is missing"),
        (lambda c: json.dumps({**c, "format": 9}), "has format 9, and this version reads up to 2"),
    ],
)  # fmt: skip
def test_a_bad_configuration_is_named_and_the_rest_goes_on(
    damage: Any, sentence: str, copy: Path
) -> None:
    path = first_run(copy) / "config.json"
    path.write_text(damage(json.loads(path.read_text())))
    table, said = collected(copy)
    assert len(table) == len(GRAPHS)
    assert any(sentence in line for line in said), said
    with pytest.raises(ValueError, match=sentence):
        relmp.load_run(path.parent)


def test_two_broken_checkpoints_block_neither_table_nor_sweep(copy: Path) -> None:
    run = first_run(copy)
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        (run / name).write_bytes(b"broken")
    table, said = collected(copy)
    assert len(table) == 4
    assert said == []
    (run / "metrics.jsonl").unlink()  # so that it is to be trained
    with pytest.warns(UserWarning, match=r"1 of 5 runs failed .*move it away to train this run"):
        table = sweep(copy, seeds=2)
    assert len(table) == 7


def test_folders_that_are_no_runs_and_runs_without_a_graph(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "map.png").write_bytes(b"")
    relmp.train(
        relmp.create_model("mlp", in_features=64, width=32), out=tmp_path / "plain", epochs=1
    )
    table, said = collected(tmp_path)
    assert said == []
    assert table["graph"].tolist() == table["graph_key"].tolist() == ["none"]
    assert table["num_nodes"].tolist() == [0]


def test_what_a_folder_names_is_not_imported_without_trust(tmp_path: Path) -> None:
    model = relmp.create_model("mlp", in_features=64, width=32, graph=GRAPHS[0], message=Foreign)
    relmp.train(model, out=tmp_path, epochs=1)
    with pytest.raises(ValueError, match=r"names .*Foreign', which would be imported"):
        relmp.load_run(tmp_path)
    assert type(relmp.load_run(tmp_path, trust=True).model.rounds[0].message_module) is Foreign
    assert type(relmp.load_run(tmp_path, message=Foreign).model.rounds[0].message_module) is Foreign
    config = json.loads((tmp_path / "config.json").read_text())
    config["model"]["options"]["message"] = "shutil:rmtree"
    config["key"] = relmp.RunConfig.from_dict(config).key  # as an attacker would
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="'shutil:rmtree', which would be imported and called"):
        relmp.load_run(tmp_path)


def test_a_rule_of_rewiring_that_a_folder_names_is_never_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who loads or tables a run has no use for the rule by which it was trained."""
    model = relmp.create_model("mlp", in_features=64, width=32, graph=GRAPHS[0])
    relmp.train(model, out=tmp_path / "run", epochs=1, rewiring="set(every=100)")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["training"]["rewiring"] = "trojan:Rule(every=100)"
    config["key"] = relmp.RunConfig.from_dict(config).key
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    (tmp_path / "trojan.py").write_text(f"open({str(tmp_path / 'opened')!r}, 'w')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert len(relmp.load_run(tmp_path / "run").history) == 1
    table = collect(tmp_path)
    assert len(table) == 1
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize(("home", "needs"), [("__main__", True), ("tests.sweep.rules", False)])
def test_workers_are_told_of_a_rule_of_ones_own(home: str, needs: bool) -> None:
    training = relmp.TrainConfig(rewiring=f"{home}:Rule(every=3)")
    ready = Ready.of([relmp.RunConfig(relmp.ModelConfig("mlp"), relmp.DataConfig(), training)])
    assert ready.imported == (f"{home}:Rule",)
    assert ready.needs_script is needs


class Foreign(relmp.LinearMessage):
    def forward(self, x_i: Tensor | None, x_j: Tensor) -> Tensor:
        return super().forward(x_i, x_j)


def test_nothing_is_written_outside_the_folder(copy: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    for name in ("results.csv", "summary.txt", "report.html", "sweet_spot.png"):
        (copy / name).symlink_to(victim)
    run = first_run(copy)
    (run / "checkpoint.pt.part").symlink_to(victim)
    (run / "metrics.jsonl").write_text("")
    (run / "checkpoint.pt").unlink()
    sweep(copy, seeds=1)
    relmp.analyse(copy, copy)
    assert victim.read_text() == "mine"
    assert "<html" in (copy / "report.html").read_text()
    table = collect(copy).assign(model="../../x")
    before = sorted(tmp_path.iterdir())
    relmp.analyse(pd.concat([table, collect(copy)]), tmp_path / "copy" / "two")
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "copy" / "two" / "_.._x_digits" / "report.html").exists() or list(
        (tmp_path / "copy" / "two").glob("*x_digits/report.html")
    )


def test_without_what_only_linux_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setitem(sys.modules, "resource", None)
    assert machine.cores() == os.cpu_count()
    assert machine.peak_memory() != machine.peak_memory()
    table = sweep(tmp_path, seeds=1, workers=None)
    assert len(table) == 4


def test_a_trained_model_is_no_beginning_of_a_run(tmp_path: Path) -> None:
    model = relmp.create_model("mlp", in_features=64, width=32)
    relmp.train(model, epochs=1)
    with pytest.raises(ValueError, match="not those that its configuration draws"):
        relmp.train(model, out=tmp_path / "run", epochs=1)
    assert not (tmp_path / "run" / "config.json").exists()


def test_settings_that_no_plan_takes(tmp_path: Path) -> None:
    base = relmp.RunConfig(relmp.ModelConfig("mlp"), relmp.DataConfig(), relmp.TrainConfig())
    run = base.with_axis("model.in_features", 64)
    with pytest.raises(ValueError, match="holds the run [0-9a-f]{16} twice"):
        relmp.run_plan([run, run], tmp_path)
    for axis, sentence in (
        ("training.rate", "no axis 'training.rate'; those of training are epochs"),
        ("rate", "no axis 'rate'; name model.graph"),
        ("model.depth", "Model 'mlp' has no option 'depth' to be an axis"),
        ("training.loop.rate", "no axis 'training.loop.rate'"),
    ):
        with pytest.raises(ValueError, match=sentence):
            relmp.grid(base, **{axis: [1]})
    with pytest.raises(ValueError, match="Axis 'seed' has no values"):
        relmp.grid(base, seed=[])
    assert list(tmp_path.iterdir()) == []


def test_a_grid_has_a_column_for_every_axis(tmp_path: Path) -> None:
    base = relmp.RunConfig(
        relmp.ModelConfig("mlp"), relmp.DataConfig(train_size=200), relmp.TrainConfig(epochs=1)
    )
    axes = {
        "model.graph": [None, GRAPHS[0]],
        "model.message": ["linear", "gated"],
        "training.lr": [0.1, 0.01],
        "seed": [0, 1],
    }
    plan = relmp.grid(base, budget=32, **axes)
    assert len(plan) == len({run.key for run in plan}) == 16
    table = relmp.run_plan(plan, tmp_path, workers=0, show_progress=False)
    assert len(table) == 16
    assert set(table["model.message"]) == {"linear", "gated"}
    assert set(table["training.lr"]) == {0.1, 0.01}
    assert (table.groupby(["graph", "model.message", "training.lr"])["seed"].nunique() == 2).all()
    with pytest.raises(ValueError, match="started with other settings.*epochs: 1 there, 2 here"):
        relmp.run_plan([run.with_axis("training.epochs", 2) for run in plan], tmp_path)
