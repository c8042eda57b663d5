"""Every exported name has its page."""

from __future__ import annotations

from pathlib import Path

import relmp

API = Path(__file__).parents[2] / "docs" / "api"


def test_every_exported_name_has_its_page() -> None:
    text = "\n".join(page.read_text() for page in API.glob("*.md"))
    words = set(text.split())
    lacking = [name for name in relmp.__all__ if f"relmp.{name}" not in words]
    assert not lacking, f"Give {lacking} a line in a page of docs/api."
