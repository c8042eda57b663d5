"""The study of messages and aggregations: its table, its picture, and one run of it."""

from __future__ import annotations

import importlib
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import relmp

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


def test_a_plan_at_equal_cost_and_its_names(study: Any, tmp_path: Path) -> None:
    small = replace(study.quick, out=str(tmp_path))
    plan = small.plan()
    assert len({run.key for run in plan}) == len(plan) == 25
    some = [run for run in plan if run.model.options["message"] == "gated"]
    found = relmp.run_plan(some, tmp_path, workers=0, show_progress=False)
    # One message alone is no axis of the folder; the study's has several.
    results = study.named(found.assign(**{"model.message": "gated"}))
    assert set(results["aggr"]) == set(study.AGGREGATIONS)
    budget = 64 * 64 + 3 * 64 * 64 + 64 * 10
    assert results["flops"].between(budget, 1.05 * budget).all()
