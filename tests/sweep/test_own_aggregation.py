"""Aggregations of the user's own in a sweep: workers and later processes make them from text."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MODULE = """
from torch_geometric.nn.aggr import Aggregation

class RMS(Aggregation):
    def __init__(self, floor=1e-6):
        super().__init__()
        self.floor = floor

    def forward(self, x, index=None, ptr=None, dim_size=None, dim=-2):
        return (self.reduce(x * x, index, ptr, dim_size, dim, reduce="mean") + self.floor).sqrt()

def by_degree(channels, degrees):
    return RMS(float(degrees.float().mean()))
"""

SWEEP = """
import sys
import relmp
from mymod import RMS, by_degree

if __name__ == "__main__":
    graph = relmp.create_graph("ws_flex", n=8, k=4, p=0.2, seed=0)
    base = relmp.RunConfig(
        relmp.ModelConfig("mlp", graph), relmp.DataConfig(train_size=100),
        relmp.TrainConfig(epochs=1),
    )
    scaled = relmp.degree_scaled([RMS(), "max"], ["linear"])
    own = [RMS, RMS(0.5), by_degree, scaled, "mymod:RMS(floor=0.1)"]
    plan = relmp.grid(base, budget=16, **{"model.aggr": own})
    assert len({run.key for run in plan}) == 5
    table = relmp.run_plan(plan, "out", workers=1, show_progress=False)
    assert len(table["run"].unique()) == 5, table
"""

LOAD = """
from pathlib import Path
import relmp

images = relmp.load_data("digits").test_images
folders = sorted(path.parent for path in Path("out").glob("*/config.json"))
assert len(folders) == 5
for folder in folders:
    try:
        relmp.load_run(folder)
    except ValueError as error:
        assert "which would be imported and called" in str(error)
    else:
        raise AssertionError("imported without trust")
    trusted = relmp.load_run(folder, trust=True)
    if trusted.config.model.options["aggr"] == "mymod:RMS":
        from mymod import RMS
        given = relmp.load_run(folder, aggr=RMS)
        assert given.scores(images).equal(trusted.scores(images))
"""


@pytest.mark.slow
def test_a_sweep_over_aggregations_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mymod.py").write_text(MODULE)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    for name, code in (("sweep", SWEEP), ("load", LOAD)):
        script = tmp_path / f"{name}.py"
        script.write_text(code)
        result = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", str(script)],
            capture_output=True, text=True, cwd=tmp_path, env=environment,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
