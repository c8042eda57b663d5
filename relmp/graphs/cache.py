"""Where results that took long to compute are kept between runs."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


def cache_folder() -> Path:
    """The folder of cached results.

    ``RELMP_CACHE`` where that is set; otherwise the platform's own place: ``~/.cache/relmp``
    (``XDG_CACHE_HOME`` is heeded), ``~/Library/Caches/relmp`` on macOS, and
    ``%LOCALAPPDATA%\\relmp`` on Windows.
    """
    if chosen := os.environ.get("RELMP_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "relmp"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "relmp"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "relmp"


def load_arrays(path: Path) -> dict[str, npt.NDArray[Any]] | None:
    """The arrays stored at ``path``; None where there are none or the file is damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def store_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Store arrays at ``path``, whole or not at all; a folder that cannot be written warns."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                named: Any = dict(arrays)
                np.savez(file, **named)
            Path(beside).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(beside).unlink()
            raise
    except OSError as error:
        warnings.warn(
            f"The result could not be cached in {path.parent} ({error}); it will be computed "
            f"again next time. Set RELMP_CACHE to a folder that can be written.",
            stacklevel=3,
        )
