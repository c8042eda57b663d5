"""Neurons of one region as the channels of one node."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from relmp.graphs import RelationalGraph
from relmp.models.recurrent.masked import MaskedMessage
from relmp.rounds import ChannelPartition
from relmp.rounds.form import RoundForm
from relmp.rounds.layout import EdgeLayout
from relmp.rounds.message import LinearMessage


def grouped(
    graph: RelationalGraph, regions: int | Sequence[int]
) -> tuple[RelationalGraph, ChannelPartition, partial[MaskedMessage]]:
    """A graph whose nodes are groups of neighbouring neurons, their sizes, and the message of it.

    Two groups are joined where a synapse goes from one to the other; the message's mask says which
    synapses there are.

    Args:
        graph: Neurons, the groups one after another.
        regions: How many neurons each group has, or all.

    Raises:
        ValueError: If the sizes do not add up to the neurons.
    """
    n = graph.num_nodes
    sizes = [regions] * max(1, n // regions) if isinstance(regions, int) else list(regions)
    if sum(sizes) != n:
        raise ValueError(
            f"The regions have {sum(sizes)} neurons together, but the graph has {n} nodes; give "
            f"the number of neurons of every region (relmp.region_sizes(graph))."
        )
    partition = ChannelPartition.from_sizes(sizes)
    region = np.repeat(np.arange(len(sizes)), sizes)
    source, target = graph.edges
    joined = np.unique(region[source] * len(sizes) + region[target])
    coarse = RelationalGraph(
        len(sizes), np.stack(np.divmod(joined, len(sizes))), name=graph.name, self_loops=False
    )
    synapses = torch.zeros(n, n, dtype=torch.bool)
    synapses[torch.from_numpy(target.copy()), torch.from_numpy(source.copy())] = True
    shape = (coarse.num_edges, partition.max_size, partition.max_size)
    form = RoundForm(coarse, partition, partition, LinearMessage(*shape), "sum")
    return coarse, partition, partial(MaskedMessage, mask=EdgeLayout(form).gather(synapses))
