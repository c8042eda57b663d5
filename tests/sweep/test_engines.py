"""The same plan on several engines, in shards, after failures: one store, one result."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import relmp
from relmp.graphs import create_graph
from relmp.sweep import collect
from relmp.sweep.runner import parse_shard
from relmp.sweep.saved import read_plan, write_plan
from relmp.sweep.store import RunStore
from relmp.training.folder import RunFolder
from tests.training.pictures import write_pictures

ROOT = Path(__file__).parents[2]
GRAPHS = [create_graph("ws_flex", n=8, k=k, p=0.2, seed=1) for k in (2, 4)]
SETTINGS: dict[str, Any] = {
    "data": "digits", "epochs": 1, "train_size": 128, "batch_size": 64, "width": 16,
}  # fmt: skip


def plan(seeds: int = 2, **changes: Any) -> list[relmp.RunConfig]:
    return relmp.over_graphs("mlp", graphs=GRAPHS, seeds=seeds, **{**SETTINGS, **changes})


def trained(out: Path, runs: list[relmp.RunConfig], **options: Any) -> pd.DataFrame:
    options = {"workers": 0, "show_progress": False, "budget": 16, **options}
    return relmp.run_plan(runs, out, **options).drop(columns="seconds")


def test_three_shards_are_the_sweep(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", plan())
    for number in (3, 1, 2):
        table = trained(tmp_path / "shards", plan(), shard=f"{number}/3")
    pd.testing.assert_frame_equal(table, whole)


@pytest.mark.parametrize("shard", ["11/10", "0/3", "3", "a/b", "1/0", "-1/3"])
def test_a_shard_that_is_none(shard: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shard is written part/parts, such as 3/10"):
        trained(tmp_path, plan(), shard=shard)
    assert list(tmp_path.iterdir()) == []


def test_shards_share_out_every_run() -> None:
    runs = plan(seeds=3)
    parts = [runs[parse_shard(f"{number}/4")] for number in range(1, 5)]
    assert sorted(run.key for part in parts for run in part) == sorted(run.key for run in runs)


def test_unknown_engine(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Unknown engine 'slurm'; choose one of local, ray"):
        trained(tmp_path, plan(), engine="slurm")


FLAKY = """
import os, pathlib
import relmp

class Flaky(relmp.LinearMessage):
    '''Fails as often as a file says, over the ring of 8.'''
    def __init__(self, num_edges, in_dim, out_dim):
        super().__init__(num_edges, in_dim, out_dim)
        left = pathlib.Path(os.environ["FAILURES_LEFT"])
        if num_edges < 30 and int(left.read_text()):
            left.write_text(str(int(left.read_text()) - 1))
            raise RuntimeError("not today")
"""


@pytest.fixture
def failures_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "flaky_message.py").write_text(FLAKY)
    (tmp_path / "left").write_text("0")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("FAILURES_LEFT", str(tmp_path / "left"))
    return tmp_path / "left"


def test_a_failure_is_tried_again_as_asked(failures_left: Path, tmp_path: Path) -> None:
    runs = plan(seeds=1, message="flaky_message:Flaky")
    expected = trained(tmp_path / "calm", runs)
    failures_left.write_text("2")
    table = trained(tmp_path / "retried", runs, retries=2)
    assert failures_left.read_text() == "0"
    pd.testing.assert_frame_equal(table, expected)
    assert not list((tmp_path / "retried").glob("*/failure.txt"))


def test_a_failure_that_stays_is_recorded_and_retried_later(
    failures_left: Path, tmp_path: Path, capsys: Any
) -> None:
    runs = plan(seeds=1, message="flaky_message:Flaky")
    failures_left.write_text("10000")
    out = tmp_path / "out"
    with pytest.warns(UserWarning, match="1 of 3 runs failed .*not today"):
        trained(out, runs, retries=1)
    command(["runs", "status", str(out)])
    said = capsys.readouterr().out
    assert "2 done, 0 running, 1 failed, 0 waiting" in said
    assert "RuntimeError: not today" in said
    failures_left.write_text("0")
    command(["runs", "retry", str(out), "--workers", "0"])
    assert "3 done, 0 running, 0 failed, 0 waiting" in capsys.readouterr().out
    assert len(collect(out)) == 3


def command(arguments: list[str]) -> None:
    from relmp.cli import main

    main(arguments)


def test_what_is_waiting_is_known_and_what_is_in_the_way_goes(tmp_path: Path, capsys: Any) -> None:
    trained(tmp_path, plan(), shard="1/3", population=1)
    command(["runs", "status", str(tmp_path)])
    assert "2 done, 0 running, 0 failed, 4 waiting" in capsys.readouterr().out
    torn = next(tmp_path.glob("*/config.json")).with_name(".checkpoint.pt.00.part")
    torn.write_bytes(b"x")
    failed = RunFolder(tmp_path / plan()[1].key)
    failed.note_failure("RuntimeError: no")
    command(["runs", "clean", str(tmp_path)])
    assert torn.exists()
    command(["runs", "clean", str(tmp_path), "--yes"])
    assert not torn.exists()
    assert not failed.path.exists()
    capsys.readouterr()
    command(["runs", "clean", str(tmp_path)])
    assert "Nothing is in the way" in capsys.readouterr().out
    assert len(collect(tmp_path)) == 2


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    runs = plan() + plan(seeds=1, message="gated")
    write_plan(tmp_path / "plan.json", runs)
    found = read_plan(tmp_path / "plan.json")
    assert [run.key for run in found] == [run.key for run in runs]
    assert [run.model.graph for run in found] == [run.model.graph for run in runs]
    assert len({id(run.model.graph) for run in found}) == 3  # one object a graph
    for damage in ("{}", "[]", '{"format": 1, "graphs": {}, "runs": [{}]}', "x"):
        (tmp_path / "plan.json").write_text(damage)
        with pytest.raises(ValueError, match="plan.json"):
            read_plan(tmp_path / "plan.json")


def test_more_seeds_make_the_plan_grow(tmp_path: Path) -> None:
    trained(tmp_path, plan(seeds=1))
    trained(tmp_path, plan(seeds=2), shard="6/6")
    assert len(RunStore(tmp_path).plan()) == 6


OWN_DATA = """
import torch, relmp
from relmp.training import ImageData
from relmp.training.data import DATASETS

@DATASETS.register("stripes")
def stripes(folder, download):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(300, 1, 6, 6, generator=generator)
    labels = (images.mean((1, 2, 3)) > 0.5).long()
    images = (255 * images).byte()
    parts = images[:200], labels[:200], images[200:], labels[200:]
    return ImageData("stripes", *parts, 2, mean=(0.5,), std=(0.3,))
"""


def test_data_that_is_registered_elsewhere_reaches_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_stripes.py").write_text(OWN_DATA)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    __import__("own_stripes")
    runs = plan(seeds=1, data="stripes", train_size=None)
    here, there = (trained(tmp_path / str(n), runs, workers=n) for n in (0, 1))
    pd.testing.assert_frame_equal(here, there)


def test_axes_that_nothing_else_tells_apart_have_a_column(tmp_path: Path) -> None:
    run = plan(seeds=1)[0]
    runs = [run.with_axis("model.stem_width", w) for w in (16, 24)]
    table = trained(tmp_path, runs)
    assert table["model.stem_width"].tolist() == [16, 24]


def test_a_grid_over_image_sizes_builds_models_of_those_sizes(tmp_path: Path) -> None:
    write_pictures(tmp_path, 5)
    training = plan(seeds=1)[0].training
    base = relmp.RunConfig(relmp.ModelConfig("mlp"), relmp.DataConfig(name="folder"), training)
    runs = relmp.grid(base, budget=16, data_folder=tmp_path, **{"data.image_size": [8, 16]})
    assert [run.model.options["in_features"] for run in runs] == [3 * 64, 3 * 256]


RAY = """
import json, sys, threading, time
import ray
from ray.cluster_utils import Cluster
import relmp
from tests.sweep.test_engines import plan, trained

out = sys.argv[1]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
second = cluster.add_node(num_cpus=1)
ray.init(address=cluster.address, log_to_driver=False)
runs = plan(seeds=int(sys.argv[2]), epochs=int(sys.argv[3]))
kill = threading.Timer(float(sys.argv[4]), lambda: cluster.remove_node(second))
kill.start()
table = trained(out, runs, engine="ray", workers=2)
kill.join()
print(json.dumps({"rows": len(table), "nodes": sum(n["Alive"] for n in ray.nodes())}))
ray.shutdown()
cluster.shutdown()
"""


@pytest.mark.slow
def test_ray_with_a_node_that_is_lost(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    script = tmp_path / "cluster.py"
    script.write_text(RAY)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "ray"), "4", "4", "12"],
        env=environment, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '"rows": 12, "nodes": 1' in done.stdout
    expected = trained(tmp_path / "local", plan(seeds=4, epochs=4))
    found = collect(tmp_path / "ray").drop(columns="seconds")
    pd.testing.assert_frame_equal(found, expected)


# Plan files ---------------------------------------------------------------------------------

PLAN = """
data = "digits"
out = "{out}"
graphs = ["ws_flex(n=8, k=4, p=0.2, seed=1)"]
seeds = 2
epochs = 1
train_size = 128
width = 16
workers = 0

[loop]
clip_norm = 1.0

[axes]
"model.message" = ["linear", "gated"]
"training.lr" = [0.1, 0.03]
"""


def test_a_grid_by_plan_file_analysed_by_message(tmp_path: Path, capsys: Any) -> None:
    file, out = tmp_path / "plan.toml", tmp_path / "out"
    file.write_text(PLAN.format(out=out.as_posix()))
    command(["sweep", "--plan", str(file), "--dry-run"])
    assert "16 runs over 2 graphs, 16 of them to be trained." in capsys.readouterr().out
    assert not out.exists()
    command(["sweep", "--plan", str(file)])
    said = capsys.readouterr().out
    assert "model.message, by mean test_error" in said
    table = collect(out)
    assert len(table) == 2 * 2 * 2 * 2
    assert set(table["model.message"]) == {"linear", "gated"}
    command(["analyse", str(out), "--by", "model.message"])
    assert "gated" in capsys.readouterr().out
    pairs = pd.read_csv(out / "by_model.message_pairs.csv")
    wide = table.pivot_table(
        index=["graph_key", "seed", "training.lr"], columns="model.message", values="test_error"
    )
    row = pairs.iloc[0]
    assert row["difference"] == pytest.approx((wide[row["second"]] - wide[row["first"]]).mean())
    command(["analyse", str(out), "--by", "model.message", "--where", "training.lr=0.1"])
    assert "2 graphs x 2 seeds" in capsys.readouterr().out


def test_the_command_line_comes_before_the_file(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(PLAN.format(out=(tmp_path / "a").as_posix()))
    command(["sweep", "--plan", str(file), "--dry-run", "--seeds", "3", "--out", "b"])
    assert "24 runs over 2 graphs" in capsys.readouterr().out


def test_a_plan_in_python(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "plan.py"
    file.write_text(
        textwrap.dedent("""
            import relmp
            ring = relmp.RelationalGraph.from_edges([(i, (i + 1) % 8) for i in range(8)])
            def plan():
                return relmp.over_graphs("mlp", graphs=[ring], seeds=1, data="digits", width=16,
                                         epochs=1, train_size=128)
        """)
    )
    command(["sweep", "--plan", str(file), "--out", str(tmp_path / "out"), "--dry-run"])
    assert "2 runs over 2 graphs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("sedes = 3", "holds 'sedes', which is no option of a sweep. Did you mean 'seeds'"),
        (
            "[loop]\nema_deca = 1",
            r"\[loop\] holds 'ema_deca', which is no setting. Did you mean 'ema_decay'",
        ),
        ("x = ", "is no TOML file"),
        ('[axes]\n"training.rate" = [1]', "A run has no axis 'training.rate'"),
        ('graphs = ["rink(n=8)"]', "rink"),
    ],
)
def test_a_plan_file_that_is_none(text: str, sentence: str, tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(text)
    with pytest.raises(SystemExit, match="2"):
        command(["sweep", "--plan", str(file), "--out", str(tmp_path / "out"), "--dry-run"])
    error = capsys.readouterr().err
    assert re.search(sentence, error), error


def test_two_plans_in_one_folder(tmp_path: Path) -> None:
    trained(tmp_path, plan(seeds=1))
    with pytest.raises(ValueError, match="was started with other settings"):
        trained(tmp_path, plan(seeds=1, lr=0.02))
    assert len(collect(tmp_path)) == 3


def test_the_plan_file_to_copy() -> None:
    from relmp.cli import Sweep

    filled = Sweep(plan=str(ROOT / "experiments" / "plans" / "messages.toml")).filled()
    assert len(filled.runs()) == 4 * 3 * 4 * 2
    assert filled.loop.evaluate_every == 5
