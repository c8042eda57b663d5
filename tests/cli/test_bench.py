"""The benchmarks run, and what they derive is right; no test looks at seconds."""

from __future__ import annotations

import json
import math
from itertools import groupby
from pathlib import Path

import pytest
import torch

from relmp.bench import tune
from relmp.bench.figure import crossover_density, plot_rounds
from relmp.bench.model import masked
from relmp.bench.rounds import FLOOR, MASK, Row, Shape, graph_of_density, measure_rounds, tables
from relmp.bench.timing import Timing, interleaved, machine, peak_megabytes, text_of_machine
from relmp.cli.bench import BenchDesignSpace, BenchModel, BenchRounds
from relmp.graphs import create_graph
from relmp.machine import processor, processor_family
from relmp.models import create_model
from relmp.rounds import RelationalConv2d
from relmp.rounds.execution import rule
from relmp.rounds.execution.rule import Crossover

SMALL = (Shape("linear", 32, 4, nodes=8), Shape("images", 16, 2, 4, nodes=8))


def test_steps_take_turns() -> None:
    order: list[str] = []
    steps = {name: lambda name=name: order.append(name) for name in "ab"}
    timings = interleaved(steps, repeats=3, seconds=0)
    turns = [name for name, _ in groupby(order)]
    assert "".join(turns) == "ab" * 4
    assert all(0 <= t.low <= t.median <= t.high for t in timings.values())


def test_every_method_is_measured(tmp_path: Path) -> None:
    rows = measure_rounds(SMALL, (0.4, 1.0), repeats=3, seconds=0, literal=True)
    methods = {row.method for row in rows if row.shape == "linear"}
    assert methods == {FLOOR, MASK, "message_passing", "dense", "gathered", "cpu_kernel"}
    assert {row.method for row in rows if row.shape == "images"} == methods - {"gathered"}
    text = "\n".join(tables(rows))
    assert "| 1.000 | 32 |" in text
    assert text.count("**") == 4
    plot_rounds(rows, tmp_path / "rounds.png")
    assert (tmp_path / "rounds.png").stat().st_size > 1000


def test_all_methods_cost_the_same_flops() -> None:
    shape = Shape("linear", 256, 4, nodes=64)
    for density in (0.11, 0.3, 1.0):
        layer = shape.layer(graph_of_density(64, density))
        assert layer.flops() == pytest.approx(256**2, rel=0.02)


def test_crossover_is_interpolated() -> None:
    times = {0.1: (1.0, 4.0), 0.4: (2.0, 2.0 * math.sqrt(2)), 0.8: (4.0, 2.0)}
    rows = [
        Row("s", density, 1, method, time, time, time, "auto")
        for density, pair in times.items()
        for method, time in zip(("cpu_kernel", MASK), pair, strict=True)
    ]
    # The ratio falls from sqrt(2) to 1/2: it is 1 after a third of the way in logarithms.
    assert crossover_density(rows, "s") == pytest.approx(0.4 * 2 ** (1 / 3))
    assert crossover_density(rows[:4], "s") is None


def test_a_table_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def timings(steps: dict[str, object], **_: object) -> dict[str, Timing]:
        fake = {"dense": 2.0, "cpu_kernel": 1.0, "gathered": 3.0}
        return {name: Timing(fake[name], 0, 0) for name in steps}

    monkeypatch.setattr(tune, "interleaved", timings)
    monkeypatch.setattr(tune, "SIZES", {"linear": (1,), "spatial": (1,)})
    monkeypatch.setattr(tune, "DENSITIES", (0.2, 1.0))
    seen: list[Crossover] = []
    rows = list(tune.measure_table(report=seen.append))
    assert rows == seen == [Crossover("linear", 1, 1.0, 0.0), Crossover("spatial", 1, 1.0, 0.0)]


def test_a_masked_model_is_the_same_function() -> None:
    graph = create_graph("ws_flex", n=8, k=3, p=0.2, seed=0)
    model = create_model("mlp", graph=graph, in_features=12, width=16).eval()
    x = torch.randn(3, 12)
    expected = model(x)
    torch.testing.assert_close(masked(model)(x), expected)


def _allocate() -> object:
    layer = RelationalConv2d(create_graph("complete", n=2), 8, 8, 1)
    x = torch.randn(2, 8, 4, 4)
    return lambda: (layer(x), torch.ones(8, 2**20))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measured on Linux")
def test_peak_memory_of_a_step() -> None:
    assert peak_megabytes(_allocate) == pytest.approx(32, abs=4)


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="No shape is called 'VGG'; there are 'MLP, 512'"):
        BenchRounds(out=str(tmp_path), shapes="VGG").run()
    BenchDesignSpace(nodes=16, size=48).run()
    assert f"Processor: {processor()}" in capsys.readouterr().out


def test_a_tuned_table_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rule.SHIPPED[0].rows
    monkeypatch.setattr(tune, "measure_table", lambda **options: iter(rows))
    BenchRounds(out=str(tmp_path), tune=True).run()
    assert f"Processor: {processor()}" in capsys.readouterr().out
    monkeypatch.setenv(rule.TABLE_VARIABLE, str(tmp_path / "table.json"))
    found = rule.execution_table()
    assert found.rows == rows
    assert found.family == processor_family()
    assert found.processor.startswith(processor())


@pytest.mark.slow
def test_commands_write_what_they_print(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    BenchRounds(out=str(tmp_path), quick=True, shapes="MLP").run()
    written = json.loads((tmp_path / "rounds.json").read_text())
    assert {row["shape"] for row in written["rows"]} == {"MLP, 512"}
    assert written["machine"] == machine()
    BenchModel(model="mlp", image_size=4, batch_size=8, repeats=3, out=str(tmp_path)).run()
    assert set(json.loads((tmp_path / "model.json").read_text())["methods"]) >= {MASK, "auto"}
    said = capsys.readouterr().out
    assert "| auto |" in said
    assert said.count(text_of_machine()) == 2
