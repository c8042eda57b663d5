"""The command line: what it prints, where it writes, and how it fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import relmp
from relmp.cli import Sweep, main, run_recipe

GRAPH = "ws_flex(n=16, k=4, p=0.3, seed=1)"
SMALL = ["--width", "32", "--epochs", "2", "--train-size", "200"]
ROOT = Path(__file__).parents[2]


def failing(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence that a command fails with."""
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    assert exit_info.value.code == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("relmp: ")
    assert error.endswith((".", "?"))
    return error


def test_train_then_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    main(["train", GRAPH, "--out", out, *SMALL])
    printed = capsys.readouterr().out
    run = relmp.load_run(out)
    assert f"{relmp.count_flops(run.model, (64,)):,} FLOPs" in printed
    assert f"test error {run.history['test_error'].iloc[-1]:.2f} %" in printed
    assert run.model.config.graph.name == GRAPH


def test_train_without_a_graph(tmp_path: Path) -> None:
    main(["train", "none", "--out", str(tmp_path / "run"), *SMALL])
    assert relmp.load_run(tmp_path / "run").model.config.graph is None


@pytest.mark.slow
def test_sweep_prints_and_writes_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["sweep", "--out", str(tmp_path), "--nodes", "16", "--size", "48", *SMALL]
    main([*arguments, "--seeds", "2", "--workers", "1", "--epochs", "1"])
    printed = capsys.readouterr().out
    assert "48 graphs and 2 seeds" in printed
    assert "Complete graph: error" in printed
    for name in ("results.csv", "results.parquet", "sweet_spot.png", "summary.txt"):
        assert (tmp_path / name).stat().st_size > 0
    assert len(relmp.collect(tmp_path)) == 49 * 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "ws_flx(n=16)", "--out", "o"], "Unknown graph generator 'ws_flx'"),
        (["train", "ws_flex(n=16, k=4)", "--out", "o"], "missing a required argument: 'p'"),
        (["train", "ws_flex(n=16, k=-4, p=0.1)", "--out", "o"], "k must lie between 2 and 16"),
        (["train", "ws_flex(n=16, k=4, p=float('nan'))", "--out", "o"], "is no graph"),
        (["train", "complete(n=0)", "--out", "o"], "n must be a whole number of nodes"),
        (["train", "__import__('os')", "--out", "o"], "is no graph"),
        (
            ["train", "complete(n=64)", "--out", "o", "--width", "32"],
            "32 channels cannot be shared",
        ),
        (["train", GRAPH, "--out", "o", "--model", "mpl"], "Unknown model 'mpl'; choose one of"),
        (
            ["train", GRAPH, "--out", "o", "--aggr", "sun"],
            "Unknown aggregation 'sun'; choose one of",
        ),
        (["train", GRAPH, "--out", "o", "--execution", "x"], "Unknown execution 'x'; choose one"),
        (["train", GRAPH, "--out", "o", "--data", "mnits"], "Unknown data set 'mnits'; choose"),
        (["train", GRAPH, "--out", "o", "--data", "cifar10"], "files of CIFAR10 are not in 'data'"),
        (["train", GRAPH, "--out", "o", "--lr", "nan"], "lr must be a number of at least 0"),
        (["train", GRAPH, "--out", "o", "--message", "a:b"], "Cannot import 'a:b'"),
        (["sweep", "--out", "o", "--nodes", "2"], "needs at least 7 nodes"),
        (["sweep", "--out", "o", "--seeds", "0"], "at least one seed"),
        (["sweep", "--out", "o", "--aggr", "mxa"], "Did you mean 'max'?"),
        (["sweep", "--out", "o", "--data", "folder", "--data-folder", "x"], "no folder of images"),
    ],
)
def test_mistakes_are_one_sentence_and_nothing_is_written(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence in failing(arguments, capsys)
    assert list(tmp_path.iterdir()) == []


def test_output_folders_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    main(["train", GRAPH, "--out", str(out), *SMALL])
    state = {p: p.read_bytes() for p in out.iterdir()}
    error = failing(["train", GRAPH, "--out", str(out), *SMALL, "--lr", "0.2"], capsys)
    assert "training.lr: 0.1 there, 0.2 here" in error
    assert {p: p.read_bytes() for p in out.iterdir()} == state
    blocked = tmp_path / "file"
    blocked.write_text("mine")
    assert "file" in failing(["train", GRAPH, "--out", str(blocked), *SMALL], capsys)
    assert "file" in failing(["sweep", "--out", str(blocked), "--width", "64"], capsys)
    assert blocked.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a full file system needs root")
def test_full_and_read_only_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(small)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        arguments = ["train", GRAPH, "--out", str(small / "run"), *SMALL]
        assert "no space left on device" in failing(arguments, capsys)
        assert not list(small.rglob("*.part"))
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        arguments = ["train", GRAPH, "--out", str(small / "other"), *SMALL]
        assert "read-only file system" in failing(arguments, capsys)
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)


def test_python_m_relmp_and_plain_progress(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "relmp", "train", GRAPH, "--out", str(tmp_path), *SMALL]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "After 2 epochs" in result.stdout
    assert result.stderr.startswith("epochs: 2 of 2")
    assert "\x1b" not in result.stdout + result.stderr


def test_recipes_take_quick_and_their_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "quick"
    quick = Sweep(out=str(out), nodes=16, size=48, width=32, train_size=64, epochs=1, seeds=1)
    monkeypatch.setattr(sys, "argv", ["recipe.py", "--quick", "--workers", "1", "--aggr", "mean"])
    run_recipe(Sweep(out="never"), quick=quick)
    assert "48 graphs and 1 seed" in capsys.readouterr().out
    assert relmp.load_run(next(out.glob("*/config.json")).parent).config.model.options["aggr"] == (
        "mean"
    )


@pytest.mark.slow
@pytest.mark.parametrize("recipe", sorted((ROOT / "experiments" / "recipes").glob("*.py")), ids=str)
def test_every_recipe_explains_itself(recipe: Path) -> None:
    command = [sys.executable, str(recipe), "--help"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "--quick" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", ["cnn", "resnet34", "resnet34_sep", "resnet50", "efficientnet_b0"]
)
def test_imagenet_recipes_run_on_noise(model: str, tmp_path: Path) -> None:
    recipe = ROOT / "experiments" / "recipes" / f"{model}_imagenet.py"
    command = [sys.executable, str(recipe), "--quick", "--out", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert len(relmp.collect(tmp_path)) == 3


def test_an_installed_command_finds_a_message_in_the_working_folder(tmp_path: Path) -> None:
    """And nothing there takes the place of a library."""
    (tmp_path / "mine.py").write_text(
        "import relmp\nclass Mine(relmp.LinearMessage):\n"
        "    def forward(self, x_i, x_j):\n        return super().forward(x_i, x_j)\n"
    )
    (tmp_path / "numpy.py").write_text("raise RuntimeError('imported')")
    command = [sys.executable, "-P", "-m", "relmp", "train", GRAPH, "--out", "o", *SMALL]
    result = subprocess.run(
        [*command, "--message", "mine:Mine"], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "After 2 epochs" in result.stdout


def test_a_run_without_a_graph_can_be_analysed_with_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, graph in (("a", "none"), ("b", "complete(n=16)"), ("c", GRAPH)):
        main(["train", graph, "--out", str(tmp_path / "runs" / name), *SMALL])
    main(["analyse", str(tmp_path / "runs"), "--error", "train_error"])
    assert "no finite clustering" in capsys.readouterr().out
    assert "none" in (tmp_path / "runs" / "results.csv").read_text()
    alone = tmp_path / "alone"
    main(["train", "none", "--out", str(alone / "a"), *SMALL])
    assert "No run has a finite" in failing(["analyse", str(alone)], capsys)
