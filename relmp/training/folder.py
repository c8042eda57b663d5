"""The folder of a run: what is in it, and how it is written so that nothing is lost."""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from relmp.training.loop import Record

CHECKPOINT_FORMAT = 1


def run_key(config: Mapping[str, Any]) -> str:
    """Hash of a configuration, but for what is derived from it: 16 hexadecimal digits."""
    chosen = {key: value for key, value in config.items() if key != "derived"}
    text = json.dumps(chosen, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class RunFolder:
    """``config.json``, ``metrics.jsonl`` and ``checkpoint.pt`` of one run."""

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

    def save(self, checkpoint: dict[str, Any], record: Record) -> None:
        """Write the state after an epoch, then its record."""
        checkpoint["records"].append(record)
        # Saved to memory first: written directly, torch hides that the disk is full.
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        atomic_write(self.path / "checkpoint.pt", lambda path: path.write_bytes(buffer.getbuffer()))
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def load(self) -> dict[str, Any] | None:
        """The last checkpoint, None before the first; the records are made to agree with it.

        Raises:
            ValueError: If the file is damaged or of a newer format.
        """
        path = self.path / "checkpoint.pt"
        if not path.exists():
            return None
        try:
            checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise ValueError(
                f"'{path}' is damaged ({type(error).__name__}); remove it to train this run anew."
            ) from error
        if checkpoint["format"] != CHECKPOINT_FORMAT:
            raise ValueError(f"'{path}' has format {checkpoint['format']}, which is not known.")
        return checkpoint

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
    differing = sorted(_differences(found, json.loads(json.dumps({**config, **same}))))
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


def atomic_write(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside ``path``, then rename: a reader sees the old file or the new one."""
    part = path.with_name(path.name + ".part")
    try:
        write(part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
    except OSError:
        part.unlink(missing_ok=True)
        raise
    part.replace(path)


def _differences(
    there: Mapping[str, Any], here: Mapping[str, Any], prefix: str = ""
) -> Iterator[str]:
    for key in {*there, *here}:
        a, b = there.get(key), here.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            if a.get("key") != b.get("key"):
                yield f"{prefix}{key}: {a['name']} there, {b['name']} here"
            else:
                yield from _differences(a, b, f"{prefix}{key}.")
        elif a != b:
            yield f"{prefix}{key}: {a} there, {b} here"
