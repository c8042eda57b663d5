"""Files that are written whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

PART = ".part"
"""Ending of what is being written."""


def atomic_write(path: Path, write: Callable[[Path], object], *, keep: Path | None = None) -> None:
    """Write beside ``path``, then rename: a reader sees the old file or the new one.

    What is written has a name of its own, so that two processes never write one file, and a
    link that lies in the way is replaced, not followed.

    Args:
        path: The file.
        write: Writes the path that it is given; what it leaves on failure is removed.
        keep: Where the old file is kept.

    Raises:
        OSError: Of ``path``, if it cannot be written: on a full disk, say.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}{PART}")
    try:
        with naming(path):
            write(part)
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            if keep is not None and path.exists():
                _keep(path, keep)
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """A file of UTF-8 text, written whole."""
    atomic_write(path, lambda part: part.write_text(text, encoding="utf-8", newline="\n"))


def append_text(path: Path, text: str) -> None:
    """Add UTF-8 text to a file; it lies on the disk when this returns.

    Raises:
        OSError: Of ``path``, if it cannot be written.
    """
    with naming(path), path.open("a", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An error of the operating system names the file: those of writing name none."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename == str(path):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """A table as text, written whole, whose cells no spreadsheet takes for formulas.

    Texts that begin with ``=``, ``+``, ``-`` or ``@`` get a ``'`` in front.
    """

    def quoted(value: Any) -> Any:
        is_formula = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
        return f"'{value}" if is_formula else value

    safe = table.rename(columns=quoted)
    for place in range(safe.shape[1]):
        if safe.dtypes.iloc[place].kind not in "biuf":
            safe = safe.assign(**{safe.columns[place]: safe.iloc[:, place].map(quoted)})
    atomic_write(path, lambda part: safe.to_csv(part, index=False))


def remove_parts(folder: Path) -> None:
    """Remove what killed writers have left; for the only process that writes there."""
    for part in folder.glob(f".*{PART}"):
        part.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: If the file is damaged or holds anything else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"'{path}' is damaged: {error}.") from error
    if not isinstance(found, dict):
        raise ValueError(f"'{path}' is damaged: it holds a {type(found).__name__}, no object.")
    return found


def json_lines(values: Mapping[str, Any]) -> str:
    """A JSON object with a line for each of its keys."""
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(values[key])}" for key in values)
    return f"{{\n{lines}\n}}\n"


def bare(value: Any) -> Any:
    """A value as JSON gives it back: with lists where Python has tuples."""
    return json.loads(json.dumps(value))


CHECK = "check"
"""Key of the checksum in what is written with one. What versions before wrote has none."""


def checksum(value: Any) -> str:
    """Of a value that JSON can hold: 8 hexadecimal digits, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x}"


def json_line(values: Mapping[str, Any]) -> str:
    """A JSON object in a line, with a checksum at its end: what is read is what was written."""
    return json.dumps({**values, CHECK: checksum(values)}) + "\n"


def read_lines(path: Path) -> Iterator[dict[str, Any] | None]:
    """The objects of :func:`json_line`, without their checksums; None for a line that is torn or
    damaged."""
    text = path.read_text(encoding="utf-8", errors="replace")
    checked = f'"{CHECK}": ' in text
    for line in text.splitlines():
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            values = None
        if isinstance(values, dict) and checked:
            said = values.pop(CHECK, None)
            values = values if said == checksum(values) else None
        yield values if isinstance(values, dict) else None


def _keep(path: Path, keep: Path) -> None:
    # A second name for the old file, so that the first one is never missing.
    second = keep.with_name(f".{keep.name}.{secrets.token_hex(8)}{PART}")
    try:
        try:
            os.link(path, second, follow_symlinks=False)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, second)
        second.replace(keep)
    finally:
        second.unlink(missing_ok=True)
