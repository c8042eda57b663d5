"""relmp graphs: what the subcommands print and write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tyro

import relmp
from relmp.cli.graphs import GraphsCommand
from relmp.graphs import create_graph, load_graph, parse_graph, save_graph
from relmp.graphs.generators.gallery import EXAMPLES


def relmp_graphs(*arguments: object) -> None:
    tyro.cli(GraphsCommand, args=[str(argument) for argument in arguments]).run()


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("RELMP_CACHE", str(tmp_path / "cache"))


def test_list(capsys):
    relmp_graphs("list")
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("ws_flex", "macaque_whole", "curvature", "3942"))


def test_show_a_generator_a_connectome_and_a_graph(capsys, shared_data):
    relmp_graphs("show", "hypercube")
    assert "power of two" in capsys.readouterr().out
    relmp_graphs("show", "cat", "--root", shared_data / "connectomes")
    printed = capsys.readouterr().out
    assert "Scannell" in printed
    assert "0.6663" in printed
    relmp_graphs("show", "ws_flex(n=16, k=4, p=0.5, seed=1)")
    assert "clustering" in capsys.readouterr().out


def test_draw(capsys):
    relmp_graphs("draw", "cycle(n=12)", "--out", "ring.svg", "--views", "circular", "matrix")
    assert "ring.svg" in capsys.readouterr().out
    assert Path("ring.svg").stat().st_size > 1000


@pytest.mark.slow
def test_draw_all_makes_the_gallery():
    relmp_graphs("draw", "--all", "--out", "gallery.png")
    assert Path("gallery.png").stat().st_size > 100_000
    assert len(EXAMPLES) >= 20


def test_measure_files(capsys):
    save_graph(create_graph("cycle", n=8), "ring.npy")
    relmp_graphs("measure", "ring.npy", "star(n=8)", "--measures", "diameter", "--out", "m.csv")
    assert "diameter" in capsys.readouterr().out
    assert pd.read_csv("m.csv")["diameter"].tolist() == [4, 2]


def test_sweep(capsys):
    relmp_graphs("sweep", "--n", 16, "--seeds", 1, "--out", "space.parquet")
    assert "60000 graphs of 16 nodes" in capsys.readouterr().out
    assert len(pd.read_parquet("space.parquet")) == 60_000


def test_find(capsys):
    relmp_graphs("find", "--n", 32, "--clustering", 0.4, "--path-length", 2, "--out", "found.npy")
    assert "C = " in capsys.readouterr().out
    assert abs(load_graph("found.npy").clustering - 0.4) <= 0.01


def test_a_graph_can_be_named_in_four_ways(shared_data):
    assert parse_graph("cycle(n=5)") == create_graph("cycle", n=5)
    assert parse_graph("ws_flex(n=16, k=4.5, p=1e-1, seed=3)").num_edges == 16 + 72
    assert parse_graph("star") == create_graph("star", **EXAMPLES["star"])
    assert parse_graph("cat", root=shared_data / "connectomes").num_nodes == 52
    np.save("ring.npy", np.eye(3)[[1, 2, 0]])
    assert parse_graph("ring.npy").is_directed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "nothing"], "no file, connectome or generator"),
        (["show", "nothing.npy"], "no file"),
        (["show", "cycle(5)"], "is no graph"),
        (["show", "cycle(n=print(1))"], "is no graph"),
        (["show", "hypercube(n=60)"], "nearest that fits"),
        (["draw"], "name of a graph to draw, or --all"),
        (["draw", "star", "--all"], "name of a graph to draw, or --all"),
        (["draw", "star", "--out", "a.gif"], "written to .png"),
        (["draw", "star", "--out", "no/a.png"], "no folder"),
        (["draw", "star", "--views", "round"], "Unknown view"),
        (["measure", "star", "--measures", "size"], "Unknown graph measure"),
        (["sweep", "--n", "16", "--out", "a.txt"], "written to .parquet"),
        (["sweep", "--n", "3"], "at least 7"),
        (["find", "--n", "32"], "needs clustering"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        relmp_graphs(*arguments)


def test_trained_weights_as_graphs(tmp_path, capsys):
    model = relmp.create_model("mlp", in_features=64, width=32)
    relmp.train(model, "digits", epochs=1, out=tmp_path / "run")
    relmp_graphs("trained", tmp_path / "run", "--nodes", "16", "--out", tmp_path / "t.csv")
    assert "C shuffled" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "t.csv")
    assert set(table["weight"]) == {f"rounds.{i}.0.weight" for i in range(3)} | {"stem.0.weight"}
    with pytest.raises(ValueError, match="has 64 channels on both sides"):
        relmp_graphs("trained", tmp_path / "run")
