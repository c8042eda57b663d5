"""Processes of relmp that are stopped in all ways, and gone on with until they are done."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tests.kills.test_workers import KILLS, ROOT, workers_of

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
COMMAND = "import sys; from relmp.cli import main; main(sys.argv[1:])"
SHARE = KILLS / 60
"""How much is killed, beside what is usual."""


def start(
    arguments: Sequence[str], script: str = COMMAND, limit: Callable[[], object] | None = None
) -> subprocess.Popen[str]:
    """A command in a group of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script, *arguments], env=environment, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=limit,
    )  # fmt: skip


def finish(process: subprocess.Popen[str], timeout: float = 300) -> tuple[int, str]:
    """Exit code and what was said, once it has ended."""
    _, errors = process.communicate(timeout=timeout)
    return process.returncode, errors


def strike(process: subprocess.Popen[str], rng: random.Random) -> str | None:
    """Send a signal to a process, its whole group or one that it has started; which, or None
    where it has ended already."""
    number = rng.choice(SIGNALS)
    target = rng.choice(["parent", "group", "worker"])
    workers = workers_of(process.pid) if target == "worker" else []
    if process.poll() is not None:
        return None
    with suppress(ProcessLookupError):
        if target == "group":
            os.killpg(process.pid, number)
        elif workers:
            os.kill(rng.choice(workers), number)
        else:
            process.send_signal(number)
    return f"{number.name} to the {target}"


def through_kills(
    makers: Sequence[Callable[[], subprocess.Popen[str]]], kills: int, rng: random.Random,
    begun: Callable[[], bool] = lambda: True,
) -> int:  # fmt: skip
    """Start all again and again, strike them ``kills`` times, and let them end: the strikes.

    Args:
        makers: Each starts one of the processes that work side by side.
        kills: How often a signal is sent.
        rng: Decides when, which and to whom.
        begun: Whether the work is under way, so that a signal meets more than imports.
    """
    struck = 0
    for _ in range(20 * kills + 20):
        running = [make() for make in makers]
        try:
            while struck < kills and any(process.poll() is None for process in running):
                if not begun():
                    time.sleep(0.05)
                    continue
                time.sleep(rng.uniform(0.0, 0.6))
                struck += strike(rng.choice(running), rng) is not None
            ended = [finish(process) for process in running]
        finally:
            for process in running:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        for code, errors in ended:
            assert code in (0, 1, 2, 130, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT), errors
        if struck >= kills and all(code == 0 for code, _ in ended):
            return struck
    raise AssertionError(f"not done after {struck} kills: {ended}")


def no_remains(folder: Path) -> None:
    """No half-written file is left where work has ended."""
    parts = [path for path in folder.rglob("*") if path.name.endswith(".part")]
    assert not parts, parts
