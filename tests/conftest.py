"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of published data beside the repository (or in RELMP_SHARED)."""
    beside = Path(__file__).parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("RELMP_SHARED", beside))
    if not folder.is_dir():
        pytest.skip(f"The published data are not at {folder}; set RELMP_SHARED to their folder.")
    return folder
