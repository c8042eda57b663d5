"""Any command line ends with 0, or with 2 and one sentence: never with a traceback.

The options are those that the commands declare, so that a new one is tried as well.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
import typing
import warnings
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

import relmp
from relmp.cli import Command, main
from relmp.graphs import create_graph
from tests.fuzz.how import changed_text, fuzzed, is_sentence
from tests.training.pictures import write_pictures

GRAPH = create_graph("ws_flex", n=8, k=3, p=0.2, seed=1)
NAMES = ["run", "sweep", "pictures", "g.csv", "g.npy", "g.graphml", "plan.toml", "plan.py", "a.png"]
GRAPHS = [
    "complete(n=4)", "ws_flex(n=8,k=3,p=.1,seed=1)", "star(n=5)", "none", "g.csv", "g.npy", "cat",
    "path(n=3)", "complete(n=0)", "complete(n=1000000)", "ring_lattice", GRAPH.key,
    "complete@sweep",
    f"{GRAPH.key}@run", "k=3@sweep", "sweep", "run", "plan.toml", "erdos_renyi(n=6,p=2)",
]  # fmt: skip
ODD = [
    "", " ", "-1", "0", "1", "2", "3", "0.5", "-0.0", "1e309", "nan", "inf", "-inf", "1e-300",
    "1_0",
    "99999999999999999999", "0x10", "None", "True", "false", "[1, 2]", "{}", "a b", "é", "a\nb",
    "\udcff", "\x00", "../x", "/proc/none", "/dev/null", "a" * 300, "-", "--", "-x", "--help", "=",
    "clustering", "path_length", "test_error", "train_error", "seed", "graph", "epoch", "run=1",
    "model.graph", "training.lr", "seed=0", "epoch=1", "os:system", "json:loads", "builtins:int",
    "torch.nn:Linear", "torch.nn:ReLU", "none.such:Name", ":", "a:", ":a", "a:b:c",
]  # fmt: skip
WHOLE = ["-1", "0", "1", "2", "8", "1.5", "nan", "a", ""]
OF_OPTION: dict[str, list[str]] = {
    "graph": GRAPHS, "graphs": GRAPHS, "landmarks": GRAPHS, "name": GRAPHS, "names": GRAPHS,
    "folder": NAMES, "source": [*NAMES, "published"], "plan": [*NAMES, "sweep/plan.json"],
    "images": NAMES, "init_from": [*NAMES, "@", "a@b", f"{'0' * 16}@run"], "out": ["o", "sweep",
    "run",
    "a.png", "o.png", "o.csv", "o/p/q", "o.parquet", "o.npy", "g.csv"], "root": NAMES,
    "data_folder": NAMES, "csv": ["o.csv", *NAMES],
    "model": ["mlp", "small_cnn", "resnet", "torchvision:none", "timm:none", "torch.nn:Linear",
              "json:loads", "torch.nn:ReLU", "builtins:int", "none.such:Name", "os:system"],
    "data": ["digits", "mnist1d", "folder", "mnist", "cifar10", "json:loads", "builtins:int",
             "builtins:dict", "none.such:Name", "sweep"],
    "message": ["linear", "gated", "low_rank(rank=2)", "low_rank(rank=0)",
    "low_rank(rank=2,rank=3)",
                "mlp(hidden=None)", "attention(heads=2)", "scalar", "shared",
                "low_rank(**{'rank':1})",
                "frozen", "edge_attr", "class_shared", "basis(bases=2)", "conv2d",
                "low_rank(rank='a')",
                "linear(1)", "scored(keep=0.3)"],
    "aggr": ["sum", "max", "softmax(learn=True)", "softmax(t='a')", "median", "powermean(p=0)",
             "['sum', 'max']", "std", "multi", "degree_scaler", "lstm", "quantile(q=2)", "none"],
    "execution": ["auto", "message_passing", "dense", "gathered", "cpu_kernel", "gpu_kernel"],
    "rewiring": ["rigl", "rigl(every=1)", "set(every=0)", "static", "rigl(fraction=2)",
    "rigl(every='a')",
                 "set(granularity='weight',density=0.5)", "rigl(density=[1])", "rigl(dense=3)",
                 "set(granularity='weight',density={'a': 1})", "rigl(every=1,every=2)",
                 "set(new=[])"],
    "device": ["cpu", "cuda", "meta", "cuda:9", "mps", "cpu:7", "vulkan", "cpu:-1"],
    "track": ["tensorboard", "json:loads", "os:system", "builtins:int", "none.such:Name"],
    "shard": ["1/1", "1/2", "0/2", "3/2", "a/b", "1/", "/", "-1/2", "1/99999999999", "٣/٣"],
    "epochs": ["1", "0", "-1", "1.5", "a"], "width": ["16", "9", "8", "7", "0", "-1", "a",
    "1048577"],
    "workers": ["0", "-1", "-5", "a", "1.5"], "seeds": ["1", "0", "-1", "a"], "size": ["2", "0",
    "-1"],
    "nodes": ["8", "16", "0", "-1", "2"], "n": ["4", "5", "1", "0", "-1"], "retries": ["0", "1",
    "-1"],
    "batch_size": WHOLE, "train_size": ["40", "0.1", "0", "1", "-1", "1e9", "nan", "inf"],
    "validation": ["0.2", "1", "0.999", "1e-9", "nan"], "image_size": ["8", "0", "-1", "1"],
    "repeats": ["0", "-1"], "threads": ["1", "0", "-1", "99999999999999999999"],
    "engine": ["local"], "to": ["torchvision", "a"], "measures": ["clustering", "path_length",
    "density",
    "a", "", "num_nodes", "spectral_gap"], "views": ["circular", "spring", "matrix", "plane", "a"],
    "lr": ["0.1", "0", "-1", "nan", "inf", "1e308", "a"], "held_out": ["0.2", "0", "0.99", "1",
    "nan"],
    "steps": ["0.5", "0", "1", "nan"], "clip_norm": ["1", "0", "inf", "nan"], "shapes": ["none"],
}  # fmt: skip
NEVER = {"download", "all", "compile", "literal", "tune", "open"}
"""Flags that go to the network, open a browser, or take a minute."""
ALWAYS = {
    "train": "--out o,--epochs 1,--train-size 40,--width 16,--batch-size 16",
    "sweep": "--out o,--epochs 1,--train-size 40,--width 16,--seeds 1,--batch-size 16,--workers 0,"
             "--nodes 16,--size 2",
    "export": "--to torchvision", "graphs sweep": "--n 4,--seeds 1", "graphs find": "--n 6",
    "playground": "--no-open", "bench rounds": "--quick,--shapes none,--repeats 0",
    "bench model": "--model mlp,--graph complete(n=4),--image-size 8,--batch-size 2,--repeats 0",
    "bench design-space": "--nodes 16,--size 2", "runs retry": "--workers 0",
    "graphs trained": "--epochs 1",
}  # fmt: skip
"""What keeps a command to a moment, unless the same option is drawn."""
POSITIONAL = {
    "train": ["graph"], "predict": ["folder", "images"], "export": ["folder"],
    "analyse": ["source"],
    "runs status": ["folder"], "runs retry": ["folder"], "runs clean": ["folder"],
    "graphs show": ["name"], "graphs draw": ["name"], "graphs measure": ["names"],
    "playground": ["graphs"],
}  # fmt: skip


def commands(union: Any = Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, type]]:
    """Every command by its words, and the class of its options."""
    for member in typing.get_args(union):
        cls, about = typing.get_args(member)[:2]
        here = (*words, about.name)
        if is_dataclass(cls):
            yield " ".join(here), typing.cast(type, cls)
        else:
            yield from commands(cls, here)


COMMANDS = dict(commands())


def options(cls: Any, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """The names of a command's options, and whether each is a flag."""
    for item in fields(cls):
        if item.name in NEVER or item.name in ("axes",):
            continue
        if item.name == "loop":
            yield from options(relmp.LoopOptions, "loop.")
        else:
            yield f"{prefix}{item.name}", isinstance(item.default, bool)


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command with arguments that are mostly possible, or any words at all."""
    words = draw(st.sampled_from(sorted(COMMANDS)))
    given: dict[str, list[str]] = {}
    known = list(options(COMMANDS[words]))
    for name, is_flag in draw(
        st.lists(st.sampled_from(known), max_size=4) if known else st.just([])
    ):
        short = name.rpartition(".")[2]
        if short in POSITIONAL.get(words, []):
            continue
        option = f"--{name.replace('_', '-')}"
        if is_flag:
            given[draw(st.sampled_from([option, option.replace("--", "--no-")]))] = []
            continue
        usual = OF_OPTION.get(short, [])
        values = st.sampled_from(usual * 3 + ODD if short not in TAME else usual)
        count = draw(st.sampled_from([1, 1, 1, 2] if short not in TAME else [1]))
        given[option] = [draw(values) for _ in range(count)]
    arguments = words.split()
    for name in POSITIONAL.get(words, []):
        usual = st.sampled_from(OF_OPTION[name])
        value = usual | changed_text(usual) | st.sampled_from(ODD)
        arguments += draw(st.lists(value, min_size=draw(st.sampled_from([1, 1, 1, 0])), max_size=2))
    for usual in filter(None, ALWAYS.get(words, "").split(",")):
        if usual.split()[0] not in given:
            arguments += usual.split()
    for option, values in given.items():
        arguments += [option, *values]
    if draw(st.integers(0, 19)) == 0:
        arguments.insert(draw(st.integers(0, len(arguments))), draw(st.sampled_from(ODD)))
    return arguments


TAME = {"epochs", "width", "workers", "seeds", "size", "nodes", "n", "image_size", "repeats",
"model",
        "data", "to", "engine", "retries", "shapes"}  # fmt: skip
"""Options whose value decides how long a command takes."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bit of everything in it."""
    folder = tmp_path_factory.mktemp("stage")
    model = relmp.create_model("mlp", graph=GRAPH, in_features=64, width=16)
    relmp.train(model, out=folder / "run", epochs=1, train_size=40, batch_size=16)
    relmp.run_sweep(
        graphs=[GRAPH], seeds=1, out=folder / "sweep", epochs=1, train_size=40, width=16,
        batch_size=16, workers=0, show_progress=False,
    )  # fmt: skip
    write_pictures(folder / "pictures", 6)
    (folder / "a.png").write_bytes(next((folder / "pictures").rglob("*.png")).read_bytes())
    for name in ("g.csv", "g.npy", "g.graphml"):
        relmp.save_graph(GRAPH, folder / name)
    (folder / "plan.toml").write_text(
        'graphs = ["complete(n=8)"]\nseeds = 1\nepochs = 1\nwidth = 16\ntrain_size = 40\n'
        'batch_size = 16\nworkers = 0\n[axes]\n"training.lr" = [0.1]\n'
    )
    (folder / "plan.py").write_text("plan = []\n")
    return folder


@pytest.fixture(scope="module")
def place(stage: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the commands are given; only what they find there can come from the folder."""
    patch, folder = pytest.MonkeyPatch(), tmp_path_factory.mktemp("place")
    patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    patch.setattr("webbrowser.open", lambda *_: True)
    patch.setattr(sys, "path", list(sys.path))
    with contextlib.chdir(folder):
        yield folder
    patch.undo()


def run(arguments: list[str]) -> tuple[int, str]:
    """Exit code and what stands on the error stream."""
    errors = io.StringIO()
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(errors),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            main(arguments)
        except SystemExit as end:
            return int(end.code or 0), errors.getvalue()
    return 0, errors.getvalue()


def fresh(stage: Path, place: Path) -> Path:
    here = place / "here"
    shutil.rmtree(here, ignore_errors=True)
    shutil.copytree(stage, here)
    return here


def check(arguments: list[str]) -> None:
    code, errors = run(arguments)
    assert "Traceback" not in errors
    if code == 0:
        return
    assert code == 2, f"exit code {code}: {errors}"
    said = [line for line in errors.split("\n") if line.startswith("relmp: ")]
    if said:
        (line,) = said
        assert is_sentence(line), line
        assert errors.split("\n")[-2] == line, f"more than a sentence: {errors}"
    else:  # what is no option is said by the parser, in a box of its own
        assert "Run relmp" in errors or "--help" in errors, errors


@fuzzed(250, command_lines())
def test_any_command_line(stage: Path, place: Path, arguments: list[str]) -> None:
    with contextlib.chdir(fresh(stage, place)):
        check(arguments)
