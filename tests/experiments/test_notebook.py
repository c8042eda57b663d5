"""The notebook runs from top to bottom, as in a kernel: in a process without a file."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "experiments" / "notebooks" / "parts_of_your_own.ipynb"
DOORS = ("message", "aggregation", "model", "data", "network")


def cells() -> list[str]:
    """The code of the notebook."""
    found = json.loads(NOTEBOOK.read_text())["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == "code"]


def shown(cell: str) -> str:
    """A cell whose last expression is shown, as a kernel does, and whose magic is Python."""
    first, _, rest = cell.partition("\n")
    if first.startswith("%%writefile "):
        return f"open({first.split()[1]!r}, 'w').write({rest!r})"
    body = ast.parse(cell).body
    if isinstance(body[-1], ast.Expr) and not cell.rstrip().endswith(";"):
        body[-1].value = ast.Call(ast.Name("_show", ast.Load()), [body[-1].value], [])
    module = ast.fix_missing_locations(ast.Module(body, []))
    return ast.unparse(module)


SHOW = """
def _show(value):
    names = ("_repr_png_", "_repr_html_")
    face = [getattr(value, name)() for name in names if hasattr(value, name)]
    assert any(face), f"{type(value).__name__} has no face for people"
"""


def test_its_cells_are_clean() -> None:
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        assert not cell.get("outputs")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_it_runs_from_top_to_bottom(tmp_path: Path) -> None:
    script = "\n".join([SHOW, *map(shown, cells())])
    result = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-"],
        input=script,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("EXTRA", "")])},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    for door in DOORS:
        assert f"{door}: 12 runs" in result.stdout
    assert "runs in this process alone" not in result.stderr
    assert "Models are not of equal cost" in result.stderr
    unmatched = [line for line in result.stderr.splitlines() if "not of equal cost" in line]
    assert len(set(unmatched)) == 1, "the other four are matched"
