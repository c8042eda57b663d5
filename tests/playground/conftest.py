"""One browser for the tests of a file, with the page open in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from relmp.playground import write_page
from relmp.playground.presets import karate_club
from tests.analysis.browser import Browser


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("playground") / "playground.html"
    path.write_text(write_page([karate_club()]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def running(page: Path) -> Iterator[Browser]:
    with Browser() as browser:
        browser.open(page)
        browser.wait_for("document.body.dataset.ready")
        yield browser


@pytest.fixture
def browser(running: Browser, page: Path) -> Browser:
    """The page as it is when it has just been opened."""
    running.open(page.with_name("playground.html"), "#")
    running.run("location.reload()")
    running.wait_for("document.body.dataset.ready")
    return running
