"""A folder that one process works in, on whichever machine it runs.

A file lock tells the processes of one machine apart and is free the moment its holder dies. It does
not reach across every shared file system, so a holder also keeps a file with a heartbeat there:
``claim``, which says who holds the folder and counts on every few seconds. A claim that no longer
counts on has been abandoned. No clock of another machine is trusted: whoever waits watches the
count by its own clock.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from relmp.files import naming

LOCK, CLAIM = "run.lock", "claim"

BEAT_SECONDS = 5.0
"""How often a holder counts on."""
ABANDONED_SECONDS = 60.0
"""A claim that has not counted on for so long is nobody's."""


class Holder(NamedTuple):
    """Who holds a folder: the machine, the process, and a word that no other claim has."""

    machine: str
    process: str
    word: str

    @classmethod
    def here(cls) -> Holder:
        """This process, as the holder of one more claim."""
        machine = f"{socket.gethostname().replace(' ', '-')}-{uuid.getnode():x}"
        return cls(machine, str(os.getpid()), secrets.token_hex(8))

    @classmethod
    def of(cls, text: str) -> Holder | None:
        """Read from a claim; None if it is damaged."""
        words = text.split()
        return cls(*words[:3]) if len(words) == 4 else None


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold a folder, which is made, against other processes on this and other machines.

    Raises:
        BlockingIOError: If another process holds it.
        OSError: If the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=0):
            claim = _Claim(folder)
            try:
                yield
            finally:
                claim.release()
    except Timeout:
        raise BlockingIOError(f"Another process is at work in '{folder}'.") from None


def is_claimed(folder: Path) -> bool:
    """Whether a process holds the folder, or has left a claim on another machine."""
    if not folder.is_dir():
        return False
    try:
        with FileLock(folder / LOCK, timeout=0):
            holder = Holder.of(_read(folder / CLAIM) or "")
            return holder is not None and holder.machine != Holder.here().machine
    except Timeout:
        return True


def require_claim(folder: Path) -> None:
    """Raise ``BlockingIOError`` if this process has lost its claim of a folder to another one.

    That can happen to a process that was held up for longer than a minute.
    """
    claim = _held.get(folder.resolve())
    if claim is not None and claim.is_lost():
        raise BlockingIOError(
            f"This process was held up, and another one has taken over the work in '{folder}'."
        )


class Watch:
    """Frees folders whose holders have died on other machines."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[str, float]] = {}

    def free_abandoned(self, folder: Path) -> None:
        """Look at a claim; remove it once it has not counted on for a minute of this process."""
        path = folder / CLAIM
        text = _read(path)
        if text is None:
            self._seen.pop(folder, None)
            return
        before, since = self._seen.get(folder, ("", 0.0))
        if text != before:
            self._seen[folder] = (text, time.monotonic())
        elif time.monotonic() - since >= ABANDONED_SECONDS:
            _remove(path, text)


_held: dict[Path, _Claim] = {}


class _Claim:
    """The claim of this process, which counts on in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self.path, self.holder, self.count = folder / CLAIM, Holder.here(), 0
        self.place = folder.resolve()
        self._create()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._beat, daemon=True, name="relmp claim")
        self.thread.start()
        _held[self.place] = self

    def _create(self) -> None:
        while True:
            try:
                _write_new(self.path, self._text())
                return
            except FileExistsError:
                self._clear()

    def _clear(self) -> None:
        """Remove the claim of a process of this machine, which is dead: the lock is ours."""
        text = _read(self.path)
        if text is None:
            return
        other = Holder.of(text)
        if other is None or other.machine == self.holder.machine:
            _remove(self.path, text)
            return
        raise BlockingIOError(
            f"Process {other.process} on {other.machine} is at work in '{self.path.parent}'; if "
            f"it has died, remove '{self.path}'."
        )

    def _text(self) -> str:
        return f"{' '.join(self.holder)} {self.count:020d}\n"  # always of the same length

    def _beat(self) -> None:
        while not self.stopped.wait(BEAT_SECONDS):
            self.count += 1
            with suppress(OSError):
                if not self.is_lost():
                    with self.path.open("r+b") as file:
                        file.write(self._text().encode())

    def is_lost(self) -> bool:
        """Whether another process has taken the claim."""
        text = _read(self.path)
        return text is None or Holder.of(text) != self.holder

    def release(self) -> None:
        """Give the folder back."""
        self.stopped.set()
        self.thread.join()
        _held.pop(self.place, None)
        if not self.is_lost():
            self.path.unlink(missing_ok=True)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _write_new(path: Path, text: str) -> None:
    """Write a file, whole; ``FileExistsError`` where there is one."""
    part = path.with_name(f".{CLAIM}.{secrets.token_hex(8)}.part")
    try:
        with naming(path):
            part.write_text(text, encoding="utf-8")
            os.link(part, path)
    except FileExistsError:
        raise
    except OSError:
        if not part.exists() or part.stat().st_size < len(text):
            raise  # a full disk
        # a file system without hard links
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    finally:
        part.unlink(missing_ok=True)


def _remove(path: Path, text: str) -> None:
    """Remove a claim that reads so; one that another process has made meanwhile stays."""
    aside = path.with_name(f".{CLAIM}.{secrets.token_hex(8)}.part")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    try:
        other = _read(aside)
        if other is not None and other != text:
            with suppress(FileExistsError):
                _write_new(path, other)
    finally:
        aside.unlink(missing_ok=True)
