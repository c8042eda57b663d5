"""A linear round as one batched product of every node with all its neighbours at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from relmp.rounds.execution.base import Execution
from relmp.rounds.execution.linear_maps import in_autocast_dtype, weight_of, whole_refusal
from relmp.rounds.form import RoundForm
from relmp.rounds.layout import divided, mean_degrees
from relmp.rounds.message import WeightedMessage

MAX_PADDING = 4.0
"""The largest number of places an edge may take: nodes are padded to the largest degree."""


class _Neighbours(NamedTuple):
    """The edges of all nodes in one direction, padded to the same number k.

    Shapes:
        - **heard** ``[n * k * heard_dim]``: rows of the channels heard; behind them is a zero.
        - **edges** ``[n * k]``: numbers of edges; behind them is one with weights zero.
        - **told** ``[channels]``: where the channels of the result lie among the padded ones.
        - **own** ``[n * told_dim]``: rows of the result's channels; behind them is a zero.
    """

    heard: Tensor
    edges: Tensor
    told: Tensor
    own: Tensor


class GatheredExecution(Execution):
    r"""Gathers the neighbours of every node and multiplies once: :math:`y_i = [W_{ij}]_j [x_j]_j`.

    The batch comes last, so that a channel is a row and gathering copies rows. The gradients
    are of the same form: the input gradient gathers along the reversed edges, the weight
    gradient multiplies the gathered neighbours once more.
    """

    name = "gathered"

    @staticmethod
    def refusal(form: RoundForm) -> str | None:
        refusal = whole_refusal(form)
        if refusal is not None or cast(WeightedMessage, form.message).geometry.kernel:
            return refusal or f"{type(form.message).__name__} is not one matrix for every edge"
        if not form.message.weight.dtype.is_floating_point:
            return f"its weights are {form.message.weight.dtype}"
        nodes = form.graph.num_nodes
        degrees = np.stack([np.bincount(ends, minlength=nodes) for ends in form.graph.edges])
        if degrees.max() > MAX_PADDING * degrees.mean():
            return (
                f"its nodes have {degrees.mean():.1f} edges on average and up to "
                f"{degrees.max()}, too few of them to pad all to the most"
            )
        return None

    def __init__(self, form: RoundForm, *, capacity: int | None = None) -> None:
        super().__init__(form)
        self.weight_shape = cast(WeightedMessage, form.message).weight.shape
        source, target = form.graph.edges
        parts = (form.in_partition, form.out_partition)
        for way, ends, partitions in (
            ("forward", (source, target), parts),
            ("backward", (target, source), parts[::-1]),
        ):
            for name, table in zip(
                _Neighbours._fields, _neighbours(*ends, *partitions, capacity), strict=True
            ):
                self.register_buffer(f"{way}_{name}", table, persistent=False)
        slots = np.empty(len(source), dtype=np.int64)
        edges = self.get_buffer("forward_edges").numpy()
        real = edges < len(source)
        slots[edges[real]] = np.flatnonzero(real)
        self.register_buffer("slots", torch.from_numpy(slots), persistent=False)
        self.register_buffer("degrees", mean_degrees(form), persistent=False)
        self.degrees: Tensor | None

    @classmethod
    def with_room(cls, form: RoundForm) -> GatheredExecution:
        """With places for the largest degree that is not refused, so that tables keep their
        shapes when edges change."""
        degree = MAX_PADDING * form.graph.num_edges / form.graph.num_nodes
        return cls(form, capacity=min(form.graph.num_nodes, int(degree)))

    def forward(self, message: nn.Module, x: Tensor) -> Tensor:
        linear = cast(WeightedMessage, message)
        linear.check_input(x.shape)
        x, weight = in_autocast_dtype(x, weight_of(linear, self.weight_shape))
        weight = divided(weight, self.degrees)
        tables = [self.get_buffer("slots")]
        tables += [self.get_buffer(f"{way}_{name}") for way, name in _table_names()]
        return cast(Tensor, _GatheredRound.apply(x, weight, *tables))


def _table_names() -> Iterator[tuple[str, str]]:
    return ((way, name) for way in ("forward", "backward") for name in _Neighbours._fields)


class _GatheredRound(torch.autograd.Function):
    """The round, with gradients of the same form; they are differentiable themselves."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, slots: Tensor, *tables: Tensor) -> Tensor:
        return _multiply(x, weight, _Neighbours(*tables[:4]))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, slots, *tables = ctx.saved_tensors
        forward, backward = _Neighbours(*tables[:4]), _Neighbours(*tables[4:])
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            to_x = _multiply(gradient, weight.transpose(1, 2), backward)
        if ctx.needs_input_grad[1]:
            to_weight = _correlate(gradient, x, forward, weight.shape).index_select(0, slots)
        return to_x, to_weight, None, *[None] * len(tables)


def _multiply(x: Tensor, weight: Tensor, to: _Neighbours) -> Tensor:
    """``[B, heard channels]`` -> ``[B, told channels]``, with ``weight [E, told, heard]``."""
    num_edges, told_dim, heard_dim = weight.shape
    nodes = to.own.numel() // told_dim
    neighbours = _rows(x, to.heard).view(nodes, to.heard.numel() // nodes, x.size(0))
    padded = to.edges.numel() > num_edges
    weights = torch.cat([weight, weight.new_zeros(1, told_dim, heard_dim)]) if padded else weight
    weights = weights.index_select(0, to.edges).view(nodes, -1, told_dim, heard_dim)
    out = torch.bmm(weights.transpose(1, 2).flatten(2), neighbours).flatten(0, 1)
    if to.told.numel() < out.size(0):
        out = out.index_select(0, to.told)
    return out.t().contiguous()


def _correlate(gradient: Tensor, x: Tensor, to: _Neighbours, shape: torch.Size) -> Tensor:
    """The gradients of the weights of all places, ``[n * k, told, heard]``."""
    nodes, batch = to.own.numel() // shape[1], x.size(0)
    neighbours = _rows(x, to.heard).view(nodes, to.heard.numel() // nodes, batch)
    wanted = _rows(gradient, to.own).view(nodes, shape[1], batch)
    product = torch.bmm(wanted, neighbours.transpose(1, 2))
    return product.view(nodes, shape[1], -1, shape[2]).transpose(1, 2).flatten(0, 1)


def _rows(x: Tensor, rows: Tensor) -> Tensor:
    """Channels as rows, in the order of ``rows``; a number behind the last one gives zeros."""
    padded = x.new_zeros(x.size(1) + 1, x.size(0))
    padded[:-1] = x.t()
    return padded.index_select(0, rows)


def _neighbours(
    heard: Any, told: Any, heard_part: Any, told_part: Any, capacity: int | None
) -> _Neighbours:
    """The tables for messages from the nodes ``heard`` to the nodes ``told``; ``capacity`` is the
    number of places of a node, the largest degree by default."""
    nodes, order = told_part.num_nodes, np.lexsort((heard, told))
    degrees = np.bincount(told, minlength=nodes)
    places = np.arange(len(told)) - np.repeat(np.cumsum(degrees) - degrees, degrees)
    edges = np.full((nodes, capacity or degrees.max()), len(told))
    edges[told[order], places] = order
    silent = np.full((1, heard_part.max_size), heard_part.channels)
    rows = np.concatenate([heard_part.slots[heard], silent])[edges]
    tables = (rows, edges, np.flatnonzero(told_part.mask), told_part.slots)
    return _Neighbours(*(torch.from_numpy(table.reshape(-1).astype(np.int64)) for table in tables))
