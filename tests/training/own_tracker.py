"""A tracker of a user's, as a module that workers can import."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Lines:
    """Writes a line a record, and one when the run ends."""

    def __init__(self, folder: Path, run: Mapping[str, Any]) -> None:
        self.path = folder / "tracked.txt"
        self.write({"lr": run["training"]["lr"]})

    def __call__(self, record: dict[str, Any]) -> None:
        self.write({"epoch": record["epoch"]})

    def close(self) -> None:
        """The run has ended."""
        self.write({"closed": True})

    def write(self, values: dict[str, Any]) -> None:
        """Add a line."""
        with self.path.open("a") as file:
            file.write(json.dumps(values) + "\n")
