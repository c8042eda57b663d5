"""Folders of images, disks and signals as they should not be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import relmp
from relmp.files import append_text, atomic_write, write_csv, write_text
from relmp.training.data.image_files import open_image
from relmp.training.folder import RunFolder
from tests.training.pictures import write_pictures

ROOT = Path(__file__).parents[2]


def test_links_that_lead_back_and_pipes(tmp_path: Path) -> None:
    write_pictures(tmp_path / "p", 6)
    expected = relmp.load_data("folder", folder=tmp_path / "p", image_size=16)
    for name in ("one", "two"):
        (tmp_path / "p" / "blue" / name).symlink_to(tmp_path / "p" / "blue")
    os.mkfifo(tmp_path / "p" / "red" / "pipe.png")
    found = relmp.load_data("folder", folder=tmp_path / "p", image_size=16)
    assert found.describe() == expected.describe()


def test_an_image_of_too_many_pixels(tmp_path: Path) -> None:
    Image.new("L", (13_000, 6_000)).save(tmp_path / "large.png")
    with pytest.raises(ValueError, match="78 million pixels, and at most 67 are read"):
        open_image(tmp_path / "large.png", 3)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '.*/metrics\.jsonl'"):
        append_text(tmp_path / "metrics.jsonl", "1\n")

    def fill(part: Path) -> None:
        Path("/dev/full").write_text("1")

    with pytest.raises(OSError, match=r"No space left on device: '.*/config\.json'"):
        atomic_write(tmp_path / "config.json", fill)


def test_a_reason_that_cannot_be_kept(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("no folder")
    with pytest.warns(UserWarning, match=r"Why a run failed cannot be kept: .*'.*/out/.*'\.$"):
        RunFolder(tmp_path / "out" / "key").note_failure("The disk is full.")


def test_what_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")

    def fail(part: Path) -> None:
        part.write_text("half")
        raise RuntimeError("as torch says when a disk is full")

    with pytest.raises(RuntimeError):
        atomic_write(path, fail)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


def test_cells_that_a_spreadsheet_would_run(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"graph": ["=1+1", "@x", "a"], "x": [-1.0, 2.0, 3.0], "-y": ["+", "", "b"]}
    )
    write_csv(tmp_path / "t.csv", table)
    text = (tmp_path / "t.csv").read_text()
    assert text.splitlines() == ["graph,x,'-y", "'=1+1,-1.0,'+", "'@x,2.0,", "a,3.0,b"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all_while_workers_read_images(tmp_path: Path, number: int) -> None:
    write_pictures(tmp_path / "p", 60)
    command = [
        sys.executable, "-m", "relmp", "train", "none", "--model", "small_cnn", "--data", "folder",
        "--data-folder", str(tmp_path / "p"), "--image-size", "32", "--epochs", "10000",
        "--width", "16", "--out", str(tmp_path / "run"), "--device", "cpu",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + 120
    while not (tmp_path / "run" / "checkpoint.pt").exists():
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert not list((tmp_path / "run").glob("*.part"))
