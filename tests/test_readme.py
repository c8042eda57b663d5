"""The Python of the README and of the pages runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
PAGES = [
    page
    for page in sorted(ROOT.glob("docs/**/*.md"))
    if BLOCK.search(page.read_text()) and page.name != "contributing.md"
]


def run_blocks(page: Path, folder: Path) -> str:
    """What the blocks of a page print, as one script in a folder."""
    script = folder / "page.py"
    script.write_text("\n".join(BLOCK.findall(page.read_text())))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, str(script)], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_code_of_the_readme_runs(tmp_path: Path) -> None:
    printed = run_blocks(ROOT / "README.md", tmp_path)
    assert (tmp_path / "map.png").stat().st_size > 0
    assert "weet spot" in printed


def test_the_parts_of_ones_own_are_added_as_the_page_says(tmp_path: Path) -> None:
    assert "cpu_kernel" in run_blocks(ROOT / "docs" / "contributing.md", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_the_pages_runs(page: Path, tmp_path: Path) -> None:
    run_blocks(page, tmp_path)


def test_files_that_the_documents_name_are_there() -> None:
    for document in ROOT.rglob("*.md"):
        if any(part.startswith((".", "_")) for part in document.relative_to(ROOT).parts[:-1]):
            continue
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} names {target}"
