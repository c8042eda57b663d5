"""Fixtures of the graph tests."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("graphs", deadline=None)  # the first call of a kernel compiles it
settings.load_profile("graphs")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder of the test run's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RELMP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def untouched_generators() -> Iterator[None]:
    """No test may change the global generators of Python and NumPy."""
    python, numpy = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    yield
    assert random.getstate() == python
    assert np.array_equal(np.random.get_state()[1], numpy)  # noqa: NPY002
