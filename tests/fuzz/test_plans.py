"""Plan files: the runs that the same options give on the command line, or one sentence; axes are
the products of their values, and shards deal a plan out."""

from __future__ import annotations

import contextlib
import itertools
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from relmp.cli import Sweep, main
from relmp.sweep.runner import parse_shard
from relmp.sweep.saved import read_plan, write_plan
from tests.fuzz.how import changed_text, damage, fuzzed, refused_in_a_sentence
from tests.fuzz.test_command_lines import ODD, check

GRAPHS = ["ws_flex(n=8,k=3,p=.1,seed=1)", "star(n=8)", "complete(n=8)", "path(n=8)"]
OPTIONS: dict[str, list[Any]] = {
    "lr": [0.1, 1, 0.03, 1e-3], "epochs": [1, 3], "batch_size": [16, 32], "train_size": [40, 0.5],
    "weight_decay": [0, 0.0, 1e-4], "momentum": [0.9, 0], "validation": [0.2],
    "message": ["linear", "gated", "scored(keep=0.5)"], "aggr": ["sum", "max"],
    "rewiring": ["set(every=2)"], "augment": [False, True], "init": ["paper", "degree"],
    "held_out": [0.2], "optimizer": ["sgd", "adam", "adamw"], "warmup_epochs": [0, 1],
    "label_smoothing": [0, 0.1], "width": [16, 24], "clip_norm": [1, 0.5],
}  # fmt: skip
OPTIONS = {
    name: values for name, values in OPTIONS.items() if name in {f.name for f in fields(Sweep)}
}
AXES: dict[str, list[Any]] = {
    "training.lr": [0.1, 0.3, 1], "training.epochs": [1, 2], "model.aggr": ["sum", "max"],
    "training.weight_decay": [0, 1e-4], "model.init": ["paper", "degree"],
}  # fmt: skip


@st.composite
def plans(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    names = draw(st.lists(st.sampled_from(sorted(OPTIONS)), unique=True, max_size=4))
    given = {name: draw(st.sampled_from(OPTIONS[name])) for name in names}
    given |= {"graphs": draw(st.lists(st.sampled_from(GRAPHS), min_size=1, max_size=2)),
              "seeds": draw(st.integers(1, 2)), "data": "digits"}  # fmt: skip
    axes = {
        name: draw(st.lists(st.sampled_from(AXES[name]), min_size=1, max_size=2, unique=True))
        for name in draw(st.lists(st.sampled_from(sorted(AXES)), unique=True, max_size=2))
    }
    taken = {f"{part}.{name}" for part in ("training", "model") for name in given}
    return given, {name: values for name, values in axes.items() if name not in taken}


def written(given: dict[str, Any], axes: dict[str, list[Any]]) -> str:
    """As TOML: texts, numbers, lists and flags are written as in JSON."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in given.items()]
    lines += ["[axes]", *(f'"{name}" = {json.dumps(values)}' for name, values in axes.items())]
    return "\n".join(lines) + "\n"


def keys_of(path: Path) -> list[str]:
    return [run.key for run in Sweep(plan=str(path)).filled().runs()]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plans")


def on_the_command_line(given: dict[str, Any], folder: Path, capsys: Any) -> list[str]:
    """The runs of the same options as words, without axes, from the plan that is kept."""
    words: list[str] = []
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(option if value else option.replace("--", "--no-"))
        else:
            words += [option, *map(str, value if isinstance(value, list) else [value])]
    kept: list[list[str]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sweep, "_say", lambda self, runs: kept.append([run.key for run in runs]))
        with contextlib.redirect_stdout(None):
            main(["sweep", "--dry-run", "--out", str(folder / "o"), *words])
    return kept[0]


@fuzzed(40, plans())
def test_a_file_says_what_a_command_line_says(
    place: Path, capsys: Any, plan: tuple[dict[str, Any], dict[str, list[Any]]]
) -> None:
    given, axes = plan
    path, found = place / "plan.toml", None
    path.write_text(written(given, axes))
    with refused_in_a_sentence():
        found = keys_of(path)
    if found is None:
        return
    assert len(set(found)) == len(found)
    path.write_text(written(given, {}))
    plain = keys_of(path)
    assert plain == on_the_command_line(given, place, capsys)
    if not axes:
        assert found == plain
        return
    one_by_one = []
    for values in itertools.product(*axes.values()):
        path.write_text(written(given, {n: [v] for n, v in zip(axes, values, strict=True)}))
        one_by_one += keys_of(path)
    assert sorted(found) == sorted(one_by_one)
    singles = {name.partition(".")[2]: values for name, values in axes.items()}
    for values in itertools.product(*singles.values()):
        path.write_text(written(given | dict(zip(singles, values, strict=True)), {}))
        assert set(keys_of(path)) <= set(found), "an axis gives another run than the option"


@fuzzed(30, plans(), st.integers(1, 9))
def test_shards(place: Path, plan: tuple[dict[str, Any], dict[str, list[Any]]], parts: int) -> None:
    path = place / "plan.toml"
    path.write_text(written(*plan))
    with refused_in_a_sentence():
        runs = Sweep(plan=str(path)).filled().runs()
        dealt = [runs[parse_shard(f"{part}/{parts}")] for part in range(1, parts + 1)]
        assert sorted(r.key for some in dealt for r in some) == sorted(r.key for r in runs)
        sizes = [len(some) for some in dealt]
        assert max(sizes) - min(sizes) <= 1
        write_plan(place / "plan.json", runs)
        assert read_plan(place / "plan.json") == runs


TEXTS = [
    'graphs = ["complete(n=8)"]\nseeds = 1\nwidth = 16\n[axes]\n"training.lr" = [0.1, 0.3]\n',
    "nodes = 16\nsize = 2\nseeds = 1\nwidth = 16\n[loop]\nevaluate_every = 2\n",
    'graphs = ["star(n=8)"]\nshard = "1/2"\nrewiring = "set(every=1)"\nwidth = 16\nseeds = 1\n',
]


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    text = draw(changed_text(st.sampled_from(TEXTS)))
    if draw(st.booleans()):
        name = draw(st.sampled_from([f.name for f in fields(Sweep)] + ["axes", "loop", "x"]))
        value = draw(st.sampled_from([*map(json.dumps, ODD), "1", "[]", "{}", "1979-05-27", "nan",
                                      "[[1]]", "{a = 1}", "[1, 'a']"]))  # fmt: skip
        text = f"{name} = {value}\n{text}"
    content = text.encode("utf-8", "surrogatepass")
    return draw(damage())(content) if draw(st.integers(0, 3)) == 0 else content


@fuzzed(80, texts())
def test_any_plan_file(place: Path, content: bytes) -> None:
    (place / "any.toml").write_bytes(content)
    if any(word in content for word in (b"99", b"ray", b"download", b"e308", b"1e309")):
        return
    with contextlib.chdir(place):
        check(["sweep", "--plan", "any.toml", "--dry-run", "--out", "o", "--device", "cpu"])
