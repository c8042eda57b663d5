"""The notebook runs from top to bottom in a kernel, and what it shows has a face for people."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "experiments" / "notebooks" / "parts_of_your_own.ipynb"
DOORS = ("message", "aggregation", "model", "data", "network")


def outputs(notebook: Any, kind: str) -> list[Any]:
    """What its cells gave of a kind: streams by name, else results."""
    given = [item for cell in notebook.cells for item in cell.get("outputs", ())]
    if kind == "result":
        return [item for item in given if item.output_type == "execute_result"]
    return [item.text for item in given if item.output_type == "stream" and item.name == kind]


def test_its_cells_are_clean() -> None:
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        assert not cell.get("outputs")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_it_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="comes with requirements-docs.txt")
    nbformat = pytest.importorskip("nbformat", reason="comes with requirements-docs.txt")
    path = os.pathsep.join([str(ROOT), os.environ.get("EXTRA", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("PYTHONWARNINGS", "ignore::DeprecationWarning")
    notebook = nbformat.read(NOTEBOOK, 4)
    nbclient.NotebookClient(
        notebook, timeout=1500, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    printed, said = "".join(outputs(notebook, "stdout")), "".join(outputs(notebook, "stderr"))
    for door in DOORS:
        assert f"{door}: 12 runs" in printed
    assert "runs in this process alone" not in said
    unmatched = [line for line in said.splitlines() if "not of equal cost" in line]
    assert len(set(unmatched)) == 1, "the other four are matched"
    results = outputs(notebook, "result")
    assert results
    for item in results:
        assert {"image/png", "text/html"} & set(item.data), item.data
