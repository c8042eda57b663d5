"""The Python of the documents runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(document: str, folder: Path) -> str:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    script = folder / "script.py"
    script.write_text("\n".join(blocks))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, str(script)], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_code_of_the_readme_runs(tmp_path: Path) -> None:
    assert "weet spot" in run("README.md", tmp_path)
    assert (tmp_path / "map.png").stat().st_size > 0


def test_the_parts_of_ones_own_are_added_as_the_page_says(tmp_path: Path) -> None:
    assert "cpu_kernel" in run("docs/contributing.md", tmp_path)


def test_files_that_the_documents_name_are_there() -> None:
    for document in ROOT.rglob("*.md"):
        if any(part.startswith(".") for part in document.relative_to(ROOT).parts[:-1]):
            continue
        for target in re.findall(r"\]\(([^)#:]+?)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} names {target}"
