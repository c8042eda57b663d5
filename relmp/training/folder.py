"""The folder of a run: what is in it, and how it is written so that nothing is lost."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from relmp.training.loop import Record

CHECKPOINT_FORMAT = 2
CHECKPOINT, PREVIOUS, BROKEN = "checkpoint.pt", "checkpoint.previous.pt", "checkpoint.broken.pt"


def run_key(config: Mapping[str, Any]) -> str:
    """Hash of a configuration, but for what is derived from it: 16 hexadecimal digits."""
    chosen = {key: value for key, value in config.items() if key != "derived"}
    text = json.dumps(chosen, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class RunFolder:
    """``config.json``, ``metrics.jsonl``, ``checkpoint.pt`` and the one before, of one run."""

    path: Path

    def start(self, config: Mapping[str, Any]) -> None:
        """Create the folder, or see that it was started with the same configuration.

        What is ``"derived"`` in a configuration follows from the rest and is not compared.

        Raises:
            ValueError: If it was started with another one.
            OSError: If the folder cannot be written.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        write_or_compare(self.path / "config.json", config)

    @contextmanager
    def lock(self, *, wait: bool = False) -> Iterator[None]:
        """Keep other processes from training this run.

        Args:
            wait: Whether to wait for another process that is training it.

        Raises:
            BlockingIOError: If another process is training it, and ``wait`` is False.
        """
        try:
            with FileLock(self.path / "run.lock", timeout=-1 if wait else 0):
                yield
        except Timeout:
            raise BlockingIOError(
                f"Another process is training the run in '{self.path}'."
            ) from None

    def config(self) -> dict[str, Any]:
        """The configuration that the run was started with."""
        return read_json(self.path / "config.json")

    def records(self) -> list[Record]:
        """One record an epoch; a torn last line is dropped with a warning."""
        try:
            lines = (self.path / "metrics.jsonl").read_text().splitlines()
        except FileNotFoundError:
            return []
        records: list[Record] = []
        for number, line in enumerate(lines, 1):
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                if number < len(lines):
                    raise ValueError(
                        f"Line {number} of '{self.path / 'metrics.jsonl'}' is no record."
                    ) from None
                warnings.warn(
                    f"Dropped the torn last line of '{self.path / 'metrics.jsonl'}'.", stacklevel=2
                )
        return records

    def save(self, checkpoint: Mapping[str, Any], record: Record | None = None) -> None:
        """Write the state of the run, keeping the one before, then the record of its epoch.

        At any moment ``checkpoint.pt`` is a whole file.
        """
        atomic_write(
            self.path / CHECKPOINT,
            lambda path: _write_checkpoint(path, checkpoint),
            keep=self.path / PREVIOUS,
        )
        if record is None:
            return
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def load(self) -> dict[str, Any] | None:
        """The last checkpoint, None before the first.

        A broken one is reported by a warning, and the one before is used.

        Raises:
            ValueError: If all there are are broken, or it is of another format.
        """
        return self._load(lambda broken: None)

    def resume(self) -> dict[str, Any] | None:
        """:meth:`load`, and make the folder agree with it: for the process that has the lock.

        A broken checkpoint is set aside as ``checkpoint.broken.pt``, lest it take the place of
        the one before; records that a kill has torn or cut off are mended.
        """
        checkpoint = self._load(lambda broken: broken.replace(self.path / BROKEN))
        records = [] if checkpoint is None else checkpoint["records"]
        if self.records() != records:
            self.rewrite_records(records)
        return checkpoint

    def _load(self, set_aside: Callable[[Path], object]) -> dict[str, Any] | None:
        broken: list[tuple[Path, _BrokenError]] = []
        for path in (self.path / CHECKPOINT, self.path / PREVIOUS):
            if not path.exists():
                continue
            try:
                checkpoint = _read_checkpoint(path)
            except _BrokenError as error:
                broken.append((path, error))
                continue
            for other, reason in broken:
                set_aside(other)
                warnings.warn(
                    f"'{other}' is damaged ({reason}); the one before is used.", stacklevel=3
                )
            return checkpoint
        if broken:
            named = " and ".join(f"'{path}' is damaged ({reason})" for path, reason in broken)
            raise ValueError(f"{named}; move it away to train this run anew.")
        return None

    def rewrite_records(self, records: list[Record]) -> None:
        """Make ``metrics.jsonl`` hold just these records (a kill may have torn it)."""
        text = "".join(json.dumps(record) + "\n" for record in records)
        atomic_write(self.path / "metrics.jsonl", lambda path: path.write_text(text))


def write_or_compare(path: Path, config: Mapping[str, Any]) -> None:
    """Write a configuration, or see that the file holds the same.

    Raises:
        ValueError: If it holds another; names what differs.
    """
    if not path.exists():
        lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(config[key])}" for key in config)
        atomic_write(path, lambda part: part.write_text(f"{{\n{lines}\n}}\n"))
        return
    found = read_json(path)
    same = {"derived": found.get("derived")}
    differing = sorted(differences(found, json.loads(json.dumps({**config, **same}))))
    if differing:
        raise ValueError(
            f"'{path.parent}' was started with another configuration ({'; '.join(differing)}); "
            f"use the same settings, or another folder."
        )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; ``ValueError`` if the file is damaged."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"'{path}' is damaged: {error}.") from error
    return found


def atomic_write(path: Path, write: Callable[[Path], object], *, keep: Path | None = None) -> None:
    """Write beside ``path``, then rename: a reader sees the old file or the new one.

    Args:
        path: The file.
        write: Writes the path that it is given.
        keep: Where the old file is kept.
    """
    part = path.with_name(path.name + ".part")
    try:
        write(part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
    except OSError:
        part.unlink(missing_ok=True)
        raise
    if keep is not None and path.exists():
        _keep(path, keep)
    part.replace(path)


def _keep(path: Path, keep: Path) -> None:
    # A second name for the old file, so that the first one is never missing.
    second = keep.with_name(keep.name + ".part")
    try:
        second.unlink(missing_ok=True)
        second.hardlink_to(path)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, second)
    second.replace(keep)


class _BrokenError(Exception):
    """A checkpoint that cannot be read."""


def _write_checkpoint(path: Path, checkpoint: Mapping[str, Any]) -> None:
    # Given a path, torch.save reports a full disk as an obscure RuntimeError.
    try:
        with path.open("wb") as file:
            torch.save(checkpoint, file)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _read_checkpoint(path: Path) -> dict[str, Any]:
    try:
        # torch.load does not look at the checksums that torch.save writes.
        with zipfile.ZipFile(path) as archive:
            if (wrong := archive.testzip()) is not None:
                raise _BrokenError(f"wrong checksum of {wrong}")
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except _BrokenError:
        raise
    except Exception as error:
        raise _BrokenError(type(error).__name__) from error
    if checkpoint["format"] != CHECKPOINT_FORMAT:
        raise ValueError(
            f"'{path}' has format {checkpoint['format']}, and this version reads "
            f"{CHECKPOINT_FORMAT}; use the version that wrote it, or another folder."
        )
    return checkpoint


def differences(
    there: Mapping[str, Any], here: Mapping[str, Any], prefix: str = ""
) -> Iterator[str]:
    """What differs between two configurations, each as ``name: a there, b here``."""
    for key in {*there, *here}:
        a, b = there.get(key), here.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            if a.get("key") != b.get("key"):
                yield f"{prefix}{key}: {a['name']} there, {b['name']} here"
            else:
                yield from differences(a, b, f"{prefix}{key}.")
        elif a != b:
            yield f"{prefix}{key}: {a} there, {b} here"
