"""Edges are replaced while the round stays: parameters follow edges, tables keep their places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from relmp.graphs import RelationalGraph
from relmp.graphs.relational_graph import require_graph
from relmp.rounds.channels import ChannelPartition
from relmp.rounds.execution import MESSAGE_PASSING
from relmp.rounds.execution.gathered import GatheredExecution
from relmp.rounds.form import Edges, RoundForm, make_edges
from relmp.rounds.message import Message, WeightedMessage, as_message

NewEdges: TypeAlias = Literal["zero", "draw"]
"""How the parameters of new edges start: at zero, or as the layer initialises."""

REWIRED = 2
"""Version of the state of a round whose edges are no longer those that it was built with."""


class HasEdges(Protocol):
    """A round, as far as its edges matter."""

    graph: RelationalGraph
    in_partition: ChannelPartition
    out_partition: ChannelPartition
    message_module: nn.Module
    executor: nn.Module | None
    edge_index: Tensor
    edge_attr: Tensor | None
    _version: int
    _asked_execution: str

    if TYPE_CHECKING:

        @property
        def form(self) -> RoundForm: ...
        @property
        def edges(self) -> Edges: ...
        def set_execution(self, execution: str) -> None: ...
        def get_buffer(self, target: str) -> Tensor: ...
        def register_buffer(self, name: str, tensor: Tensor | None) -> None: ...


def derived_tables(edges: Edges) -> dict[str, Tensor]:
    """What a round keeps of its edges beside ``edge_index`` and ``edge_attr``."""
    return {
        "ptr": edges.ptr,
        "source_mask": edges.source_mask,
        "target_mask": edges.target_mask,
        "node_mask": edges.node_mask,
    }


@torch.no_grad()
def rewire_round(layer: HasEdges, graph: RelationalGraph, new: NewEdges) -> Tensor:
    """Replace the edges of a round in place: :meth:`relmp.Round.rewire`.

    Rows of :meth:`Message.edge_tensors` follow their edges; those of new edges start at zero or,
    with ``new="draw"``, as the layer initialises. Parameters that edges share stay, and so does
    what an aggregation has learned of the degrees at the start. Parameter objects stay, and tables
    are copied into their places, whose number does not change: optimisers and compiled models go
    on. The gathered execution gets room for the largest degree that it takes, and a round that
    outgrows it is executed as ``"auto"`` has it; the kernels of a GPU are told the longest list of
    a node, and may be compiled again for it.

    Raises:
        ValueError: If the graph has another number of nodes or edges, or other attributes, or it is
            not known which parameters belong to edges.
    """
    _check_fits(layer, graph)
    if new not in ("zero", "draw"):
        raise ValueError(f"new must be 'zero' or 'draw', but is {new!r}.")
    message = as_message(layer.message_module)
    rows = edge_rows(message, layer.graph.num_edges)
    old = old_positions(layer.graph, graph).to(layer.edge_index.device)
    kept = [moved_rows(tensor, old) for tensor in rows]
    before = layer.graph
    layer.graph = graph
    try:
        _copy_tables(layer, graph)
        message.connect(layer.edges)
    except ValueError:
        layer.graph = before
        _copy_tables(layer, before)
        message.connect(layer.edges)
        raise
    if new == "draw":
        _draw_new(message, layer.edges, rows, kept, old)
    for tensor, values in zip(rows, kept, strict=True):
        tensor.copy_(values)
    _refresh_execution(layer)
    layer._version = REWIRED
    return old


def old_positions(before: RelationalGraph, after: RelationalGraph) -> Tensor:
    """``[E]``: where each edge of ``after`` is among those of ``before``; -1 for a new one."""
    n = before.num_nodes
    codes, wanted = (graph.edges[1] * n + graph.edges[0] for graph in (before, after))
    place = np.searchsorted(codes, wanted)
    found = codes[np.minimum(place, len(codes) - 1)] == wanted if len(codes) else place < 0
    return torch.from_numpy(np.where(found, place, -1))


def moved_rows(tensor: Tensor, old: Tensor) -> Tensor:
    """Rows of ``tensor [E, ...]`` at their new positions, zeros for new ones (``old`` is -1)."""
    rows = tensor.index_select(0, old.clamp(min=0))
    return rows.masked_fill_((old < 0).view(-1, *[1] * (rows.dim() - 1)), 0)


def edge_rows(message: Message, num_edges: int) -> list[Tensor]:
    """The tensors of a message with one entry an edge.

    Raises:
        ValueError: If a parameter has as many entries as there are edges, and the message does not
            say whether they belong to these.
    """
    for name, tensor in _undeclared(message):
        if tensor.dim() and tensor.size(0) == num_edges:
            raise ValueError(
                f"'{name}' has as many rows as there are edges, {num_edges}, and "
                f"{type(message).__name__} does not say whether they belong to edges; give it a "
                f"method edge_tensors() that lists the parameters with one entry an edge."
            )
    return [tensor for tensor in message.edge_tensors() if tensor.size(0) == num_edges]


def set_weight_mask(layer: HasEdges, mask: Tensor) -> None:
    """:meth:`relmp.Round.mask_weights`."""
    message = layer.message_module
    if not isinstance(message, WeightedMessage) or "weight" not in message._parameters:
        raise ValueError(
            f"{type(message).__name__} has no trained weight for every edge, so single weights "
            f"cannot be left out."
        )
    if mask.shape != message.weight.shape or mask.dtype != torch.bool:
        raise ValueError(
            f"mask must be boolean of shape {list(message.weight.shape)}, but is {mask.dtype} of "
            f"shape {list(mask.shape)}."
        )
    with torch.no_grad():
        message.weight.mul_(mask.to(message.weight))
    layer.register_buffer("weight_mask", mask.to(message.weight.device))


def take_saved_edges(
    layer: HasEdges, state: Mapping[str, Any], prefix: str, version: int
) -> str | None:
    """Rewire a round to the edges in a saved state, where they were rewired in training.

    Returns:
        What keeps it from being loaded, the end of a sentence; None where nothing does.
    """
    if version > REWIRED:
        return f"was saved by a newer format ({version})."
    mask = state.get(f"{prefix}weight_mask")
    if mask is not None and mask.shape == layer.message_module.weight.shape:
        layer.register_buffer("weight_mask", mask.to(layer.edge_index.device))
    saved = state.get(f"{prefix}edge_index")
    if saved is None or torch.equal(saved.cpu(), layer.edge_index.cpu()):
        return None
    n = layer.graph.num_nodes
    if version == REWIRED and saved.shape == layer.edge_index.shape and int(saved.max()) < n:
        attr = state.get(f"{prefix}edge_attr")
        name = f"{layer.graph.name or layer.graph.key} rewired"
        graph = RelationalGraph(
            n, saved.cpu(), None if attr is None else attr.cpu(), self_loops=False, name=name
        )
        rewire_round(layer, graph, "zero")
        return None
    return (
        f"was saved for another graph: {int(saved.max()) + 1} nodes and {saved.size(1)} edges "
        f"there, {layer.graph} here."
    )


def _check_fits(layer: HasEdges, graph: RelationalGraph) -> None:
    here = require_graph(layer.graph)
    if (require_graph(graph).num_nodes, graph.num_edges) != (here.num_nodes, here.num_edges):
        raise ValueError(
            f"A round keeps its number of nodes and edges, {here.num_nodes} and "
            f"{here.num_edges}, but the new graph has {graph.num_nodes} and {graph.num_edges}."
        )
    if getattr(layer, "weight_mask", None) is not None and graph != here:
        raise ValueError(
            "This round leaves out single weights (weight_mask), so its edges stay; change the "
            "mask."
        )
    shapes = [None if g.edge_attr is None else g.edge_attr.shape for g in (here, graph)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            "The new graph must have edge attributes of the same number as the old one has, or "
            "none where it has none."
        )


def _copy_tables(layer: HasEdges, graph: RelationalGraph) -> None:
    layer.edge_index.copy_(graph.edge_index)
    if layer.edge_attr is not None and graph.edge_attr is not None:
        layer.edge_attr.copy_(graph.edge_attr)
    edges = make_edges(graph, layer.in_partition, layer.out_partition)
    for name, table in derived_tables(edges).items():
        layer.get_buffer(name).copy_(table)
    fused: Any = layer.get_buffer("fused_edge_index")
    fresh: Any = type(fused)(
        graph.edge_index, sparse_size=(graph.num_nodes,) * 2, sort_order="col"
    ).fill_cache_()
    for mine, other in zip(_stored(fused), _stored(fresh), strict=True):
        mine.copy_(other)


def _stored(index: Any) -> Iterator[Tensor]:
    """The tensors that PyG's ``EdgeIndex`` consists of."""
    found = [index._data, index._indptr, index._T_perm, *index._T_index, index._T_indptr]
    return (tensor for tensor in found if tensor is not None)


def _draw_new(
    message: Message, edges: Edges, rows: list[Tensor], kept: list[Tensor], old: Tensor
) -> None:
    """Let the message draw itself anew, and take of that what belongs to new edges."""
    chosen = {id(tensor) for tensor in rows}
    state = [*message.parameters(), *message.buffers()]
    others = [(tensor, tensor.clone()) for tensor in state if id(tensor) not in chosen]
    message.reset_parameters(edges)
    for tensor, values in zip(rows, kept, strict=True):
        values[old < 0] = tensor[old < 0]
    for tensor, values in others:
        tensor.copy_(values)


def _undeclared(message: Message) -> Iterator[tuple[str, Tensor]]:
    """Parameters of messages that do not say which of theirs belong to edges."""
    if type(message).edge_tensors is not Message.edge_tensors:
        return
    inside = [part for part in message.modules() if part is not message]
    declared = {id(t) for part in inside if isinstance(part, Message) for t in part.parameters()}
    yield from (item for item in message.named_parameters() if id(item[1]) not in declared)


def _refresh_execution(layer: HasEdges) -> None:
    """Bring the tables of the execution to the new edges, in the places that they have."""
    executor, form = layer.executor, layer.form
    if executor is None:
        return
    kind: Any = type(executor)
    if kind.refusal(form) is not None:
        asked = layer._asked_execution
        layer.set_execution("auto" if asked != MESSAGE_PASSING else asked)
        return
    fresh = GatheredExecution.with_room(form) if kind is GatheredExecution else kind(form)
    theirs = dict(fresh.named_buffers())
    if any(theirs[name].shape != mine.shape for name, mine in executor.named_buffers()):
        layer.executor = fresh.to(layer.edge_index.device)  # once, to get room
        return
    for name, mine in executor.named_buffers():
        mine.copy_(theirs[name])
    if "sizes" in vars(executor):  # numbers that say how long the lists of a table are
        executor.sizes = fresh.sizes
