"""One layer of a network = one round of message passing over a relational graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.nn.conv import MessagePassing

from relmp.checks import check_whole
from relmp.graphs import RelationalGraph
from relmp.graphs.relational_graph import require_graph
from relmp.rounds.aggregation import Aggr, aggregation_name, resolve_aggregation
from relmp.rounds.channels import ChannelPartition
from relmp.rounds.dynamic.rewire import (
    NewEdges,
    derived_tables,
    rewire_round,
    set_weight_mask,
    take_saved_edges,
)
from relmp.rounds.execution import MESSAGE_PASSING, choose_execution, is_transformed
from relmp.rounds.execution.base import Execution
from relmp.rounds.execution.recompute import recomputed
from relmp.rounds.execution.watched import sees_messages, sees_sums
from relmp.rounds.form import Edges, RoundForm, make_edges
from relmp.rounds.message import LinearMessage, MessageCall, as_message
from relmp.rounds.names import MessageFactory, make_message
from relmp.rounds.scored.chosen import selected_graph


class Round(MessagePassing):  # type: ignore[misc]
    r"""One round of message passing: every node hears its in-neighbours and itself.

    .. math::
        x_i' = \mathrm{update}\Big( b_i + \mathrm{AGG}_{j \in N(i)}\,
        \mathrm{message}_{ij}(x_i, x_j) \Big), \qquad i \in N(i)

    With a graph made with ``self_loops=False`` a node may not hear itself. Every aggregation gives
    zero to a node that hears nothing, so its output is ``update(b_i)``.

    Args:
        graph: Who listens to whom.
        in_channels: Channels of the input, dealt out to the nodes as evenly as possible, at least
            one a node; or a :class:`ChannelPartition` that says how many each node holds.
        out_channels: Channels of the output, likewise.
        message: A callable ``(num_edges, in_dim, out_dim) -> nn.Module``, see
            :class:`Message`; or a name ("gated", "low_rank(rank=2)").
        aggr: An aggregation by name ("max", "softmax(learn=True)", "package.module:Name"), as a
            class or object of PyG's kind, or as a callable ``(channels, degrees) ->
            Aggregation``, or a list of these, which are added up.
        update: What is done to the flat output: normalisation, activation, or any module.
        bias: Whether a bias ``[out_channels]`` is added after aggregation.
        execution: ``"message_passing"`` runs the definition. A round of linear maps is also
            computed as one product with a matrix of zeros between the edges (``"dense"``); one
            of :class:`LinearMessage` as one batched product of gathered neighbours
            (``"gathered"``); one of that or :class:`Conv2dMessage` by compiled loops over the
            edges (``"cpu_kernel"``), or by kernels on a CUDA GPU that gather in registers
            (``"gpu_kernel"``, once the round is there, not in float64). ``"auto"`` chooses by a
            measured table, and again when the round moves to another device or type; another
            one that no longer fits is an error then. ``layer.execution`` says what is used.
            Hooks on ``message_module`` see messages: while there are any, these are passed, and
            so they are inside ``torch.func`` (grad, vmap, jvp), where only the definition and
            the dense product run.
            The dense product multiplies the zeros between the edges too, so that NaN and
            infinity reach nodes that do not listen; the others keep to the edges.
        chunk_size: How many images at a time pass along ``"message_passing"``; all of them by
            default. The messages of a chunk are thrown away once they are aggregated, and
            made again in the backward pass, so this bounds memory and costs a second forward
            pass. A message that looks across images (batch norm) sees a chunk of them. May be
            set later: ``layer.chunk_size = 8``.

    Shapes:
        - **input** ``[B, C_in]`` or ``[B, C_in, H, W]``
        - **output** ``[B, C_out]`` or ``[B, C_out, H', W']``

    Raises:
        ValueError: If there are fewer channels than nodes, or a name is unknown.

    Reference:
        You, Leskovec, He, Xie, *Graph Structure of Neural Networks*, ICML 2020, section 2.
    """

    SUPPORTS_FUSED_EDGE_INDEX: Final = True
    recompute: bool = False
    """Whether the backward pass keeps the input alone and makes a second forward pass."""
    _version = 1  # of what a state_dict holds; REWIRED where the edges are not those at the start

    def __init__(
        self,
        graph: RelationalGraph,
        in_channels: int | ChannelPartition,
        out_channels: int | ChannelPartition,
        *,
        message: str | MessageFactory = LinearMessage,
        aggr: Aggr = "sum",
        update: nn.Module | None = None,
        bias: bool = True,
        execution: str = "auto",
        chunk_size: int | None = None,
    ) -> None:
        if chunk_size is not None:
            check_whole("chunk_size", chunk_size, 1, meaning="images at a time")
        require_graph(graph)
        in_partition = ChannelPartition.of(graph.num_nodes, in_channels)
        out_partition = ChannelPartition.of(graph.num_nodes, out_channels)
        # PyG generates `propagate` for the first instance and reuses it for all: with the sum
        # it holds the fused hook, whatever that first instance aggregates by.
        super().__init__("sum", node_dim=0)
        self.aggr_module = resolve_aggregation(
            aggr, out_partition.max_size, torch.from_numpy(graph.in_degrees)
        )
        self.aggr = aggregation_name(self.aggr_module)
        self.graph, self.num_nodes = graph, graph.num_nodes
        self.in_channels, self.out_channels = in_partition.channels, out_partition.channels
        self.in_partition, self.out_partition = in_partition, out_partition
        self._register_graph()
        sizes = (graph.num_edges, in_partition.max_size, out_partition.max_size)
        self.message_module = make_message(message, sizes)
        as_message(self.message_module).connect(self.edges)
        self._call = MessageCall.of(self.message_module)
        self.update_module = update
        self.chunk_size = chunk_size
        flat = torch.zeros(self.out_channels)
        self.register_parameter("bias", nn.Parameter(flat) if bias else None)
        self.set_execution(execution)
        self.reset_parameters()

    def set_execution(self, execution: str) -> None:
        """Choose another way to execute this round; its function and state stay the same.

        Raises:
            ValueError: If the name is unknown, or this round cannot be executed so.
        """
        self._asked_execution = execution
        self.execution, self.executor = choose_execution(self.form, execution)
        # PyG calls message_and_aggregate where this is True, message and aggregate otherwise.
        self.fuse = self.executor is not None

    def reset_parameters(self) -> None:
        """Draw all parameters anew, the bias as ``nn.Linear`` does."""
        super().reset_parameters()
        message = as_message(self.message_module)
        message.reset_parameters(self.edges)
        if self.bias is not None:
            bound = message.fan_in(self.edges).clamp(min=1).to(self.bias).rsqrt()
            sizes = torch.from_numpy(self.out_partition.sizes).to(bound.device)
            with torch.no_grad():
                bounds = bound.repeat_interleave(sizes, output_size=self.out_channels)
                self.bias.uniform_(-1, 1).mul_(bounds)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Round:
        before = _kind(self)
        super()._apply(fn, recurse)
        if _kind(self) != before:
            # What an execution may do depends on device and type. Until it is judged again,
            # and where it is refused, the definition runs.
            asked = self._asked_execution
            self.set_execution(MESSAGE_PASSING)
            self._asked_execution = asked
            self.set_execution(asked)
        return self

    def _register_graph(self) -> None:
        graph = self.graph
        edges = make_edges(graph, self.in_partition, self.out_partition)
        self.register_buffer("edge_index", graph.edge_index)
        self.register_buffer("edge_attr", graph.edge_attr)
        fused = EdgeIndex(self.edge_index, sparse_size=(graph.num_nodes,) * 2, sort_order="col")
        derived = {"fused_edge_index": fused.fill_cache_(), **derived_tables(edges)}
        if not self.in_partition.is_even:
            derived["in_slots"] = torch.from_numpy(self.in_partition.slots).flatten()
        if not self.out_partition.is_even:
            real = torch.from_numpy(self.out_partition.mask).flatten()
            derived["out_slots"] = real.nonzero().flatten()
        for name, tensor in derived.items():
            self.register_buffer(name, tensor, persistent=False)
        chosen = torch.empty(0).device  # of `with torch.device(...)`, as for parameters
        if chosen.type not in ("cpu", "meta"):
            for name, buffer in self.named_buffers(recurse=False):
                setattr(self, name, buffer.to(chosen))

    @property
    def form(self) -> RoundForm:
        """What executions need to know of this round."""
        parts = (self.in_partition, self.out_partition)
        return RoundForm(self.graph, *parts, self.message_module, self.aggr)

    @property
    def edges(self) -> Edges:
        """The edges as messages see them."""
        source, target = self.edge_index
        masks = (self.source_mask, self.target_mask, self.node_mask)
        return Edges(source, target, self.ptr, self.edge_attr, *masks)

    # Edges that change ------------------------------------------------------------------

    def rewire(self, graph: RelationalGraph, *, new: NewEdges = "zero") -> Tensor:
        """Replace the edges in place by as many others: see :func:`rewire_round`.

        Returns:
            ``[E]``: the position that each edge had before, -1 for a new one; by it states of an
            optimiser are to be moved (:func:`moved_rows`).
        """
        return rewire_round(self, graph, new)

    def mask_weights(self, mask: Tensor) -> None:
        """Keep only the weights of ``mask [E, out_dim, in_dim, *kernel]``, the buffer
        ``weight_mask`` from now on; the others are zero, and whoever trains them keeps them so.

        Raises:
            ValueError: If the edges have no weights of their own, or the shape is another one.
        """
        set_weight_mask(self, mask)

    def selected(self) -> RelationalGraph:
        """The edges that scores have chosen: see :func:`relmp.rounds.selected_graph`."""
        return selected_graph(self)

    # One round --------------------------------------------------------------------------

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() not in (2, 4) or x.size(1) != self.in_channels:
            raise ValueError(
                f"This round takes [B, {self.in_channels}] or [B, {self.in_channels}, H, W], "
                f"but was given {list(x.shape)}."
            )
        return recomputed(self._speak, x, norms=self) if self.recompute else self._speak(x)

    def _speak(self, x: Tensor) -> Tensor:
        executor = self.executor if self.fuse and not sees_messages(self) else None
        if executor is not None and not is_transformed(executor):
            if (updated := self._updated(x, executor)) is not None:
                return updated
            out = self.propagate(self.fused_edge_index, x=x)
        else:
            out = self._in_chunks(x)
        if self.bias is not None:
            # In the type of the product, as torch's own layers do under autocast.
            out = out + self.bias.to(out.dtype).view(-1, *[1] * (out.dim() - 2))
        return out if self.update_module is None else self.update_module(out)

    def _updated(self, x: Tensor, executor: Execution) -> Tensor | None:
        """Round and update in one, where the execution knows how and nobody looks in between."""
        update = self.update_module
        if update is None or self.bias is not None or sees_sums(self):
            return None
        return executor.updated(self.message_module, x, update)

    def _in_chunks(self, x: Tensor) -> Tensor:
        if self.chunk_size is None or x.size(0) <= self.chunk_size:
            return self._pass_messages(x)
        parts, norms = x.split(self.chunk_size), self.message_module
        return torch.cat([recomputed(self._pass_messages, part, norms=norms) for part in parts])

    def _pass_messages(self, x: Tensor) -> Tensor:
        nodes = self.to_nodes(x)
        listens = getattr(self.message_module, "listens", True) and "x_i" in self._call.states
        return self.propagate(self.edge_index, x=(nodes, nodes if listens else None))

    def message(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        states = [x_i if name == "x_i" else x_j for name in self._call.states]
        more = {"edges": self.edges} if self._call.edges else {}
        out = self.message_module(*states, **more)
        expected = (*x_j.shape[:2], self.out_partition.max_size)
        if out.dim() != x_j.dim() or out.shape[:3] != expected:
            raise ValueError(
                f"{type(self.message_module).__name__} must return messages of shape "
                f"{[*expected, *['...'] * (x_j.dim() - 3)]} ([E, B, out_dim, ...]) from x_j "
                f"of shape {list(x_j.shape)}, but returned {list(out.shape)}."
            )
        if self.out_partition.is_even:
            return out
        return out * self.target_mask.view(-1, 1, expected[2], *[1] * (out.dim() - 3))

    def aggregate(self, inputs: Tensor, index: Tensor) -> Tensor:
        # Channels last, everything else but the edges as one dimension.
        messages = inputs.movedim(2, -1)
        positions = messages.shape[1:-1]
        flat = messages.flatten(1, -2)
        if len(flat):
            out = self.aggr_module(flat, index=index, ptr=self.ptr, dim_size=self.num_nodes, dim=0)
        else:  # a graph without edges, of which not every aggregation knows
            out = flat.sum(0, keepdim=True).expand(self.num_nodes, -1, -1)
        if self.aggr not in ("sum", "mean"):  # these give zero to a node that hears nothing
            out = torch.where(self.ptr.diff().view(-1, 1, 1) > 0, out, out.new_zeros(()))
        out = out.reshape(out.size(0), *positions, out.size(-1))
        out = out.movedim(0, -2).flatten(-2)
        if not self.out_partition.is_even:
            out = out.index_select(-1, self.out_slots)
        return out.movedim(-1, 1)

    def message_and_aggregate(self, edge_index: EdgeIndex, x: Tensor) -> Tensor:
        assert self.executor is not None
        return self.executor(self.message_module, x)

    def to_nodes(self, x: Tensor) -> Tensor:
        """``[B, C, ...]`` -> ``[n, B, c, ...]``, padded slots zero."""
        if not self.in_partition.is_even:
            padding = x.new_zeros(x.size(0), 1, *x.shape[2:])
            x = torch.cat([x, padding], dim=1).index_select(1, self.in_slots)
        shape = (self.num_nodes, self.in_partition.max_size)
        return x.reshape(x.size(0), *shape, *x.shape[2:]).movedim(1, 0)

    # What it costs and what it is -------------------------------------------------------

    def flops(self, positions: int = 1) -> int:
        """Multiply-adds of one image over real edges and channels, bias not counted."""
        if (mask := getattr(self, "weight_mask", None)) is not None:
            return int(mask.sum()) * positions
        return as_message(self.message_module).flops(self.edges, positions)

    def num_parameters(self) -> int:
        """Parameters over real edges and channels, bias, aggregation and update included."""
        own = [part for part in (self.aggr_module, self.update_module) if part is not None]
        total = sum(p.numel() for part in own for p in part.parameters())
        mask = getattr(self, "weight_mask", None)
        inside = as_message(self.message_module).num_parameters(self.edges)
        total += inside if mask is None else int(mask.sum())
        return total + (0 if self.bias is None else self.bias.numel())

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *args: Any
    ) -> None:
        version = local_metadata.get("version", self._version)
        problem = take_saved_edges(self, state_dict, prefix, version)
        if problem is not None:
            args[-1].append(f"layer '{prefix[:-1]}' {problem}")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, nodes={self.graph.num_nodes}, "
            f"edges={self.graph.num_edges}, aggr={self.aggr}, execution={self.execution}"
        )

    def __repr__(self) -> str:
        return nn.Module.__repr__(self)


__all__ = ["MESSAGE_PASSING", "MessageFactory", "Round"]


def _kind(layer: Round) -> tuple[Any, ...]:
    """What an execution is chosen by and ``.to()`` changes: device and type of the weights."""
    tensors = [*layer.message_module.parameters(), *layer.message_module.buffers()]
    return (layer.edge_index.device, *((tensor.device, tensor.dtype) for tensor in tensors))
