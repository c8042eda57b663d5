"""Pictures of brains: states over time on the drawn graph, and graphs on the map of C and L."""

from __future__ import annotations

import html
import json
import math
import os
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from relmp.files import write_text
from relmp.graphs import RelationalGraph
from relmp.graphs.edges import links
from relmp.models import RecurrentNetwork, RelationalRNN
from relmp.picture import Place, panels

MAX_DRAWN = 1000
"""So many nodes are drawn; a picture of more is one blot."""
_MAX_LINES = 20_000


@torch.no_grad()
def write_states(
    model: RelationalRNN | RecurrentNetwork, inputs: Tensor, path: str | os.PathLike[str]
) -> Path:
    """Write one page that shows the state of every node while a sequence goes in.

    Nodes that are joined lie close together, a node's colour is the mean of its channels, and a
    slider goes through the steps. One HTML file that needs no network.

    Args:
        model: The network.
        inputs: One sequence ``[T, C]``.
        path: Where to.

    Returns:
        The path.

    Raises:
        ValueError: If the graph has too many nodes to be told apart, or the network does not take
            the sequence.
    """
    rnn = model.rnn if isinstance(model, RecurrentNetwork) else model
    graph = rnn.graph
    if graph.num_nodes > MAX_DRAWN:
        raise ValueError(
            f"The graph has {graph.num_nodes} nodes, and at most {MAX_DRAWN} can be told apart; "
            f"show a network with fewer neurons a region."
        )
    if inputs.dim() != 2:
        raise ValueError(f"One sequence [T, C] is shown, but {list(inputs.shape)} was given.")
    states, _ = rnn(inputs.to(rnn.weight_ih))
    sizes = torch.from_numpy(rnn.units.sizes)
    node = torch.arange(len(sizes)).repeat_interleave(sizes)
    means = torch.zeros(len(states), len(sizes)).index_add_(1, node, states.float().cpu()) / sizes
    heard = inputs.float().abs().sum(1)
    shown = _joined(graph)
    data = {
        "places": _places(graph).round(4).tolist(),
        "edges": shown.tolist(),
        "opacity": round(min(0.6, 12 / math.sqrt(max(len(shown), 1))), 3),
        "states": [[round(value, 4) for value in row] for row in means.tolist()],
        "inputs": [round(value, 4) for value in (heard / heard.max().clamp(min=1e-12)).tolist()],
        "scale": max(float(means.abs().max()), 1e-12),
    }
    title = f"{graph.name or graph.key}: {graph.num_nodes} nodes, {graph.num_edges} edges"
    note = "" if len(shown) < _MAX_LINES else f"{_MAX_LINES} of the edges are drawn."
    page = files("relmp.analysis.report").joinpath("page_files/states.html").read_text("utf-8")
    text = page.replace("{{title}}", html.escape(title)).replace("{{note}}", note)
    text = text.replace("{{data}}", json.dumps(data))
    target = Path(path)
    write_text(target, text)
    return target


def plot_places(
    graphs: Mapping[str, RelationalGraph | Iterable[RelationalGraph]], *, ax: Place = None
) -> Figure:
    """Graphs on the map of C and L, a colour for every name.

    Args:
        graphs: Graphs by what they are called: a connectome, its null models.
        ax: Axes to draw into; a new figure by default.

    Raises:
        ValueError: If there are none, or none is connected.
    """
    figure, (axes,) = panels(ax, (7.0, 5.2))
    drawn = 0
    for name, given in graphs.items():
        several = [given] if isinstance(given, RelationalGraph) else list(given)
        connected = [graph for graph in several if math.isfinite(graph.path_length)]
        if not connected:
            continue
        drawn += len(connected)
        alone = len(connected) == 1
        axes.plot(
            [graph.clustering for graph in connected],
            [graph.path_length for graph in connected],
            "D" if alone else "o",
            ms=8 if alone else 5,
            alpha=1.0 if alone else 0.6,
            markeredgecolor="black" if alone else "none",
            label=name,
        )
    if not drawn:
        raise ValueError("No connected graph was given, so there is nothing to place on the map.")
    axes.set_xlabel("clustering coefficient C")
    axes.set_ylabel("average path length L")
    axes.legend(fontsize=8)
    return figure


def _joined(graph: RelationalGraph) -> Any:
    """``[E, 2]``: pairs of nodes that are joined in either direction, at most so many."""
    kept = links(graph, directed=True)
    pairs = np.unique(np.sort(graph.edges[:, kept], axis=0).T, axis=0)
    if len(pairs) > _MAX_LINES:
        pairs = pairs[np.linspace(0, len(pairs) - 1, _MAX_LINES).astype(int)]
    return pairs


def _places(graph: RelationalGraph) -> Any:
    """``[n, 2]``: where nodes are drawn, within the unit square."""
    plain: nx.Graph[int] = nx.empty_graph(graph.num_nodes)
    plain.add_edges_from(_joined(graph).tolist())
    found = nx.spring_layout(plain, seed=0, iterations=60)
    place = np.array([found[i] for i in range(graph.num_nodes)])
    span = np.ptp(place, axis=0)
    return (place - place.min(axis=0)) / np.where(span > 0, span, 1)
