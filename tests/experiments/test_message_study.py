"""The study of messages and aggregations: its table, its picture, and one run of it."""

from __future__ import annotations

import importlib
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

RECIPES = Path(__file__).parents[2] / "experiments" / "recipes"


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(RECIPES))
    return importlib.import_module("message_study")


def test_table_and_picture(study: Any, tmp_path: Path) -> None:
    rows = [
        {"message": m, "aggr": a, "seed": s, "width": 100, "parameters": 12345,
         "test_error": 14.0 + s + (m == "gated") * (a == "max")}
        for m, a, s in product(study.MESSAGES, study.AGGREGATIONS, range(3))
    ]  # fmt: skip
    table = study.table(pd.DataFrame(rows))
    lines = table.strip().splitlines()
    assert len(lines) == 2 + 5
    assert lines[2] == "| linear | 100 | 12,345 |" + " 15.00 ± 1.00 |" * 5
    assert lines[3].count("16.00 ± 1.00") == 1
    study.plot(pd.DataFrame(rows)).savefig(tmp_path / "study.png")
    assert (tmp_path / "study.png").stat().st_size > 0


def test_one_run_resumes_and_is_within_the_budget(study: Any, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    small = replace(study.quick, out=str(tmp_path))
    first = study.train_one(small, 0, "gated", "sum+max")
    assert study.train_one(small, 0, "gated", "sum+max") == first
    torch.set_num_threads(threads)
    budget = 64 * 64 + 3 * 64 * 64 + 64 * 10
    assert budget <= first["flops"] < 1.05 * budget
    assert (tmp_path / "gated-sum+max-0" / "checkpoint.pt").exists()
