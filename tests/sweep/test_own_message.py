"""A message of the user's in a sweep: where workers can import it, and where they cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

NOTEBOOK = """
import json, sys, warnings
import relmp, torch

def cell(factor):  # what a cell that is run again does: the same class, defined anew
    exec(f'''
class Mine(relmp.Message):
    def __init__(self, num_edges, in_dim, out_dim):
        super().__init__()
        self.value = relmp.LinearMessage(num_edges, in_dim, out_dim)
    def forward(self, x_i, x_j{", edges" if factor == 2 else ""}):
        return {factor} * self.value(None, x_j)
    def reset_parameters(self, edges):
        self.value.draw(edges, torch.ones(len(edges.source)))
    def flops(self, edges, positions=1):
        return self.value.flops(edges, positions)
''', globals())

if __name__ == "__main__":
    graph = relmp.create_graph("ws_flex", n=8, k=4, p=0.2, seed=0)
    x = torch.randn(2, 16)
    outs = []
    for factor in (1, 2):
        cell(factor)
        torch.manual_seed(0)
        outs.append(relmp.Round(graph, 16, 16, message=Mine, bias=False)(x))
    torch.testing.assert_close(outs[1], 2 * outs[0])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        table = relmp.run_sweep(
            "mlp", graphs=[graph], seeds=range(2), message=Mine, aggr="max", data="digits",
            train_size=200, epochs=1, width=16, workers=1, out=sys.argv[1], show_progress=False,
        )
    run = relmp.load_run(sys.argv[1] + "/" + table["run"][0], message=Mine)
    print(json.dumps({
        "rows": len(table),
        "said": [str(w.message) for w in said if w.category is UserWarning],
        "loaded": type(run.model.rounds[0].message_module) is Mine,
    }))
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["notebook", "script"])
def test_a_message_of_a_notebook_or_a_script(where: str, tmp_path: Path) -> None:
    """A notebook has no file that workers could import; neither has Python's standard input."""
    script = tmp_path / "script.py"
    script.write_text(NOTEBOOK)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-"]
    if where == "script":
        # At the top level of a script, a worker finds the class as well.
        script.write_text(
            NOTEBOOK.replace('if __name__ == "__main__":', 'cell(2)\nif __name__ == "__main__":')
        )
        command[-1] = str(script)
    result = subprocess.run(
        [*command, str(tmp_path / "out")],
        input=script.read_text(),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.strip().splitlines()[-1])
    assert found["rows"] == 4
    assert found["loaded"]
    if where == "script":
        assert found["said"] == []
    else:
        (sentence,) = found["said"]
        assert sentence.startswith("Workers cannot make the message: Cannot import '__main__:Mine'")
        assert sentence.endswith("The sweep runs in this process alone.")
