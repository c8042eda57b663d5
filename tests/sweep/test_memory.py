"""A message that eats memory over one of the graphs: the other runs complete, and it is mended."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from relmp.sweep import collect
from tests.sweep.test_engines import command, plan, trained

GREEDY = """
import os, pathlib, resource, signal
import torch
import relmp

class Greedy(relmp.LinearMessage):
    '''Takes all memory there is over the ring of 8, in training, until it is mended.'''
    def forward(self, x_i, x_j):
        if self.training and x_j.size(0) < 30 and os.environ["APPETITE"] != "none":
            eat()
        return super().forward(x_i, x_j)

def eat():
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    before, kept = resource.getrlimit(resource.RLIMIT_AS), []
    room = pages * resource.getpagesize() + 2**28
    resource.setrlimit(resource.RLIMIT_AS, (room, before[1]))
    try:
        while True:
            kept.append(torch.ones(2**22))
    except RuntimeError:
        if os.environ["APPETITE"] == "killed":  # what the kernel does where there is no limit
            os.kill(os.getpid(), signal.SIGKILL)
        raise
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
@pytest.mark.parametrize(
    ("appetite", "reason"),
    [
        ("limited", "can't allocate memory"),
        ("killed", "Its process was killed by signal 9, as where memory has run out."),
    ],
)
def test_a_message_that_eats_memory(
    appetite: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "greedy_message.py").write_text(GREEDY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("APPETITE", "none")
    runs = plan(seeds=2, message="greedy_message:Greedy")
    calm = trained(tmp_path / "calm", runs)
    out = tmp_path / "out"
    monkeypatch.setenv("APPETITE", appetite)
    with pytest.warns(UserWarning, match="2 of 6 runs failed") as caught:
        table = trained(out, runs, workers=2)
    assert any(reason in str(warning.message) for warning in caught)
    assert len(table) == 4
    command(["runs", "status", str(out)])
    said = capsys.readouterr().out
    assert "4 done, 0 running, 2 failed, 0 waiting" in said
    assert reason in said
    monkeypatch.setenv("APPETITE", "none")
    command(["runs", "retry", str(out), "--workers", "2"])
    assert "6 done, 0 running, 0 failed, 0 waiting" in capsys.readouterr().out
    whole = collect(out).drop(columns="seconds")
    assert sorted(whole["run"]) == sorted(calm["run"])
    merged = whole.merge(calm, on="run", suffixes=("", "_calm"))
    pd.testing.assert_series_equal(
        merged["test_loss"], merged["test_loss_calm"], check_names=False, rtol=1e-5
    )
