"""The files that describe the environment agree, and the wheel installs and imports."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# conda-forge's name -> PyPI's, where they differ.
CONDA_NAMES = {
    "pytorch": "torch",
    "pytorch_geometric": "torch-geometric",
    "pytorch_scatter": "torch-scatter",
    "matplotlib-base": "matplotlib",
}


def lower_bounds(requirements: list[str]) -> dict[str, str]:
    found = {}
    for requirement in map(Requirement, requirements):
        bound = [s.version for s in requirement.specifier if s.operator == ">="]
        found[requirement.name] = bound[0] if bound else ""
    return found


def test_pins_fulfil_the_lower_bounds() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    extras = PROJECT["optional-dependencies"]
    wanted = lower_bounds([*PROJECT["dependencies"], *extras["tensorboard"], *extras["dev"]])
    for name, bound in wanted.items():
        assert name in pins, f"{name} is not pinned in requirements.txt"
        if bound:
            assert Version(pins[name]) >= Version(bound), name
    scatter = re.search(r"torch-scatter==(\S+)", (ROOT / "Makefile").read_text())
    assert scatter is not None
    assert Version(scatter[1]) >= Version(lower_bounds(extras["scatter"])["torch-scatter"])


def test_conda_environment_has_the_same_names_and_bounds() -> None:
    text = (ROOT / "environment.yml").read_text()
    assert re.search(r"channels:\n  - conda-forge\n", text)
    conda = lower_bounds(re.findall(r"^  - ([A-Za-z0-9_.-]+>=[\d.]+)$", text, re.MULTILINE))
    conda = {CONDA_NAMES.get(name, name): bound for name, bound in conda.items()}
    extras = PROJECT["optional-dependencies"]
    needed = lower_bounds([*PROJECT["dependencies"], *extras["scatter"], *extras["tensorboard"]])
    tests = {k: v for k, v in lower_bounds(extras["dev"]).items() if k in conda}
    python = PROJECT["requires-python"].removeprefix(">=")
    assert conda == {**needed, **tests, "python": python}
    assert {"pytest", "hypothesis"} <= conda.keys()


@pytest.mark.slow
def test_wheel_installs_and_imports_in_a_clean_environment(tmp_path: Path) -> None:
    """Built from a copy; its dependencies are lent by this environment, its code is not."""
    copy = tmp_path / "checkout"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(copy)], check=True)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    subprocess.run([*build, str(copy)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("relmp-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "relmp/py.typed" in names
    assert not [n for n in names if n.startswith(("tests", "experiments", "runs"))]
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel],
        check=True,
        cwd=tmp_path,
    )
    (purelib,) = [p for p in sys.path if p.endswith("site-packages")][:1]
    code = (
        f"import sys; sys.path.append({purelib!r}); import relmp, torch; "
        "layer = relmp.RelationalLinear(relmp.create_graph('complete', n=4), 8, 8); "
        "print(relmp.__file__, layer(torch.zeros(1, 8)).shape)"
    )
    result = subprocess.run(
        [python, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path,
        env={"PATH": ""},
    )  # fmt: skip
    assert str(tmp_path / "env") in result.stdout
    script = tmp_path / "env" / "bin" / "relmp"
    assert script.exists()
