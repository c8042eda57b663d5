"""What the suites of fuzz and kills have found, each in its smallest form."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import relmp
from relmp import claim
from relmp.cli import main
from relmp.graphs import RelationalGraph, create_graph
from relmp.graphs.serialise import graph_to_dict, graphs_from_dict
from relmp.rounds import ChannelPartition, Round
from relmp.rounds.execution import possible_executions
from relmp.sweep import collect
from relmp.sweep.saved import read_plan
from relmp.training.folder import RunFolder
from relmp.training.rewiring.rule import make_rewiring
from relmp.training.rewiring.topology import read_topology

GRAPH = create_graph("ws_flex", n=8, k=4, p=0.2, seed=1)


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command is refused with."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.strip().split("\n")
    assert line[-1] in ".?"
    return line


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: RelationalGraph(2, [[0], [1]], {}), "edge_attr must be numbers"),
        (lambda: RelationalGraph(2, [[0], [1]], ["a"]), "edge_attr must be numbers"),
        (lambda: RelationalGraph(2, [[0], [1]], [1j]), "edge_attr must be numbers"),
        (lambda: RelationalGraph(2, [[0], [1]], labels=3), "labels are names of the nodes"),
        (lambda: RelationalGraph(1, [[0], [0]], labels=[[]]), "labels are names of the nodes"),
        (lambda: graphs_from_dict({"edges": []}), "describes no graph: 'directed' is missing"),
        (lambda: graphs_from_dict(3), "describes no graph"),  # type: ignore[arg-type]
        (lambda: ChannelPartition(2, "8"), "channels must be a whole number"),  # type: ignore[arg-type]
        (lambda: ChannelPartition(2, 2**40), "channels must be a whole number between"),
        (lambda: Round(GRAPH, 8, 8, chunk_size=[1]), "chunk_size must be a whole number"),  # type: ignore[arg-type]
        (lambda: Round(GRAPH, 8, 8, aggr=relmp.LinearMessage), "cannot be made of"),
        (lambda: relmp.create_model("builtins:int"), "takes no argument graph"),
        (lambda: make_rewiring("rigl(dense=None)"), "dense must be names of layers"),
        (lambda: make_rewiring("set(keep_loops=3)"), "keep_loops must be True or False"),
        (
            lambda: make_rewiring("set(granularity='weight', density={'a': None})"),
            "density must be a number",
        ),
        (
            lambda: relmp.grid(relmp.RunConfig(
                relmp.ModelConfig("mlp", GRAPH, options={"in_features": 64}), relmp.DataConfig(),
                relmp.TrainConfig()), budget=16, **{"model.message": [3]}),
            "message= takes a class",
        ),
    ],
)  # fmt: skip
def test_what_is_no_argument(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()


def test_a_key_tells_whether_the_graphs_of_layers_were_changed() -> None:
    both = relmp.graphs.layers.mapping.LayerGraphs({"a": GRAPH, "b": None})
    values = graph_to_dict(both)
    assert graphs_from_dict(values) == both
    values["layers"]["c"] = values["layers"].pop("b")
    with pytest.raises(ValueError, match="the file was changed"):
        graphs_from_dict(values)


def test_two_nodes_as_text_come_back(tmp_path: Path) -> None:
    for edges, attr in (
        ([[0, 1], [1, 0]], None), ([[0], [1]], None), (np.empty((2, 0), dtype=np.int64), None),
        ([[0, 1], [1, 0]], [2.0, 3.0]),
    ):  # fmt: skip
        graph = RelationalGraph(2, edges, attr)
        relmp.save_graph(graph, tmp_path / "g.txt")
        assert relmp.load_graph(tmp_path / "g.txt") == graph


@pytest.mark.parametrize("ending", [".graphml", ".csv"])
@pytest.mark.parametrize("labels", [["1", "0"], [1, 0], ["01", "1"], ["-1", "-2"], ["9" * 20, "1"]])
def test_names_that_are_numbers_keep_their_nodes(
    labels: list[Any], ending: str, tmp_path: Path
) -> None:
    graph = RelationalGraph(2, [[0, 1], [1, 0]], [2.0, 3.0], labels=labels)
    relmp.save_graph(graph, tmp_path / f"g{ending}")
    again = relmp.load_graph(tmp_path / f"g{ending}", directed=True if ending == ".csv" else None)
    assert again == graph
    assert list(map(str, again.labels or ())) == list(map(str, labels))


@pytest.mark.parametrize("images", [False, True])
@pytest.mark.parametrize("aggr", ["sum", "mean", "max", "quantile(q=0.3)"])
def test_a_graph_without_edges(aggr: str, images: bool) -> None:
    empty = RelationalGraph(3, np.empty((2, 0), dtype=np.int64), self_loops=False)
    kind: Any = partial(relmp.RelationalConv2d, kernel_size=3, padding=1) if images else Round
    layer = kind(empty, 5, 7, aggr=aggr).double()
    x = torch.randn(2, 5, *([4, 4] if images else []), dtype=torch.float64, requires_grad=True)
    for execution in possible_executions(layer):
        layer.set_execution(execution)
        out = layer(x)
        expected = layer.bias.view(1, 7, *[1] * (x.dim() - 2)).expand_as(out)
        assert torch.equal(out, expected)
        (gradient,) = torch.autograd.grad(out.sum(), x)
        assert not gradient.any()


@pytest.mark.parametrize("message", ["low_rank(rank=2)", "gated", "attention", "scalar", "mlp"])
def test_messages_over_a_graph_without_edges(message: str) -> None:
    empty = RelationalGraph(3, np.empty((2, 0), dtype=np.int64), self_loops=False)
    layer = Round(empty, 5, 7, message=message)
    assert torch.equal(layer(torch.randn(2, 5)), layer.bias.expand(2, 7))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["graphs", "show", "a\nb"], r"'a\\nb' is no file"),
        (["bench", "rounds", "--threads", "0"], "threads must be a whole number"),
        (
            ["bench", "rounds", "--quick", "--repeats", "0", "--threads", str(10**20)],
            "threads must",
        ),
        (["bench", "model", "--image-size", "-1"], "image_size must be"),
        (["bench", "model", "--batch-size", "1"], "batch_size must be"),
    ],
)
def test_command_lines(
    arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert re.search(sentence, refused(arguments, capsys))


def test_turns_of_a_measurement() -> None:
    from relmp.bench.timing import interleaved

    with pytest.raises(ValueError, match="repeats must be a whole number of at least 3"):
        interleaved({"a": lambda: None}, repeats=1, seconds=1)


def test_memory_that_runs_out_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")):
        monkeypatch.setattr("relmp.graphs.parse.parse_graph", lambda *_, e=error, **__: _raise(e))
        assert "not enough memory" in refused(["graphs", "measure", "complete(n=3)"], capsys)
    monkeypatch.setattr(
        "relmp.graphs.parse.parse_graph", lambda *_, **__: _raise(RuntimeError("x"))
    )
    with pytest.raises(RuntimeError, match="x"):
        main(["graphs", "measure", "complete(n=3)"])


def _raise(error: Exception) -> None:
    raise error


def test_a_measure_that_is_named_twice() -> None:
    table = relmp.graphs.measures.measure_graphs([GRAPH], ("density", "density"))
    assert list(table.columns) == ["name", "key", "density"]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('seeds = "5"', "seeds = '5', which must be a whole number"),
        ("seeds = 1.5", "must be a whole number"),
        ('workers = "a"', "must be a whole number"),
        ("loop = 3", "holds loop as a value"),
        ("axes = [1]", "holds axes as a value"),
        ("shard = 3", "must be a text"),
        ("graphs = [3]", "must be a list, each a text"),
        ('same_code = "no"', "must be true or false"),
        ("out = 3", "must be a text"),
        ('engine = "x"', "must be one of local, ray"),
        ('[axes]\n"training.lr" = 0.1', "give a list of values"),
        ("[axes]\nseed = [0]", "the number of seeds as seeds = 5"),
        ("[loop]\nx = 1", r"\[loop\] holds 'x', which is no setting"),
    ],
)
def test_plan_files(
    line: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plan.toml").write_text(line + "\n")
    said = refused(["sweep", "--plan", str(tmp_path / "plan.toml"), "--dry-run"], capsys)
    assert re.search(sentence, said), said


def test_one_text_where_a_list_is_taken(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text('graphs = "complete(n=8)"\ntrack = "tensorboard"\n')
    filled = relmp.cli.Sweep(plan=str(tmp_path / "plan.toml")).filled()
    assert (filled.graphs, filled.track) == (("complete(n=8)",), ("tensorboard",))


# Damage ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    relmp.run_sweep(
        graphs=[GRAPH], seeds=1, out=folder, epochs=2, train_size=60, batch_size=30, width=16,
        workers=0, show_progress=False, rewiring="set(every=1)",
    )  # fmt: skip
    return folder


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def run_of(folder: Path) -> Path:
    return sorted(folder.glob("*/config.json"))[0].parent


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_number_that_changed_on_disk_is_not_believed(finished: Path, copy: Path) -> None:
    path = run_of(copy) / "metrics.jsonl"
    error = json.loads(path.read_text().splitlines()[0])["test_error"]
    replaced(path, f'"test_error": {error}', '"test_error": 1.5')
    with pytest.warns(
        UserWarning, match="Line 1 of .* is no record. The records of the checkpoint"
    ):
        table = collect(copy, epochs="all")
    pd.testing.assert_frame_equal(table, collect(finished, epochs="all"))


@pytest.mark.parametrize("left", [0, 1])
def test_records_that_were_cut_off_are_those_of_the_checkpoint(
    left: int, finished: Path, copy: Path
) -> None:
    path = run_of(copy) / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:left]))
    for epochs in ("last", "all"):
        pd.testing.assert_frame_equal(
            collect(copy, epochs=epochs),
            collect(finished, epochs=epochs),  # type: ignore[arg-type]
        )


def test_records_of_versions_before_have_no_checksum(finished: Path, copy: Path) -> None:
    path = run_of(copy) / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(len(line.pop("check")) == 8 for line in lines)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert RunFolder(path.parent).records() == lines
    pd.testing.assert_frame_equal(collect(copy), collect(finished))


def test_a_cost_that_changed_on_disk_is_left_out(copy: Path) -> None:
    path = run_of(copy) / "config.json"
    flops = json.loads(path.read_text())["derived"]["flops"]
    replaced(path, f'"flops": {flops}', f'"flops": {flops + 1}')
    with pytest.warns(UserWarning, match="The cost of the run in .* is damaged and left out"):
        table = collect(copy)
    assert table.loc[table["run"] == path.parent.name, "flops"].isna().all()
    assert len(table) == 2


def test_a_plan_that_changed_on_disk(copy: Path) -> None:
    replaced(copy / "plan.json", '"lr": 0.1', '"lr": 0.2')
    with pytest.raises(
        ValueError, match="run [0-9a-f]{16} was changed; where it was damaged, remove"
    ):
        read_plan(copy / "plan.json")
    replaced(copy / "plan.json", '"graphs"', '"grapes"')
    with pytest.raises(ValueError, match="it lists no graphs"):
        relmp.parse_graph("k=4", folder=copy)


def test_a_topology_that_changed_on_disk(copy: Path) -> None:
    run = run_of(copy)
    read_topology(run)
    replaced(run / "topology.jsonl", '"rewiring": 0', '"rewiring": 3')
    with pytest.raises(ValueError, match="Line 1 of .* remove that file to go on"):
        read_topology(run)


def test_settings_of_a_sweep_that_changed_on_disk(copy: Path) -> None:
    replaced(copy / "sweep.json", '"training.lr": 0.1', '"training.lr": 0.3')
    with pytest.raises(ValueError, match="'sweep.json' was changed after it was written"):
        relmp.sweep.store.different_settings(copy, copy)


def test_a_claim_on_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: Any, **__: Any) -> None:
        path.touch()
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"), claim.claimed(tmp_path):
        pass
    assert {path.name for path in tmp_path.iterdir()} <= {claim.LOCK}
