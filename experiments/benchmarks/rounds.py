"""Rounds and a ResNet-34 step: complete graph, weight x mask, and every execution.

    python experiments/benchmarks/rounds.py rounds --out runs/bench
    python experiments/benchmarks/rounds.py rounds --quick          # within a minute
    python experiments/benchmarks/rounds.py rounds --tune           # the table of "auto"
    python experiments/benchmarks/rounds.py model --out runs/bench

Device: a CPU, 2 to 10 minutes each. What came is in ``rounds.md`` beside this file.
"""

from __future__ import annotations

from typing import Any

import tyro

from relmp.cli import run_reporting_errors
from relmp.cli.bench import BenchCommand

if __name__ == "__main__":
    command: Any = tyro.cli(BenchCommand, description="How fast rounds are on this machine.")
    run_reporting_errors(command.run)
