"""Runs of a plan that are trained as one: which they are, and that the store does not show it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from torch import nn

import relmp
from relmp.cli import main
from relmp.models import ModelConfig
from relmp.sweep.populations import MEASURED, Limits, population_limits, populations
from relmp.training.folder import RunFolder
from relmp.training.run_config import RunConfig

GRAPHS = [relmp.create_graph("ws_flex", n=8, k=k, p=0.2, seed=s) for k in (2, 3, 5) for s in (1, 2)]
SETTINGS: dict[str, Any] = {
    "data": "digits", "epochs": 2, "train_size": 128, "batch_size": 64, "width": 16,
}  # fmt: skip


def plan(model: str = "mlp", seeds: int = 2, **changes: Any) -> list[RunConfig]:
    return relmp.over_graphs(model, graphs=GRAPHS, seeds=seeds, **{**SETTINGS, **changes})


def trained(out: Path, runs: list[RunConfig], **options: Any) -> pd.DataFrame:
    options = {"workers": 0, "show_progress": False, "budget": 16, **options}
    return relmp.run_plan(runs, out, **options).drop(columns="seconds")


def keys(units: list[list[RunConfig]]) -> list[list[str]]:
    return [[run.key for run in unit] for unit in units]


def test_groups_share_all_but_graph_width_and_weights() -> None:
    runs = [*plan(), *plan(lr=0.01, seeds=1)]
    units = populations(runs, Limits(4))
    assert sorted(key for unit in keys(units) for key in unit) == sorted(run.key for run in runs)
    assert sorted(map(len, units)) == [1, 1, 1, 2, 2, 2, 4, 4, 4]
    for unit in units:
        assert len({(run.training, run.data, run.model.name) for run in unit}) == 1
        assert len(unit) == 1 or not any(run.model.graph.is_complete for run in unit)


def test_groups_do_not_depend_on_the_order_or_on_a_part_of_the_plan_once_known() -> None:
    runs = plan()
    units = keys(populations(runs, Limits(3)))
    known = [unit for unit in units if len(unit) > 1]
    assert sorted(keys(populations(runs[::-1], Limits(3), known))) == sorted(units)
    part = keys(populations(runs[3:], Limits(3), known))
    left = {run.key for run in runs[3:]}
    assert sorted(part) == sorted(
        [k for k in unit if k in left] for unit in units if left & {*unit}
    )


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("mlp", {"message": "gated"}),
        ("mlp", {"aggr": "max"}),
        ("mlp", {"execution": "dense"}),
        ("mlp", {"ema_decay": 0.9}),
        ("mlp", {"rewiring": "rigl(every=9)"}),
        ("residual_mlp", {"fold": (1,)}),
    ],
    ids=str,
)
def test_what_is_trained_by_itself(model: str, changes: dict[str, Any]) -> None:
    runs = plan(model, **changes)
    assert keys(populations(runs, Limits(4))) == [[run.key] for run in runs]


def test_models_of_images_stay_alone() -> None:
    runs = [replace(run, model=replace(run.model, name="cnn")) for run in plan()]
    assert keys(populations(runs, Limits(4))) == [[run.key] for run in runs]


def test_wide_models_gain_nothing_and_stay_alone() -> None:
    runs = plan(width=400)
    widths = {run.key: run.model.options["width"] for run in runs}
    assert min(widths.values()) <= MEASURED.widest < max(widths.values())
    for unit in keys(populations(runs, MEASURED)):
        assert len(unit) == 1 or all(widths[key] <= MEASURED.widest for key in unit)
    assert population_limits("auto", "cpu") == MEASURED
    assert population_limits("auto", "cuda").size == 1


@pytest.mark.parametrize("given", [0, -1, 2.5, "many", None, True])
def test_a_population_that_is_none(given: Any, tmp_path: Path) -> None:
    with pytest.raises((ValueError, TypeError), match="population"):
        trained(tmp_path, plan(), population=given)
    assert list(tmp_path.iterdir()) == []


def test_the_store_is_the_same_however_the_work_is_shared(tmp_path: Path) -> None:
    runs = plan()
    whole = trained(tmp_path / "whole", runs, population=3)
    workers = trained(tmp_path / "workers", runs, population=3, workers=2)
    for number in (2, 3, 1):
        shards = trained(tmp_path / "shards", runs, population=3, shard=f"{number}/3")
    pd.testing.assert_frame_equal(workers, whole)
    pd.testing.assert_frame_equal(shards, whole)
    alone = trained(tmp_path / "alone", runs, population=1)
    pd.testing.assert_frame_equal(
        alone, whole, check_exact=False, rtol=1e-3, atol=1.0
    )  # a signal of 100 % / 360 test images more or less
    files = [{p.name for p in (tmp_path / n / runs[1].key).iterdir()} for n in ("alone", "whole")]
    assert files[0] == files[1]
    kept = json.loads((tmp_path / "whole" / "populations.json").read_text())["populations"]
    assert sorted(map(len, kept)) == [3, 3, 3, 3]
    for group in kept:
        for key in group:
            config = json.loads((tmp_path / "whole" / key / "config.json").read_text())
            assert config["population"] == group
    assert not (tmp_path / "alone" / "populations.json").exists()
    model = relmp.load_run(tmp_path / "whole" / runs[1].key).model
    assert relmp.count_parameters(model) == relmp.count_parameters(runs[1].model.create())


def test_more_runs_leave_the_groups_as_they_were(tmp_path: Path) -> None:
    few = trained(tmp_path, plan(seeds=1)[:4], population=3)
    before = json.loads((tmp_path / "populations.json").read_text())["populations"]
    more = trained(tmp_path, plan(), population=3)
    after = json.loads((tmp_path / "populations.json").read_text())["populations"]
    assert after[: len(before)] == before
    same = more[more["run"].isin(few["run"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(same[few.columns], few)


def test_a_damaged_file_of_groups_is_named(tmp_path: Path) -> None:
    trained(tmp_path, plan(), population=3)
    (tmp_path / "populations.json").write_text('{"populations": [1]}')
    with pytest.raises(ValueError, match="populations.json' holds no groups of runs; remove it"):
        trained(tmp_path, plan(), population=3)


def test_a_run_that_fails_is_named_and_the_others_of_its_group_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = plan(seeds=1)
    calm = trained(tmp_path / "calm", runs, population=3)
    graph = runs[2].model.graph
    create = ModelConfig.create

    def broken(config: ModelConfig, *given: Any) -> nn.Module:
        model = create(config, *given)
        if config.graph == graph:
            next(model.parameters()).data.fill_(float("nan"))
        return model

    with monkeypatch.context() as patch:
        patch.setattr(ModelConfig, "create", broken)
        with pytest.warns(UserWarning, match="1 of 7 runs failed .*loss became nan"):
            table = trained(tmp_path / "out", runs, population=3, retries=1)
    left = calm[calm["run"] != runs[2].key].reset_index(drop=True)
    pd.testing.assert_frame_equal(table, left)
    assert "loss became nan" in (RunFolder(tmp_path / "out" / runs[2].key).failure() or "")
    main(["runs", "retry", str(tmp_path / "out"), "--workers", "0"])
    again = relmp.collect(tmp_path / "out").drop(columns="seconds")
    assert len(again) == 7
    pd.testing.assert_frame_equal(again, calm, check_exact=False, rtol=1e-3, atol=1.0)


def test_graphs_that_are_executed_in_different_ways_are_trained(tmp_path: Path) -> None:
    few = relmp.RelationalGraph(8, [[], []], self_loops=False)
    runs = [
        replace(run, model=replace(run.model, graph=graph))
        for run in plan(seeds=1)[1:2]
        for graph in (GRAPHS[0], few)
    ]
    assert len(populations(runs, Limits(2))) == 1
    executions = {run.model.create().rounds[0].execution for run in runs}  # type: ignore
    assert len(executions) == 2
    assert len(trained(tmp_path, runs, population=2)) == 2


def damage(folder: Path, how: str) -> None:
    for file in folder.glob("checkpoint*.pt"):
        file.write_bytes(b"damaged") if how == "damaged" else file.unlink()


@pytest.mark.parametrize("how", ["damaged", "removed"])
def test_a_run_that_is_done_stays_so_without_its_checkpoints(tmp_path: Path, how: str) -> None:
    runs = plan(seeds=1)[1:4]
    calm = trained(tmp_path, runs, population=3)
    done, anew = (tmp_path / run.key for run in runs[:2])
    records = (done / "metrics.jsonl").read_text()
    damage(done, how)
    shutil.rmtree(anew)
    again = trained(tmp_path, runs, population=3)
    assert (done / "metrics.jsonl").read_text() == records
    pd.testing.assert_frame_equal(again, calm, check_exact=False, rtol=1e-3, atol=1.0)
    shutil.rmtree(anew)
    (tmp_path / runs[2].key / "checkpoint.pt").unlink()  # the one before is there
    trained(tmp_path, runs, population=3)
    assert (done / "metrics.jsonl").read_text() == records


def test_a_damaged_run_does_not_keep_the_others_of_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, save, count = plan(seeds=1)[1:4], RunFolder.save, 0

    def stop(folder: RunFolder, *given: Any) -> None:
        nonlocal count
        count += 1
        if count == 4:
            raise KeyboardInterrupt
        save(folder, *given)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path, runs, population=3)
    damage(tmp_path / runs[1].key, "damaged")
    with pytest.warns(UserWarning, match="1 of 3 runs failed .*checkpoint.pt' is damaged"):
        table = trained(tmp_path, runs, population=3)
    assert sorted(table["run"]) == sorted(run.key for run in (runs[0], runs[2]))
    assert [RunFolder(tmp_path / run.key).failure() is None for run in runs] == [True, False, True]


def test_weights_that_do_not_fit_one_run_do_not_keep_the_others(tmp_path: Path) -> None:
    first, other = plan(seeds=1)[1:3]
    trained(tmp_path / "first", [first], population=1)
    start = f"{first.key}@{tmp_path / 'first' / first.key}"
    runs = [
        replace(run, training=replace(run.training, init_from=start, lr=0.01))
        for run in (first, other, replace(first, model=replace(first.model, seed=7)))
    ]
    assert len(populations(runs, Limits(3))) == 1
    with pytest.warns(UserWarning, match="1 of 3 runs failed .*do not fit this model"):
        table = trained(tmp_path / "out", runs, population=3)
    assert sorted(table["run"]) == sorted(run.key for run in (runs[0], runs[2]))


def test_the_command_line_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [
        "sweep", "--nodes", "16", "--graphs", "cycle(n=8)", "star(n=8)", "--seeds", "1",
        "--data", "noise", "--width", "16", "--epochs", "1", "--train-size", "64",
        "--batch-size", "32", "--workers", "0", "--out", str(tmp_path),
    ]  # fmt: skip
    main([*asked, "--population", "2", "--dry-run"])
    assert "3 runs over 3 graphs, 3 of them to be trained" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    main([*asked, "--population", "2"])
    assert (tmp_path / "populations.json").exists()
