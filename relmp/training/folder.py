"""The folder of a run: what is in it, and how it is written so that nothing is lost."""

from __future__ import annotations

import hashlib
import io
import json
import re
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from relmp.claim import claimed, is_claimed, require_claim
from relmp.files import (
    CHECK,
    append_text,
    atomic_write,
    checksum,
    json_line,
    json_lines,
    read_json,
    read_lines,
    remove_parts,
    write_text,
)
from relmp.fingerprint import changed_code
from relmp.training.loop import Record
from relmp.training.run_config import FORMAT, RunConfig, differences

CHECKPOINT_FORMAT = 2
CONFIG, METRICS, FAILURE = "config.json", "metrics.jsonl", "failure.txt"
CHECKPOINT, PREVIOUS, BROKEN = "checkpoint.pt", "checkpoint.previous.pt", "checkpoint.broken.pt"


@dataclass(frozen=True)
class RunFolder:
    """``config.json``, ``metrics.jsonl``, ``checkpoint.pt`` and the one before, of one run."""

    path: Path

    # Who writes ---------------------------------------------------------------------------

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Make the folder, and keep other processes from training this run.

        Raises:
            BlockingIOError: If another process is training it.
            OSError: If the folder cannot be written.
        """
        with claimed(self.path):
            yield

    def is_locked(self) -> bool:
        """Whether a process is training this run."""
        return is_claimed(self.path)

    # What is trained ----------------------------------------------------------------------

    def start(
        self, config: RunConfig, beside: Mapping[str, Any], *, same_code: bool = False
    ) -> None:
        """Write the configuration, or see that the folder was started with the same; for the
        process that has the lock.

        Args:
            config: The configuration.
            beside: What is recorded beside it and not compared, but for ``"code"``, the
                fingerprints of the user's own code.
            same_code: Whether other code is as good; its fingerprint is written then.

        Raises:
            ValueError: If it was started with another one, or with other code.
        """
        remove_parts(self.path)
        if not (self.path / CONFIG).exists():
            self._write_config(config, beside)
            return
        written, found = read_json(self.path / CONFIG), self.config()
        if found.key != config.key:
            differing = sorted(differences(found.to_dict(), config.to_dict()))
            raise ValueError(
                f"'{self.path}' was started with another configuration "
                f"({'; '.join(differing)}); use the same settings, or another folder."
            )
        changed = changed_code(written.get("code", {}), beside.get("code", {}))
        if changed and not same_code:
            raise ValueError(f"The run in '{self.path}' was started with {changed}")
        if changed:
            kept: dict[str, Any] = {
                key: written[key] for key in ("derived", "machine") if key in written
            }
            self._write_config(config, {**beside, **kept})

    def _write_config(self, config: RunConfig, beside: Mapping[str, Any]) -> None:
        values = {"format": FORMAT, "key": config.key, **config.to_dict(), **beside}
        values[CHECK] = checksum(values.get("derived"))
        write_text(self.path / CONFIG, json_lines(values))

    def config(self) -> RunConfig:
        """The configuration that the run was started with.

        Raises:
            ValueError: If the file is damaged, or was changed by hand.
        """
        values = read_json(self.path / CONFIG)
        version = values.get("format", 1)
        if version not in range(1, FORMAT + 1):
            raise ValueError(
                f"'{self.path / CONFIG}' has format {version}, and this version reads up to "
                f"{FORMAT}; use the version that wrote it."
            )
        try:
            config = RunConfig.from_dict(values)
        except ValueError as error:
            raise ValueError(f"'{self.path / CONFIG}' cannot be read: {error}") from error
        name = self.path.name
        if version == 1:
            wanted = name if re.fullmatch("[0-9a-f]{16}", name) else _first_key(values)
            right = _first_key(values) == wanted
        else:
            right = values.get("key") == config.key
        if not right:
            raise ValueError(
                f"'{self.path / CONFIG}' was changed after the run was started (its key is "
                f"another one); undo the change, or move the folder away."
            )
        return config

    def beside(self) -> dict[str, Any]:
        """What is recorded beside the configuration: derived numbers, machine and code.

        Derived numbers that were damaged are left out with a warning.
        """
        values = read_json(self.path / CONFIG)
        derived = values.get("derived") or {}
        if values.get(CHECK, checksum(derived)) != checksum(derived):
            warnings.warn(
                f"The cost of the run in '{self.path / CONFIG}' is damaged and left out.",
                stacklevel=2,
            )
            derived = {}
        return {"code": {}, "machine": {}, **values, "derived": derived}

    # What came of it ----------------------------------------------------------------------

    def records(self) -> list[Record]:
        """One record an epoch; a torn last line is dropped with a warning.

        Where the file is damaged otherwise, the records of the checkpoint are used.

        Raises:
            ValueError: If neither can be read.
        """
        records, problem = self._read_metrics()
        if problem is None:
            return records
        found = self.saved_records()
        if found is None:
            raise ValueError(
                f"{problem} No checkpoint has the records either; move '{self.path}' away to "
                f"train this run anew."
            )
        warnings.warn(f"{problem} The records of the checkpoint are used.", stacklevel=2)
        return found

    def saved_records(self) -> list[Record] | None:
        """The records of the checkpoint; None where there is none that can be read."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                checkpoint = self.load()
            except ValueError:
                return None
        return None if checkpoint is None else checkpoint["records"]

    def _read_metrics(self) -> tuple[list[Record], str | None]:
        path = self.path / METRICS
        if not path.exists():
            return [], None
        records: list[Record] = []
        lines = list(read_lines(path))
        for number, record in enumerate(lines, 1):
            if record is None and number == len(lines):
                warnings.warn(f"Dropped the torn last line of '{path}'.", stacklevel=3)
            elif record is None:
                return records, f"Line {number} of '{path}' is no record."
            elif record.get("epoch") != number:
                return records, f"Line {number} of '{path}' is no record of epoch {number}."
            else:
                records.append(record)
        return records, None

    def save(self, checkpoint: Mapping[str, Any], record: Record | None = None) -> None:
        """Write the state of the run, keeping the one before, then the record of its epoch.

        At any moment ``checkpoint.pt`` is a whole file.

        Raises:
            BlockingIOError: If another process has taken the run over meanwhile.
        """
        require_claim(self.path)
        atomic_write(
            self.path / CHECKPOINT,
            lambda path: _write_checkpoint(path, checkpoint),
            keep=self.path / PREVIOUS,
        )
        if record is None:
            return
        append_text(self.path / METRICS, json_line(record))

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
        self._agree(checkpoint)
        return checkpoint

    def _agree(self, checkpoint: dict[str, Any] | None) -> None:
        """Make the records those of the checkpoint."""
        records = [] if checkpoint is None else checkpoint["records"]
        text = "".join(map(json_line, records))
        path = self.path / METRICS
        if (path.read_bytes() if path.exists() else b"") != text.encode():
            write_text(path, text)

    def step_back(self, place: tuple[int, int]) -> dict[str, Any] | None:
        """Take up the checkpoint before the last one if it is of this epoch and step, or begin anew
        if that is the beginning and there was none; for the process that has the lock.

        Returns:
            The checkpoint that holds then.
        """
        require_claim(self.path)
        last, previous = self.path / CHECKPOINT, self.path / PREVIOUS
        try:
            before = _read_checkpoint(previous) if previous.exists() else None
        except _BrokenError:
            return self.resume()
        if place != ((0, 0) if before is None else (before["epoch"], before["step"])):
            return self.resume()
        self._agree(before)  # records of later epochs would say that the run is done
        if before is None:
            last.unlink()
        else:
            previous.replace(last)
        return before

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

    # What went wrong ----------------------------------------------------------------------

    def note_failure(self, error: BaseException | str) -> None:
        """Keep why the run failed, with its traceback, in ``failure.txt``.

        A full disk, which may be why, only gives a warning: the other runs of a sweep go on.
        """
        text = error if isinstance(error, str) else "".join(traceback.format_exception(error))
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_text(self.path / FAILURE, text if text.endswith("\n") else text + "\n")
        except OSError as full:
            warnings.warn(f"Why a run failed cannot be kept: {full}.", stacklevel=2)

    def failure(self) -> str | None:
        """Why the run failed when it was last tried, or None."""
        path = self.path / FAILURE
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else None

    def forget_failure(self) -> None:
        """The run goes well now."""
        (self.path / FAILURE).unlink(missing_ok=True)


def _first_key(values: Mapping[str, Any]) -> str:
    """The key of format 1: a hash of every value, but for what is derived from them."""
    chosen = {key: value for key, value in values.items() if key != "derived"}
    text = json.dumps(chosen, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class _BrokenError(Exception):
    """A checkpoint that cannot be read."""


def _write_checkpoint(path: Path, checkpoint: Mapping[str, Any]) -> None:
    # By way of memory: torch reports a full disk as an obscure RuntimeError.
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    path.write_bytes(buffer.getbuffer())


def _read_checkpoint(path: Path) -> dict[str, Any]:
    try:
        # torch.load does not look at the checksums that torch.save writes.
        with zipfile.ZipFile(path) as archive:
            if (wrong := archive.testzip()) is not None:
                raise _BrokenError(f"wrong checksum of {wrong}")
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        version = checkpoint["format"]
    except _BrokenError:
        raise
    except Exception as error:
        raise _BrokenError(type(error).__name__) from error
    if version != CHECKPOINT_FORMAT:
        raise ValueError(
            f"'{path}' has format {version}, and this version reads "
            f"{CHECKPOINT_FORMAT}; use the version that wrote it, or another folder."
        )
    return checkpoint
