"""The execution on a GPU: equal to the definition, and compilable for cards that are not here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from relmp.graphs import RelationalGraph
from relmp.rounds import ChannelPartition, RelationalLinear
from relmp.rounds.execution import possible_executions, rule
from relmp.rounds.execution.gpu.tables import graph_table, read_table
from relmp.rounds.execution.gpu.tiles import correlate_tile, multiply_tile, splits_of
from tests.rounds import gpu_compile

CASES = Path(__file__).with_name("gpu_cases.py")


FEW = "no_images or hear_nothing or become_one_pixel or is_refused"
"""Cases that the interpreter runs in seconds; all of them are slow without a GPU."""


@pytest.mark.parametrize(
    "cases", [FEW, pytest.param("", marks=pytest.mark.slow)], ids=["few", "all"]
)
def test_it_computes_the_round(cases: str) -> None:
    """On a GPU, or without one in Triton's interpreter, which a process is in from its start."""
    pytest.importorskip("triton", reason="Triton is not installed")
    environment = dict(os.environ)
    if not torch.cuda.is_available():
        environment["TRITON_INTERPRET"] = "1"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        cases,
        str(CASES),
    ]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize(
    "case", list(gpu_compile.cases(few=True)), ids=lambda case: "-".join(case[:3])
)
def test_it_compiles_without_a_card(case: gpu_compile.Case, capability: int) -> None:
    pytest.importorskip("triton.backends.nvidia", reason="Triton is not installed, or for others")
    if os.environ.get("TRITON_INTERPRET") == "1":
        pytest.skip("kernels are interpreted here")
    try:
        taken = gpu_compile.usage(gpu_compile.compiled(case, capability), capability)
    except (AttributeError, FileNotFoundError, ImportError) as error:
        pytest.skip(f"Triton here compiles for its own card only: {error}")
    assert taken.shared <= 100_000  # two programs at least share a multiprocessor
    assert taken.spilled <= 64


def test_tables_by_hand() -> None:
    edges = (np.array([0, 2]), np.array([1, 1]))  # no loops: two nodes hear nothing
    graph: Any = SimpleNamespace(edges=edges, num_edges=2, num_nodes=3)
    into, out_of = (ChannelPartition.from_sizes(sizes) for sizes in ([2, 1, 3], [1, 2, 1]))
    heard, told = read_table(*graph_table(graph, into, out_of))
    assert heard.ptr.tolist() == [0, 0, 5, 5]
    assert heard.channel.tolist() == [0, 1, 3, 4, 5]
    assert heard.place.tolist() == [0, 1, 6, 7, 8]  # an edge has 2 x 3 weights
    assert heard.start.tolist() == [0, 1, 3]
    assert heard.size.tolist() == [1, 2, 1]
    assert told.ptr.tolist() == [0, 2, 2, 4]
    assert told.channel.tolist() == [1, 2, 1, 2]
    assert told.place.tolist() == [0, 3, 6, 9]
    assert told.size.tolist() == [2, 1, 3]


def test_parts_of_a_table_are_aligned() -> None:
    graph = RelationalGraph.from_edges([(0, 1)], 3)
    heard, told = read_table(*graph_table(graph, ChannelPartition(3, 4), ChannelPartition(3, 5)))
    starts = [part.storage_offset() for part in (*heard, *told)]
    assert not np.any(np.array(starts) % 4)


def test_tiles_follow_the_node_size() -> None:
    assert multiply_tile(5, 100, 2**16, 64, exact=True)[:3] == (128, 8, 16)
    assert multiply_tile(23, 100, 2**16, 64, exact=False)[:3] == (128, 32, 32)
    assert multiply_tile(200, 20, 2**16, 64, exact=False)[:3] == (64, 64, 32)
    assert multiply_tile(23, 100, 128, 64, exact=True).positions == 32
    assert splits_of(1000, 10**6, correlate_tile(8, 64, 2, exact=False)) == 1
    assert splits_of(100, 10**6, correlate_tile(8, 64, 2, exact=False)) == 6
    assert splits_of(1, 100, correlate_tile(8, 64, 2, exact=False)) == 1


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="kernels are interpreted")
def test_not_for_a_cpu() -> None:
    layer = RelationalLinear(RelationalGraph.from_edges([(0, 1)], 3), 5, 5)
    assert "gpu_kernel" not in possible_executions(layer)
    with pytest.raises(ValueError, match="'gpu_kernel' cannot run this round: its weights are on"):
        layer.set_execution("gpu_kernel")


def test_auto_waits_for_measured_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = RelationalLinear(RelationalGraph.from_edges([(0, 1)], 3), 300, 300)
    assert rule.gpu_crossover(layer.form) == 0
    rows = (
        rule.GpuCrossover("linear", 1, "float32", 0.1),
        rule.GpuCrossover("linear", 200, "float32", 0.3),
        rule.GpuCrossover("linear", 400, "float32", 0.5),
        rule.GpuCrossover("linear", 1, "bfloat16", 0.2),
    )
    monkeypatch.setattr(rule, "MEASURED_ON_GPU", rows)
    assert rule.gpu_crossover(layer.form) == 0.3
    assert rule.gpu_crossover(layer.bfloat16().form) == 0.2
    assert rule.gpu_crossover(layer.half().form) == 0
