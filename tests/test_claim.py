"""One process works in a folder, whichever machine it runs on."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from relmp import claim
from relmp.claim import ABANDONED_SECONDS, CLAIM, Watch, claimed, is_claimed, require_claim

HOLD = """
import sys, time
from pathlib import Path
from relmp.claim import claimed
with claimed(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
ELSEWHERE = "machine-1 17 word 00000000000000000003\n"


class Clock:
    """A clock that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(claim.time, "monotonic", lambda: self.now)


def test_a_folder_is_held_by_one_process_and_free_when_it_dies(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert is_claimed(tmp_path)
        with pytest.raises(BlockingIOError, match="at work in"), claimed(tmp_path):
            pass
        process.kill()
    assert (tmp_path / CLAIM).exists()  # of the dead
    assert not is_claimed(tmp_path)
    with claimed(tmp_path):
        require_claim(tmp_path)
    assert not (tmp_path / CLAIM).exists()


def test_a_claim_of_another_machine_counts(tmp_path: Path) -> None:
    (tmp_path / CLAIM).write_text(ELSEWHERE)
    assert is_claimed(tmp_path)
    remedy = "Process 17 on machine-1 .* remove"
    with pytest.raises(BlockingIOError, match=remedy), claimed(tmp_path):
        pass
    assert (tmp_path / CLAIM).read_text() == ELSEWHERE


def test_a_claim_that_no_longer_counts_on_is_freed(tmp_path: Path, monkeypatch: Any) -> None:
    clock, watch = Clock(monkeypatch), Watch()
    (tmp_path / CLAIM).write_text(ELSEWHERE)
    watch.free_abandoned(tmp_path)
    clock.now += ABANDONED_SECONDS - 1
    watch.free_abandoned(tmp_path)
    (tmp_path / CLAIM).write_text(ELSEWHERE.replace("3\n", "4\n"))  # alive
    clock.now += 2
    watch.free_abandoned(tmp_path)
    clock.now += ABANDONED_SECONDS - 1
    watch.free_abandoned(tmp_path)
    assert is_claimed(tmp_path)
    clock.now += 2
    watch.free_abandoned(tmp_path)
    assert not is_claimed(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [claim.LOCK]


def test_one_that_was_held_up_does_not_write_into_the_work_of_another(tmp_path: Path) -> None:
    with claimed(tmp_path):
        (tmp_path / CLAIM).write_text(ELSEWHERE)  # another one has taken over
        with pytest.raises(BlockingIOError, match="held up"):
            require_claim(tmp_path)
    assert (tmp_path / CLAIM).read_text() == ELSEWHERE


def test_a_holder_counts_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "BEAT_SECONDS", 0.01)
    with claimed(tmp_path):
        first = (tmp_path / CLAIM).read_text()
        until = time.monotonic() + 20
        while (tmp_path / CLAIM).read_text() == first:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert (tmp_path / CLAIM).read_text().split()[:3] == first.split()[:3]


def test_a_damaged_claim_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / CLAIM).write_text("")
    with claimed(tmp_path):
        require_claim(tmp_path)
