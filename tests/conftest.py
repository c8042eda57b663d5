"""What the tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import relmp.rounds  # noqa: F401  (imports PyTorch Geometric with its warning silenced)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The published graph sets, connectomes and results; they are not part of the project."""
    default = Path(__file__).parents[1].parent / "shared"
    folder = Path(os.environ.get("RELMP_SHARED", default)) / "data"
    if not folder.is_dir():
        pytest.skip(f"the published data are not in '{folder}' (set RELMP_SHARED)")
    return folder
