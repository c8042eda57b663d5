"""Damaged folders: right values or one sentence, never a silent wrong value, never a lost record.

Of a finished sweep of rewired runs bytes are flipped, cut off, left out, put in. What a table then
says is what it said before, row by row; a row that is missing was named.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import strategies as st

import relmp
from relmp.graphs import create_graph
from relmp.models.compressed.file import MAGIC
from relmp.sweep import collect
from relmp.sweep.saved import read_plan
from relmp.training.folder import RunFolder
from tests.fuzz.how import damage, fuzzed, refused_in_a_sentence
from tests.training.pictures import write_pictures

GRAPHS = [create_graph("ws_flex", n=8, k=k, p=0.2, seed=1) for k in (2, 5)]
SETTINGS: dict[str, Any] = {
    "data": "digits", "epochs": 2, "train_size": 60, "batch_size": 30, "width": 16, "seeds": 1,
    "workers": 0, "show_progress": False, "rewiring": "set(every=1)",
}  # fmt: skip
RUN_FILES = ["config.json", "metrics.jsonl", "checkpoint.pt", "topology.jsonl"]
SWEEP_FILES = ["plan.json", "sweep.json"]


def sweep(out: Path) -> pd.DataFrame:
    return relmp.run_sweep("mlp", graphs=GRAPHS, out=out, **SETTINGS)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    sweep(folder)
    return folder


@pytest.fixture(scope="module")
def right(finished: Path) -> dict[str, pd.DataFrame]:
    """What an undisturbed folder says."""
    return {how: known(collect(finished, epochs=how)) for how in ("last", "all")}  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


def known(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="seconds").set_index(["run", "epoch"])


def copied(finished: Path, place: Path) -> Path:
    folder = place / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    return Path(shutil.copytree(finished, folder))


def hurt(folder: Path, name: str, number: int, damaged: Callable[[bytes], bytes]) -> Path:
    """Damage one file of the sweep, or of one of its runs; which."""
    runs = sorted(path.parent for path in folder.glob("*/config.json"))
    path = (folder if name in SWEEP_FILES else runs[number % len(runs)]) / name
    path.write_bytes(damaged(path.read_bytes()))
    return path


COST = ["flops", "parameters"]


def same_rows(found: pd.DataFrame, right: pd.DataFrame, said: list[str]) -> int:
    """See that every row is as it was, but for a cost that was said to be left out; how many are
    missing."""
    table = known(found)
    assert not table.index.duplicated().any(), "a run is there twice"
    strange = table.index.difference(right.index)
    assert not len(strange), f"rows that there were not: {list(strange)}"
    wanted = right.loc[table.index, [c for c in right.columns if c in table.columns]]
    left_out = table[COST].isna().any(axis=None)
    assert not left_out or any("cost" in sentence for sentence in said)
    chosen = [c for c in wanted.columns if not left_out or c not in COST]
    wanted = wanted[chosen]
    pd.testing.assert_frame_equal(table[wanted.columns], wanted, check_dtype=False, rtol=0, atol=0)
    return len(right) - len(table)


def said_while(work: Callable[[], Any]) -> tuple[Any, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = None
        with refused_in_a_sentence() as refused:
            found = work()
    return found, [*refused, *(str(w.message) for w in caught)]


FILES = st.sampled_from([*RUN_FILES, *RUN_FILES, *SWEEP_FILES])


@fuzzed(200, FILES, st.integers(0, 2), damage(), st.sampled_from(["last", "all"]))
def test_collecting(
    finished: Path, place: Path, right: dict[str, pd.DataFrame], name: str, number: int,
    damaged: Callable[[bytes], bytes], epochs: Any,
) -> None:  # fmt: skip
    folder = copied(finished, place)
    hurt(folder, name, number, damaged)
    table, said = said_while(lambda: collect(folder, epochs=epochs))
    missing = len(right[epochs]) if table is None else same_rows(table, right[epochs], said)
    assert not missing or said, f"{missing} rows are missing, and nothing was said"


@fuzzed(10, FILES, st.integers(0, 2), damage())
def test_going_on(
    finished: Path, place: Path, right: dict[str, pd.DataFrame], name: str, number: int,
    damaged: Callable[[bytes], bytes],
) -> None:  # fmt: skip
    folder = copied(finished, place)
    path = hurt(folder, name, number, damaged)
    table, said = said_while(lambda: sweep(folder))
    if table is None:
        assert said
        return
    missing = same_rows(table, right["last"], said)
    assert not missing or said, f"{missing} rows are missing, and nothing was said"
    others = [run for run in right["last"].index.get_level_values(0) if run != path.parent.name]
    assert set(others) <= set(table["run"]), "a run is lost whose files were whole"


@fuzzed(120, st.sampled_from(RUN_FILES), damage())
def test_loading(finished: Path, place: Path, name: str, damaged: Callable[[bytes], bytes]) -> None:
    folder = copied(finished, place)
    path = hurt(folder, name, 1, damaged)
    images = torch.arange(3 * 64).view(3, 1, 8, 8) % 17
    whole = relmp.load_run(finished / path.parent.name, device="cpu")
    run, said = said_while(lambda: relmp.load_run(path.parent, device="cpu"))
    if run is None:
        return
    before = torch.load(finished / path.parent.name / "checkpoint.previous.pt", weights_only=True)
    assert run.config == whole.config
    if len(run.history) == len(before["records"]) < len(whole.history):
        assert said, "an older checkpoint was taken, and nothing was said"
        return
    assert torch.equal(run.scores(images), whole.scores(images))
    pd.testing.assert_frame_equal(run.history, whole.history)


@fuzzed(60, FILES, st.integers(0, 2), damage())
def test_analysing(
    finished: Path, place: Path, name: str, number: int, damaged: Callable[[bytes], bytes]
) -> None:
    folder = copied(finished, place)
    hurt(folder, name, number, damaged)
    said_while(lambda: relmp.analyse(folder, folder))


@fuzzed(200, damage())
def test_plans(finished: Path, place: Path, damaged: Callable[[bytes], bytes]) -> None:
    whole = {run.key for run in read_plan(finished / "plan.json")}
    path = place / "plan.json"
    path.write_bytes(damaged((finished / "plan.json").read_bytes()))
    plan, said = said_while(lambda: read_plan(path))
    assert said or {run.key for run in plan} == whole, "another plan, and nothing was said"


@fuzzed(100, st.sampled_from(["results.parquet", "results.csv"]), damage())
def test_tables(finished: Path, place: Path, name: str, damaged: Callable[[bytes], bytes]) -> None:
    """A table that was written is analysed, or refused in a sentence."""
    path = place / name
    table = collect(finished)
    (table.to_parquet if name.endswith("parquet") else table.to_csv)(path)
    path.write_bytes(damaged(path.read_bytes()))
    read = pd.read_parquet if name.endswith("parquet") else pd.read_csv
    try:
        hurt_table = read(path)
    except Exception:
        return  # pandas' own
    said_while(lambda: relmp.find_sweet_spot(hurt_table))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder / "p", 6)
    return folder / "p"


@fuzzed(60, st.integers(0, 99), damage())
def test_images(
    pictures: Path, place: Path, number: int, damaged: Callable[[bytes], bytes]
) -> None:
    folder = place / "p"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(pictures, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = files[number % len(files)]
    path.write_bytes(damaged(path.read_bytes()))

    def work() -> Any:
        data = relmp.load_data("folder", folder=folder, image_size=8)
        return relmp.train(
            relmp.create_model("mlp", in_features=math.prod(data.input_shape), num_classes=3,
            width=8),
            data, epochs=1, batch_size=4,
        )  # fmt: skip

    history, said = said_while(work)
    assert history is not None or said
    if history is not None:
        assert np.isfinite(history["train_loss"]).all()


@fuzzed(100, st.integers(0, 2), damage())
def test_records_that_were_there_stay(
    finished: Path, place: Path, number: int, damaged: Callable[[bytes], bytes]
) -> None:
    """Going on with a run leaves the records that its checkpoint has, whatever is in the file."""
    folder = copied(finished, place)
    path = hurt(folder, "metrics.jsonl", number, damaged)
    checkpoint, _ = said_while(RunFolder(path.parent).resume)
    text = (finished / path.parent.name / "metrics.jsonl").read_text()
    assert checkpoint is not None
    assert path.read_text() == text


# Compressed models -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with scores of weights and of edges, folded, that was trained a little."""
    model = relmp.create_model(
        "residual_mlp", GRAPHS[1], in_features=6, num_classes=3, width=9, seed=3,
        message="scored(keep=0.4)", scored="all", fold=(1,),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(8, 6)).square().mean().backward()
        optimizer.step()
    path = tmp_path_factory.mktemp("compressed") / "m.relmp"
    return relmp.save_compressed(model.eval(), path)


IMAGES = torch.arange(30.0).view(5, 6).sin()


@fuzzed(300, damage())
def test_compressed_models(
    compressed: Path, place: Path, damaged: Callable[[bytes], bytes]
) -> None:
    whole, path = compressed.read_bytes(), place / "m.relmp"
    path.write_bytes(damaged(whole))
    model, said = said_while(lambda: relmp.load_compressed(path))
    if path.read_bytes() != whole:
        assert said, "a damaged file was loaded"
    else:
        assert torch.equal(model(IMAGES), relmp.load_compressed(compressed)(IMAGES))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 40) | st.floats() | st.text(max_size=3)
    | st.sampled_from(["float32", "int32", "float64", "bool", "os:system", "builtins:int", "mlp",
                       "torch.nn:Linear", "scored(keep=0.9)", "frozen", 2**40, "cat"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner,
                                                                max_size=2),
    max_leaves=4,
)  # fmt: skip


@fuzzed(300, st.lists(st.integers(0, 30), max_size=6), st.sampled_from(["set", "drop", "double"]),
        VALUES, st.none() | damage())  # fmt: skip
def test_compressed_models_with_a_checksum_of_their_own(
    compressed: Path, place: Path, way: list[int], how: str, value: Any,
    damaged: Callable[[bytes], bytes] | None,
) -> None:  # fmt: skip
    """A header that somebody wrote: a model, or a sentence."""
    start = len(MAGIC) + 6
    whole = compressed.read_bytes()[: -hashlib.sha256().digest_size]
    (length,) = struct.unpack("<I", whole[start - 4 : start])
    header = json.loads(whole[start : start + length])
    inside: Any = header
    for number in way[:-1]:
        keys = sorted(inside) if isinstance(inside, dict) else list(range(len(inside)))
        following = inside[keys[number % len(keys)]] if keys else None
        if not isinstance(following, dict | list):
            break
        inside = following
    keys = sorted(inside) if isinstance(inside, dict) else list(range(len(inside)))
    if keys and way:
        key = keys[way[-1] % len(keys)]
        if how == "set":
            inside[key] = value
        elif how == "drop":
            del inside[key]
        elif isinstance(inside, list):
            inside.append(inside[key])
    body = whole[start + length :]
    text = json.dumps(header).encode()
    content = whole[: start - 4] + struct.pack("<I", len(text)) + text
    content += body if damaged is None else damaged(body)
    path = place / "m.relmp"
    path.write_bytes(content + hashlib.sha256(content).digest())

    def work() -> Any:
        model = relmp.load_compressed(path)
        model(torch.randn(2, *model.input_shape))
        return model

    said_while(work)
