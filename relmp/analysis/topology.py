"""The paths of layers through the plane of C and L where training changes or chooses edges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from relmp.graphs import RelationalGraph, degree_preserving_rewire
from relmp.picture import Place, panels
from relmp.rounds import Round
from relmp.rounds.messages import ScoredMessage
from relmp.training.loaded import LoadedRun, load_run
from relmp.training.rewiring.topology import Topology, read_topology

PUBLISHED = ((0.10, 0.50), (1.82, 2.75))
"""The sweet spot of the MLP on CIFAR-10 in C and in L (You et al., ICML 2020, figure 4)."""
NULL_MODELS = 20


def plot_topology(
    run: LoadedRun | str | Path, *, null_models: int = NULL_MODELS, ax: Place = None
) -> Figure:
    """Every layer's path through the plane of clustering and path length in training.

    A circle is the start, a star the end, a grey rectangle the published sweet spot. A cross is the
    mean of random graphs with the degrees of the end, its arms their deviation. Graphs are measured
    as C and L are everywhere, undirected and without self-loops;
    where a graph falls apart a path has a gap.

    Args:
        run: A run that was trained with ``rewiring=`` or with a scored message, or its folder.
        null_models: How many random graphs stand beside every end; 0 leaves them out.
        ax: Axes to draw into; a new figure by default.

    Raises:
        FileNotFoundError: If the run neither changed nor chose edges.
        ValueError: If a rule chose single weights, which have no such path.
    """
    folder = run.folder if isinstance(run, LoadedRun) else Path(run)
    records = read_topology(folder)
    if all(record["clustering"] is None for record in records):
        raise ValueError(
            f"In '{folder}' single weights were chosen (granularity='weight'), whose graph stays "
            f"complete; there is no path to draw."
        )
    graphs: dict[str, RelationalGraph] = {}
    if null_models:
        loaded = run if isinstance(run, LoadedRun) else load_run(folder)
        graphs = graphs_in_use(loaded.model)
    figure, (axes,) = panels(ax, (6.4, 5.0))
    (c_low, c_high), (l_low, l_high) = PUBLISHED
    axes.add_patch(
        Rectangle(
            (c_low, l_low), c_high - c_low, l_high - l_low, color="0.85", zorder=0,
            label="published sweet spot",
        )
    )  # fmt: skip
    for number, (layer, path) in enumerate(by_layer(records).items()):
        points = np.array([_point(record) for record in path], dtype=float)
        colour = f"C{number % 10}"
        axes.plot(*points.T, "-", color=colour, lw=1, alpha=0.7, label=layer)
        axes.plot(*points[0], "o", color=colour)
        axes.plot(*points[-1], "*", color=colour, markersize=13, markeredgecolor="black")
        if layer in graphs:
            spread = null_points(graphs[layer], null_models)
            spread = spread[np.isfinite(spread).all(1)]
            if not len(spread):
                continue
            (x, y), (dx, dy) = spread.mean(0), spread.std(0)
            axes.errorbar(x, y, dy, dx, fmt="x", color=colour, capsize=2)
    axes.set_xlabel("clustering coefficient C")
    axes.set_ylabel("average path length L")
    axes.set_title(f"{folder.name}: edges in training")
    axes.legend(fontsize="small")
    return figure


def graphs_in_use(model: nn.Module) -> dict[str, RelationalGraph]:
    """The graph of every round by its name; of a scored one, what it has chosen."""
    rounds = ((name, layer) for name, layer in model.named_modules() if isinstance(layer, Round))
    return {
        name: layer.selected() if isinstance(layer.message_module, ScoredMessage) else layer.graph
        for name, layer in rounds
    }


def by_layer(records: list[Topology]) -> dict[str, list[Topology]]:
    """The records of every layer, in order."""
    found: dict[str, list[Topology]] = {}
    for record in records:
        found.setdefault(record["layer"], []).append(record)
    return found


def null_points(graph: RelationalGraph, count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """``[count, 2]``: C and L of random graphs with the degrees of this one, undirected."""
    shape = graph.undirected()
    drawn = [degree_preserving_rewire(shape, seed=seed) for seed in range(count)]
    return np.array([(one.clustering, one.path_length) for one in drawn])


def _point(record: Topology) -> tuple[float, float]:
    length = record["path_length"]
    return record["clustering"], np.nan if length is None else length
