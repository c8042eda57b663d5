"""Imports follow the pipeline, and the package exports what it says it does."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import relmp

PACKAGE = Path(relmp.__file__).parent
# A module may import from those above it in this list, and from its own part.
GROUND = ["checks", "files", "claim", "fingerprint", "machine", "picture", "progress", "registry"]
PIPELINE = [*GROUND, "graphs", "rounds", "models", "training", "sweep", "analysis"]


def part_of(module: str) -> int:
    """Where a module stands in the pipeline; the command line stands at its end."""
    name = module.split(".")[1]
    return PIPELINE.index(name) if name in PIPELINE else len(PIPELINE)


def imported_modules(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.append(node.module or "")
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.name)
def test_imports_go_down_the_pipeline(path: Path) -> None:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts == ("__init__",):
        return  # exports from everywhere
    own = part_of(f"relmp.{parts[0]}")
    for module in imported_modules(path):
        assert module.split(".")[0] != "experiments"
        if module.startswith("relmp."):
            assert part_of(module) <= own, f"{path.relative_to(PACKAGE)} imports {module}"


def test_every_exported_name_is_there_and_typed() -> None:
    typed = {
        alias.asname
        for node in ast.walk(ast.parse((PACKAGE / "__init__.py").read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    assert typed == set(relmp.__all__)
    for name in relmp.__all__:
        assert getattr(relmp, name) is not None
        assert name in dir(relmp)
    with pytest.raises(AttributeError, match="no attribute 'sweet'"):
        _ = relmp.sweet


@pytest.mark.parametrize("module", ["relmp", "relmp.graphs", "relmp.cli"])
def test_starts_without_torch(module: str) -> None:
    code = f"import sys, {module}; print([m for m in ('torch', 'pandas') if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]", "help and errors should not wait for torch"
