"""A folder that an analysis writes into."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from relmp.files import atomic_write, write_csv, write_text


class OutputFolder:
    """Makes the folder, and turns every failure to write into one sentence.

    Raises:
        ValueError: If the folder cannot be made or written to.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with self._sentence():
            self.path.mkdir(parents=True, exist_ok=True)

    def __truediv__(self, name: str) -> OutputFolder:
        return OutputFolder(self.path / plain_name(name))

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """``name.csv`` and ``name.parquet``."""
        with self._sentence():
            write_csv(self.path / f"{name}.csv", table)
            parquet = self.path / f"{name}.parquet"
            atomic_write(parquet, lambda part: table.to_parquet(part, index=False))

    def write_figure(self, name: str, figure: Figure) -> None:
        """``name.png`` and ``name.pdf``."""
        name = plain_name(name)
        with self._sentence():
            for suffix in ("png", "pdf"):
                atomic_write(
                    self.path / f"{name}.{suffix}",
                    partial(figure.savefig, dpi=150, format=suffix),
                )

    def write_json(self, name: str, values: Any) -> None:
        """Plain values; NaN is an error."""
        self.write_text(name, json.dumps(values, indent=1, allow_nan=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """A file of UTF-8 text."""
        with self._sentence():
            write_text(self.path / name, text)

    @contextmanager
    def _sentence(self) -> Iterator[None]:
        try:
            yield
        except OSError as problem:
            raise ValueError(
                f"The output folder '{self.path}' cannot be written to "
                f"({problem.strerror or problem}); name another one."
            ) from None


def plain_name(name: str) -> str:
    """A name as that of a file in this folder and no other."""
    return re.sub(r"[^\w.+-]+", "_", name).strip(".") or "_"
