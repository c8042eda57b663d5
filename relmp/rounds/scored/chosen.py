"""What scores have chosen, as a relational graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from relmp.graphs import RelationalGraph
from relmp.rounds.scored.message import ScoredMessage
from relmp.rounds.scored.selection import highest


class HasGraph(Protocol):
    """A round, as far as it matters here."""

    graph: RelationalGraph
    message_module: nn.Module

    if TYPE_CHECKING:

        @property
        def edge_index(self) -> Tensor: ...


def selected_graph(layer: HasGraph) -> RelationalGraph:
    """The edges of a scored round that count.

    Where edges have scores, these are the chosen ones, with the attributes that they have. Where
    single weights have scores, the attribute of an edge is the share of its weights that was
    chosen, and as many edges as would be chosen otherwise are there: those of which most was, of
    equal ones those that come last. A node may hear nothing, itself included.

    Args:
        layer: The round.

    Raises:
        ValueError: If its message is not scored.
    """
    message, graph = layer.message_module, layer.graph
    if not isinstance(message, ScoredMessage):
        raise ValueError(
            f"{type(message).__name__} chooses nothing; give the round a message that does, such "
            f"as message='scored(keep=0.3)'."
        )
    attr = graph.edge_attr
    mask = message.selection.select(message.scores)
    if mask.dim() > 1:
        share = chosen_shares(message, mask)
        attr = share[:, None]
        mask = highest(share, message.selection.options.keep)
    mask = mask.cpu()
    return RelationalGraph(
        graph.num_nodes,
        graph.edge_index[:, mask],
        None if attr is None else attr[mask],
        self_loops=False,
        labels=graph.labels,
        name=f"{graph.name or graph.key} selected",
    )


def chosen_shares(message: ScoredMessage, mask: Tensor) -> Tensor:
    """``[E]``: the share of the weights of every edge that is chosen, in double precision."""
    real = torch.zeros_like(mask).flatten()
    slots = message.selection.slots
    real[slice(None) if slots is None else slots] = True
    per_edge = [part.view(len(mask), -1).sum(1).cpu().double() for part in (mask, real)]
    return per_edge[0] / per_edge[1]
