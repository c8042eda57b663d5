"""From a table of results to conclusions on disk: one call, everything written."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from relmp.analysis.figures import plot_sweet_spot
from relmp.analysis.results import MEASURES, Results
from relmp.analysis.summary import summarise
from relmp.analysis.sweet_spot import find_sweet_spot


def analyse(
    source: pd.DataFrame | str | Path,
    out: str | Path,
    *,
    measures: Sequence[str] = MEASURES,
    error: str = "test_error",
) -> str:
    """Analyse one task's results and write what was found.

    Writes ``results.csv`` and ``results.parquet`` (the table), ``sweet_spot.png`` and
    ``.pdf`` (the heat map), ``analysis.json`` (every number) and ``summary.txt``.

    Args:
        source: A table of results, or the folder of a sweep.
        out: Folder to write into; made if it is missing.
        measures: The two columns that span the map.
        error: The column to compare, lower is better.

    Returns:
        The conclusions, in plain sentences.

    Raises:
        ValueError: If the source holds nothing that can be analysed, or ``out`` cannot be
            written to.
    """
    table = source if isinstance(source, pd.DataFrame) else _collect(Path(source))
    results = Results.of(table, measures=measures, error=error)
    spot = find_sweet_spot(results)
    summary = summarise(results)
    text = f"{results.task}: {summary.describe()}\n{spot.describe()}\n"
    numbers = {"task": results.task, "summary": summary, "sweet_spot": spot}
    folder = _writable(Path(out))
    try:
        table.to_csv(folder / "results.csv", index=False)
        table.to_parquet(folder / "results.parquet", index=False)
        figure = plot_sweet_spot(results, spot)
        for suffix in ("png", "pdf"):
            figure.savefig(folder / f"sweet_spot.{suffix}", dpi=150)
        (folder / "analysis.json").write_text(json.dumps(as_json(numbers), indent=1) + "\n")
        (folder / "summary.txt").write_text(text)
    except OSError as problem:
        raise ValueError(f"{folder} could not be written to: {problem.strerror}.") from None
    return text


def as_json(value: Any) -> Any:
    """Plain JSON values: dataclasses and tables become objects, NaN and infinity null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, pd.DataFrame):
        return [as_json(row) for row in value.to_dict("records")]
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [as_json(item) for item in value]
    if isinstance(value, np.generic):
        return as_json(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _collect(folder: Path) -> pd.DataFrame:
    from relmp.sweep import collect

    table: pd.DataFrame = collect(folder, epochs="all")
    return table


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ValueError(
            f"{folder} cannot be made: {problem.strerror}; name a folder that can be written to."
        ) from None
    return folder
