"""Training, sweeps, rewiring, analysis and exports are struck by signals at random moments, and
meet
full and read-only disks and the end of memory; what they leave in the end is,
as tables bit for bit,
what an undisturbed one leaves."""

from __future__ import annotations

import random
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import relmp
from relmp.graphs import create_graph
from relmp.sweep import collect
from relmp.training.folder import RunFolder
from tests.kills.processes import SHARE, finish, no_remains, start, through_kills

pytestmark = [
    pytest.mark.kills,
    pytest.mark.timeout(0),
    pytest.mark.skipif(sys.platform != "linux", reason="signals, limits and /proc of Linux"),
]
GRAPH = "ws_flex(n=8, k=4, p=0.2, seed=1)"
USUAL = ["--train-size", "400", "--batch-size", "20", "--width", "32", "--device", "cpu"]
TRAIN = ["train", GRAPH, *USUAL, "--epochs", "8"]
REWIRED = [*TRAIN, "--rewiring", "rigl(every=7, fraction=0.4)", "--validation", "0.1"]
MEASURED = ["seconds", "images_per_second", "peak_memory", "memory"]
"""Columns of records that no two runs share."""
SWEEP = """
import sys
import relmp
from tests.kills.test_everything import plan
relmp.run_plan(plan(), sys.argv[1], workers=int(sys.argv[2]), shard=sys.argv[3] or None,
               retries=1_000_000, show_progress=False, budget=16)
"""


def plan() -> list[relmp.RunConfig]:
    graphs = [create_graph("ws_flex", n=8, k=k, p=0.2, seed=1) for k in (2, 5)]
    return relmp.over_graphs(
        "mlp", graphs=graphs, seeds=2, data="digits", train_size=200, batch_size=20, epochs=4,
        width=16, rewiring="set(every=5)",
    )  # fmt: skip


def table_of(out: Path) -> pd.DataFrame:
    return collect(out, epochs="all").drop(columns="seconds")


def whole_run(folder: Path) -> tuple[pd.DataFrame, dict[str, Any], str]:
    """Records, state and topology of a run."""
    run = RunFolder(folder)
    checkpoint = run.load()
    assert checkpoint is not None
    file = folder / "topology.jsonl"
    records = pd.DataFrame(run.records()).drop(columns=MEASURED, errors="ignore")
    return records, checkpoint["model"], file.read_text() if file.exists() else ""


def same_run(one: Path, other: Path) -> None:
    (records, state, edges), (records_, state_, edges_) = whole_run(one), whole_run(other)
    pd.testing.assert_frame_equal(records, records_, rtol=0, atol=0)
    assert state.keys() == state_.keys()
    assert all(torch.equal(state[name], state_[name]) for name in state)
    assert edges == edges_


@pytest.mark.parametrize("command", [TRAIN, REWIRED], ids=["training", "rewiring"])
def test_one_run(command: list[str], tmp_path: Path) -> None:
    calm, out = tmp_path / "calm", tmp_path / "struck"
    assert finish(start([*command, "--out", str(calm)]))[0] == 0
    struck = through_kills(
        [lambda: start([*command, "--out", str(out)])], round(8 * SHARE), random.Random(1),
        begun=lambda: (out / "config.json").exists(),
    )  # fmt: skip
    print(f"{struck} signals to a run")
    same_run(calm, out)
    no_remains(out)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep that nothing disturbed."""
    folder = tmp_path_factory.mktemp("calm")
    relmp.run_plan(plan(), folder, workers=0, show_progress=False, budget=16)
    return folder


@pytest.mark.parametrize(
    "shards", [[""], ["", ""], ["1/2", "2/2"]], ids=["one runner", "two runners", "shards"]
)
def test_a_sweep(shards: list[str], calm: Path, tmp_path: Path) -> None:
    out = tmp_path / "struck"
    makers = [lambda shard=shard: start([str(out), "2", shard], SWEEP) for shard in shards]
    struck = through_kills(
        makers, round(10 * SHARE), random.Random(len(shards)),
        begun=lambda: any(out.glob("*/config.json")),
    )  # fmt: skip
    print(f"{struck} signals to {len(shards)} runners")
    pd.testing.assert_frame_equal(table_of(out), table_of(calm), rtol=0, atol=0)
    for run in plan():
        same_run(calm / run.key, out / run.key)
    no_remains(out)


def test_an_analysis(calm: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "struck"
    assert finish(start(["analyse", str(calm), "--out", str(whole)]))[0] == 0
    struck = through_kills(
        [lambda: start(["analyse", str(calm), "--out", str(out)])], round(4 * SHARE),
        random.Random(3), begun=lambda: True,
    )  # fmt: skip
    print(f"{struck} signals to an analysis")
    for name in ("results.csv", "summary.txt"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    pd.testing.assert_frame_equal(
        *(pd.read_parquet(folder / "results.parquet") for folder in (out, whole)), rtol=0, atol=0
    )
    assert {p.name for p in out.iterdir() if not p.name.endswith(".part")} == {
        p.name for p in whole.iterdir()
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert finish(start([*TRAIN, "--epochs", "1", "--out", str(folder)]))[0] == 0
    return folder


def test_an_export(trained: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    for name in ("whole", "struck"):
        shutil.copytree(trained, tmp_path / name)
    assert finish(start(["export", str(tmp_path / "whole")]))[0] == 0
    struck = through_kills(
        [lambda: start(["export", str(tmp_path / "struck")])], round(3 * SHARE), random.Random(4)
    )
    print(f"{struck} signals to an export")
    images = torch.arange(3 * 64).view(3, 1, 8, 8).float().numpy() % 17
    scores = [
        runtime.InferenceSession(tmp_path / name / "model.onnx").run(None, {"images": images})[0]
        for name in ("whole", "struck")
    ]
    assert (scores[0] == scores[1]).all()
    same_run(trained, tmp_path / "struck")


def one_sentence(errors: str) -> str:
    assert "Traceback" not in errors
    (line,) = [text for text in errors.splitlines() if text.startswith("relmp: ")]
    assert line[-1] in ".?"
    return line


@pytest.mark.parametrize("most", [0, 3_000, 60_000])
def test_files_that_may_not_grow(most: int, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    out = tmp_path / "run"
    code, errors = finish(start([*REWIRED, "--out", str(out)], limit=limit))
    assert code == 2, errors
    assert "large" in one_sentence(errors)
    no_remains(tmp_path)
    assert finish(start([*REWIRED, "--out", str(out)]))[0] == 0
    assert finish(start([*REWIRED, "--out", str(tmp_path / "calm")]))[0] == 0
    same_run(tmp_path / "calm", out)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB; skips where one may not be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no disk may be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(small_disk: Path, calm: Path, tmp_path: Path) -> None:
    out = small_disk / "sweep"
    code, errors = finish(start([str(out), "2", ""], SWEEP.replace("1_000_000", "0")))
    assert (code, errors) == (0, "")
    done, whole = (table_of(folder).set_index(["run", "epoch"]) for folder in (out, calm))
    lost = {key for key, _ in whole.index.difference(done.index)}
    assert lost, "all runs fit on this disk"
    for key in lost:
        said = RunFolder(out / key).failure()  # there may have been no space for that, either
        full = rf"OSError: .*No space left on device: '{re.escape(str(out / key))}/\S+'$"
        assert said is None or re.search(full, said.strip()), said
    pd.testing.assert_frame_equal(done, whole.loc[done.index], rtol=0, atol=0)
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert finish(start([str(out), "2", ""], SWEEP))[0] == 0
    pd.testing.assert_frame_equal(table_of(out), table_of(calm), rtol=0, atol=0)
    no_remains(out)


def test_a_disk_that_may_not_be_written(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert finish(start([*TRAIN, "--epochs", "1", "--out", str(small_disk / "run")]))[0] == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for arguments in (
        [*TRAIN, "--epochs", "1", "--out", str(small_disk / "run")],
        [*TRAIN, "--epochs", "1", "--out", str(small_disk / "other")],
        ["export", str(small_disk / "run"), "--to", "onnx"],
        ["graphs", "draw", GRAPH, "--out", str(small_disk / "g.png")],
        ["playground", "--no-open", "--out", str(small_disk / "p.html")],
    ):
        code, errors = finish(start(arguments))
        assert code == 2, (arguments, errors)
        assert "read-only" in one_sentence(errors)
    assert len(relmp.load_run(small_disk / "run", device="cpu").history) == 1


def test_memory_that_runs_out(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (12 * 2**30, 12 * 2**30))

    out = tmp_path / "run"
    arguments = ["train", "none", "--width", "90000", "--epochs", "1", "--out", str(out)]
    code, errors = finish(start([*arguments, "--train-size", "40"], limit=limit))
    assert code == 2, errors
    assert "not enough memory" in one_sentence(errors)
    assert not list(out.glob("*")) or not (out / "checkpoint.pt").exists()
