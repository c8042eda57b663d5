"""The graph of trained weights: what a dense layer's weights look like as a relational graph.

Channels are dealt out to nodes; the strength of a pair of nodes is the root mean square of the
weights between their channels, both ways; the strongest pairs are the edges. At a fixed density
C and L then say how the weights are organised, and random weights of the same layer are the
control.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn

from relmp.analysis.results import Array
from relmp.graphs import RelationalGraph
from relmp.rounds.channels import ChannelPartition


def strengths(
    layer: nn.Module | torch.Tensor | npt.NDArray[np.floating],
    partition: tuple[ChannelPartition, ChannelPartition] | int,
) -> Array:
    """``[n, n]``: root mean square of the weights from node j (column) to node i (row).

    Args:
        layer: A dense layer with a ``weight``, or the weight ``[out, in, *kernel]``.
        partition: The channels of the output's and the input's nodes, or the number of nodes,
            whose channels are then those that a round would give them.

    Raises:
        ValueError: If there are fewer channels than nodes, the partition does not fit, or the
            layer has no such weight.
    """
    weight = getattr(layer, "weight", layer)
    values = torch.as_tensor(weight).detach().to("cpu", torch.float64)
    if values.ndim < 2:
        raise ValueError(
            f"A weight of shape [out, in, ...] is needed, but it has {list(values.shape)}."
        )
    if isinstance(partition, int):
        out, into = (ChannelPartition(partition, int(c)) for c in values.shape[:2])
    else:
        out, into = partition
    if (out.channels, into.channels) != tuple(values.shape[:2]) or out.num_nodes != into.num_nodes:
        raise ValueError(
            f"The partition deals {out.channels} x {into.channels} channels to "
            f"{out.num_nodes} x {into.num_nodes} nodes, but the weight has "
            f"{values.shape[0]} x {values.shape[1]} channels."
        )
    squares = (values**2).flatten(2).mean(2) if values.ndim > 2 else values**2
    by_node = np.add.reduceat(squares.numpy(), _starts(out), axis=0)
    by_node = np.add.reduceat(by_node, _starts(into), axis=1)
    return np.asarray(np.sqrt(by_node / np.outer(out.sizes, into.sizes)))


def trained_graph(
    layer: nn.Module | torch.Tensor | npt.NDArray[np.floating],
    partition: tuple[ChannelPartition, ChannelPartition] | int,
    *,
    density: float = 0.2,
    name: str = "",
) -> RelationalGraph:
    """The undirected graph of a layer's strongest pairs of nodes.

    Args:
        layer: As for :func:`strengths`.
        partition: As for :func:`strengths`.
        density: Share of the n squared edges to keep, self-loops included.
        name: Name of the graph.

    Raises:
        ValueError: If the density is below that of the self-loops alone or above 1.
    """
    both = strengths(layer, partition)
    both = np.hypot(both, both.T)
    n = len(both)
    if not 1 / n <= density <= 1:
        raise ValueError(
            f"density must lie between {1 / n:.4g} (self-loops alone) and 1, but is {density}."
        )
    rows, columns = np.triu_indices(n, 1)
    count = round((density * n**2 - n) / 2)
    strongest = np.argsort(-both[rows, columns], kind="stable")[:count]
    pairs = zip(rows[strongest].tolist(), columns[strongest].tolist(), strict=True)
    return RelationalGraph.from_edges(pairs, n, name=name)


def trace_training(
    snapshots: Iterable[tuple[int, Mapping[str, torch.Tensor]]],
    num_nodes: int,
    *,
    densities: Iterable[float] = (0.15, 0.2, 0.3),
    seed: int = 0,
) -> pd.DataFrame:
    """C and L of a dense network's weights in the course of training.

    Args:
        snapshots: Pairs of an epoch and a ``state_dict``. Every weight in it with at least
            ``num_nodes`` channels on both sides is followed.
        num_nodes: Number of nodes.
        densities: The densities at which the graphs are cut.
        seed: Draws the control, the same weights in random places.

    Returns:
        One row an epoch, weight and density: ``clustering``, ``path_length`` (infinite where
        the graph falls apart), and the control's.
    """
    rng = np.random.default_rng(seed)
    densities = tuple(densities)
    rows = []
    for epoch, state in snapshots:
        for name, weight in state.items():
            if weight.ndim < 2 or min(weight.shape[:2]) < num_nodes:
                continue
            values = weight.detach().cpu().double().numpy()
            control = rng.permutation(values.ravel()).reshape(values.shape)
            for density in densities:
                graph = trained_graph(values, num_nodes, density=density)
                random = trained_graph(control, num_nodes, density=density)
                rows.append(
                    {
                        "epoch": epoch,
                        "weight": name,
                        "density": graph.density,
                        "clustering": graph.clustering,
                        "path_length": graph.path_length,
                        "control_clustering": random.clustering,
                        "control_path_length": random.path_length,
                    }
                )
    return pd.DataFrame(rows)


def _starts(partition: ChannelPartition) -> npt.NDArray[np.int64]:
    return np.cumsum(partition.sizes) - partition.sizes
