"""The paper's published raw results, read into a table of results.

A folder holds pairs of files ``names_<task>_epoch<e>.npy`` (strings that describe a graph) and
``results_<task>_epoch<e>.npy`` (``[graphs, seeds, 8]``). Which graph a row is about is worked
out from its settings: the graph is generated again, and its key, C and L are the graph's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from relmp.graphs import RelationalGraph, create_graph
from relmp.graphs.space.design_space import PROBABILITIES, degrees

_FILE = re.compile(r"names_(?P<task>.+?)(_seed\d+)?_epoch(?P<epoch>\d+)\.npy")
# Columns of a names file that say which graph a row is about.
_NODES, _GENERATOR, _SPARSITY, _PROBABILITY, _GRAPH_SEED = 2, 3, 4, 5, 7
# Columns of a results file.
_PARAMETERS, _FLOPS, _SECONDS, _ERROR, _TOP5, _NUM_NODES, _WIDTH, _SEED = range(8)


@dataclass(frozen=True)
class Published:
    """Published results: the table, and the graphs that its keys stand for."""

    table: pd.DataFrame
    graphs: Mapping[str, RelationalGraph]


def read_published(folders: Iterable[str | Path]) -> Published:
    """Read folders of published results, one or several seeds, epochs and tasks together.

    Parameters and FLOPs are as printed there (millions and billions, three decimals);
    ``test_error`` is the top-1 error in percent.

    Raises:
        ValueError: If a folder holds no results, a file is damaged or holds pickled objects,
            or a graph cannot be generated from its settings.
    """
    from relmp.sweep.store import COLUMNS  # loads torch, which nothing else here needs

    pairs = [pair for folder in folders for pair in _pairs(Path(folder))]
    if not pairs:
        raise ValueError("No folder of published results was given; name at least one.")
    generated: dict[tuple[str, ...], RelationalGraph] = {}
    rows = [row for pair in pairs for row in _rows(*pair, generated)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return Published(table, {graph.key: graph for graph in generated.values()})


def _pairs(folder: Path) -> list[tuple[Path, Path, str, int]]:
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}; name one that holds names_*.npy files.")
    pairs = []
    for names in sorted(folder.glob("names_*.npy")):
        match = _FILE.fullmatch(names.name)
        results = names.with_name(names.name.replace("names_", "results_", 1))
        if match is None:
            raise ValueError(f"{names} should be called names_TASK_epochN.npy.")
        if not results.is_file():
            raise ValueError(f"{names} has no {results.name} beside it.")
        pairs.append((names, results, match["task"], int(match["epoch"])))
    if not pairs:
        raise ValueError(f"{folder} holds no published results (no names_*.npy file).")
    return pairs


def _rows(
    names_file: Path,
    results_file: Path,
    task: str,
    epoch: int,
    generated: dict[tuple[str, ...], RelationalGraph],
) -> Iterable[dict[str, Any]]:
    names, results = _load(names_file), _load(results_file)
    if names.ndim != 2 or names.shape[1] <= _GRAPH_SEED or names.dtype.kind != "U":
        raise ValueError(
            f"{names_file} should hold strings of shape [graphs, 15], but holds "
            f"{names.dtype} of shape {list(names.shape)}."
        )
    if results.ndim != 3 or results.shape[2] < 8 or len(results) != len(names):
        raise ValueError(
            f"{results_file} should have shape [{len(names)}, seeds, 8] (parameters, FLOPs, "
            f"seconds, top-1, top-5, nodes, width, seed), but has {list(results.shape)}."
        )
    model, _, data = task.rpartition("_")
    columns = [_NODES, _GENERATOR, _SPARSITY, _PROBABILITY, _GRAPH_SEED]
    for settings, runs in zip(names[:, columns], results.astype(np.float64), strict=True):
        key = tuple(str(setting) for setting in settings)
        if key not in generated:
            generated[key] = _generate(key, names_file)
        graph = generated[key]
        facts = {
            "model": model or task,
            "data": data,
            "graph": graph.name,
            "graph_key": graph.key,
            "num_nodes": graph.num_nodes,
            "density": graph.density,
            "clustering": graph.clustering,
            "path_length": graph.path_length,
            "epoch": epoch,
        }
        for run in runs[np.isfinite(runs[:, _SEED])]:
            seed = int(run[_SEED])
            yield facts | {
                "run": f"{task}-{graph.key}-{seed}",
                "width": int(run[_WIDTH]),
                "flops": run[_FLOPS] * 1e9,
                "parameters": run[_PARAMETERS] * 1e6,
                "seed": seed,
                "test_error": run[_ERROR],
                "seconds": np.nan,
            }


def _load(file: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(file, allow_pickle=False)
    except (ValueError, OSError, EOFError) as problem:
        raise ValueError(f"{file} is not a plain NumPy array: {problem}") from None
    return array


def _generate(settings: tuple[str, ...], source: Path) -> RelationalGraph:
    generator = settings[1]
    try:
        n, sparsity, p, seed = (float(settings[i]) for i in (0, 2, 3, 4))
    except ValueError:
        raise ValueError(f"{source} names a graph by {settings}, which are no numbers.") from None
    if sparsity == 1:
        return create_graph("complete", n=int(n), name="complete")
    if generator != "ws":
        raise ValueError(
            f"{source} names a graph by the generator '{generator}'; only 'ws' can be generated."
        )
    k = _on_grid(sparsity * n, degrees(int(n)) if int(n) in (16, 64) else np.empty(0), n)
    p = _on_grid(p, PROBABILITIES, 1)
    name = f"ws_flex(n={int(n)}, k={k:.4g}, p={p:.3g}, seed={int(seed)})"
    return create_graph("ws_flex", name=name, n=int(n), k=k, p=p, seed=int(seed))


def _on_grid(printed: float, grid: npt.NDArray[np.float64], scale: float) -> float:
    """The setting that was printed with six decimals: the grid's, where it is one of them."""
    near = grid[np.abs(grid - printed) <= 1e-6 * scale]
    return float(near[0]) if len(near) else printed
