"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Published data beside the repository; tests that need it skip where it is missing."""
    beside = Path(__file__).parents[1].parent / "shared"
    folder = Path(os.environ.get("RELMP_SHARED", beside)) / "data"
    if not folder.is_dir():
        pytest.skip(f"the published data are not at {folder}; RELMP_SHARED names another folder")
    return folder
