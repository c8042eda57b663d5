"""A round as people see it: its graph, who hears whom and how loudly, and the same for channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from relmp.graphs.edges import adjacency
from relmp.rounds.layers import dense_weight
from relmp.rounds.round import Round

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_round(layer: Round, *, ax: Any = None) -> Figure:
    r"""A round's graph, its matrix of nodes and its matrix of channels, side by side.

    Both matrices lie as weights do: row i, column j is what node i makes of what node j says. Where
    messages are linear, the colour is the size of the weights on the edge,
    :math:`\|W_{ij}\| / \sqrt{\text{entries}}`, and of each weight; else only who hears whom.

    Args:
        layer: A round.
        ax: Three axes to draw into; a figure is made by default.

    Raises:
        ValueError: If this is no round.
    """
    from relmp.graphs.draw.views import draw_circular
    from relmp.picture import panels

    if not isinstance(layer, Round):
        raise ValueError(
            f"A round is drawn, but {type(layer).__name__} was given; take one of the rounds of "
            f"the model (relmp.summary lists them)."
        )
    figure, (first, second, third) = panels(ax, (11.5, 4.2), 1, 3)
    graph = layer.graph
    draw_circular(first, graph)
    first.set_title(graph.name or "graph", fontsize=9)
    nodes, channels, what = _matrices(layer)
    for axes, matrix, unit in ((second, nodes, "node"), (third, channels, "channel")):
        shown = axes.imshow(matrix, cmap="viridis", interpolation="nearest", aspect="auto")
        axes.set_facecolor("white")
        axes.set_xlabel(f"source {unit} (column of weight)", fontsize=8)
        axes.set_ylabel(f"target {unit} (row of weight)", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.set_title(f"{unit}s: {what}", fontsize=9)
        if what != "who hears whom":
            figure.colorbar(shown, ax=axes)
    return figure


def _matrices(layer: Round) -> tuple[npt.NDArray[Any], npt.NDArray[Any], str]:
    """Of nodes ``[n, n]`` and of channels ``[C_out, C_in]``, empty where there is no edge."""
    graph = layer.graph
    heard = adjacency(graph) | np.eye(graph.num_nodes, dtype=np.bool_)
    heard[graph.edges[1], graph.edges[0]] = True
    if graph.num_edges < heard.sum():  # a diagonal that is as given
        heard = np.zeros_like(heard)
        heard[graph.edges[1], graph.edges[0]] = True
    outs, ins = layer.out_partition.sizes, layer.in_partition.sizes
    spread = np.repeat(np.repeat(heard, outs, axis=0), ins, axis=1)
    try:
        with torch.no_grad():
            weight = dense_weight(layer).double().cpu()
    except ValueError:
        return _masked(heard, heard), _masked(spread, spread), "who hears whom"
    square = weight.flatten(2).square().mean(-1) if weight.dim() > 2 else weight.square()
    channels = square.numpy()
    starts = [np.concatenate([[0], np.cumsum(sizes)[:-1]]) for sizes in (outs, ins)]
    sums = np.add.reduceat(np.add.reduceat(channels, starts[0], axis=0), starts[1], axis=1)
    nodes = np.sqrt(sums / np.outer(outs, ins))
    return _masked(nodes, heard), _masked(np.sqrt(channels), spread), "size of weights"


def _masked(values: npt.NDArray[Any], there: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    return np.ma.masked_array(values.astype(np.float64), ~there)
