"""Workers and runners die at random moments: no run is lost, none is trained twice.

``RELMP_KILLS=1000`` kills so many workers, and a runner for every twenty; 60 by default. With
``RELMP_KILLS_SEED=7`` they die at other moments.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

import relmp
from relmp.graphs import create_graph
from relmp.sweep import collect
from relmp.training.folder import RunFolder

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("RELMP_KILLS", "60"))
SEED = int(os.environ.get("RELMP_KILLS_SEED", "0"))
KILLS_A_RUNNER = 20
MOST_SECONDS = 6.0 * KILLS + 120
RUNNER = """
import sys
import relmp
from tests.kills.test_workers import plan
relmp.run_plan(plan(), sys.argv[1], workers=2, retries=1_000_000, show_progress=False, budget=16)
"""


def plan() -> list[relmp.RunConfig]:
    graphs = [create_graph("ws_flex", n=8, k=k, p=0.2, seed=1) for k in (2, 4, 5)]
    return relmp.over_graphs(
        "mlp", graphs=graphs, seeds=6, data="digits", train_size=128, batch_size=32, epochs=3,
        width=16,
    )  # fmt: skip


def table_of(out: Path) -> pd.DataFrame:
    return collect(out).drop(columns="seconds")


def workers_of(runner: int) -> list[int]:
    """The processes that train: those behind the runner that have the pool's function in hand."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                parents[int(entry.name)] = int(
                    (entry / "stat").read_text().rsplit(")", 1)[1].split()[1]
                )
    below = {runner}
    while True:
        more = {child for child, parent in parents.items() if parent in below} - below
        if not more:
            break
        below |= more
    # The forkserver and the resource tracker are children of the runner, workers those of theirs.
    return [
        child for child in below if parents.get(child) not in (None, runner) and child != runner
    ]


@pytest.mark.kills
@pytest.mark.timeout(0)
@pytest.mark.skipif(sys.platform != "linux", reason="looks for workers in /proc")
def test_no_run_is_lost_or_trained_twice(tmp_path: Path) -> None:
    relmp.run_plan(plan(), tmp_path / "calm", workers=0, show_progress=False, budget=16)
    expected = table_of(tmp_path / "calm")
    rng = random.Random(SEED)
    killed = runners = rounds = 0
    began = time.monotonic()
    while killed < KILLS:
        out = tmp_path / f"killed-{rounds}"
        rounds += 1
        while True:
            done, dead = disturbed(out, rng, KILLS - killed)
            killed += dead
            if done:
                break
            runners += 1
            assert time.monotonic() - began < MOST_SECONDS, f"{killed} kills only"
        pd.testing.assert_frame_equal(table_of(out), expected, rtol=0, atol=0)
        for run in plan():
            records = RunFolder(out / run.key).records()
            assert [record["epoch"] for record in records] == [1, 2, 3]
        assert not list(out.glob("*/failure.txt"))
        assert not list(out.glob("*/.*.part"))
    print(f"{killed} workers and {runners} runners killed, {rounds} sweeps")


def disturbed(out: Path, rng: random.Random, most: int) -> tuple[bool, int]:
    """Run until the sweep is done, or the runner is killed: whether it is done, and the kills."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    killed = 0
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", RUNNER, str(out)], env=environment
    ) as runner:
        while runner.poll() is None:
            time.sleep(rng.uniform(0.02, 0.4))
            workers = workers_of(runner.pid)
            if workers and killed < most:
                with suppress(ProcessLookupError):
                    os.kill(rng.choice(workers), signal.SIGKILL)
                    killed += 1
                if (most - killed) % KILLS_A_RUNNER == 0:
                    runner.kill()
        code = runner.wait()
    assert code in (0, -signal.SIGKILL)
    return code == 0, killed
