"""The places of a layer that edges, or weights, may take, and how they are taken."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from relmp.graphs import RelationalGraph, create_graph
from relmp.rounds import Round, WeightedMessage
from relmp.rounds.dynamic.rewire import edge_rows, moved_rows
from relmp.rounds.execution.linear_maps import map_refusal
from relmp.rounds.form import RoundForm
from relmp.rounds.layout import EdgeLayout
from relmp.rounds.message import as_message, real_weights
from relmp.training.rewiring.rule import Candidates, Rewiring


class Places(Protocol):
    """The places of one layer.

    Args:
        name: Name of the layer.
        layer: The round.
        count: Number of places P.
    """

    name: str
    layer: Round
    count: int

    def active(self) -> Tensor:
        """``[A]``: the places that are taken, in order."""

    def weights(self) -> Tensor:
        """``[A, ...]``: what they hold."""

    def gradient(self, x: Tensor | None, delta: Tensor | None) -> Tensor:
        """``[P, ...]``: the gradient by every place; of what came in and what is wanted out."""

    def protected(self) -> Tensor:
        """``[A]``: which of the taken places are self-loops."""

    def take(self, places: Tensor, twin: Round | None, optimizer: Any, seed: int) -> None:
        """Take these places (in order) from now on, in the layer, in its moving average and in
        the states of the optimiser."""


def make_places(name: str, layer: Round, rule: Rewiring) -> Places:
    """The places of a layer, if a rule can choose among them.

    Raises:
        ValueError: If it cannot; it names the layer and its message.
    """
    refusal = _refusal(layer, rule)
    if refusal is not None:
        raise ValueError(f"Layer '{name}' cannot be rewired by {rule.text}: {refusal}.")
    return (EdgePlaces if rule.granularity == "edge" else WeightPlaces)(name, layer, rule)


def _refusal(layer: Round, rule: Rewiring) -> str | None:
    message = layer.message_module
    kind = type(message).__name__
    if rule.needs_gradient or rule.granularity == "weight":
        if (reason := map_refusal(layer.form)) is not None:
            return f"it wants one linear map an edge, and {reason}"
        if "weight" not in message._parameters:
            return f"it wants a trained linear map an edge, which {kind} has not"
    if rule.granularity == "edge" and not rule.is_static:
        if layer.graph.edge_attr is not None:
            return "its graph has edge attributes, which new edges would not have"
        rows = edge_rows(as_message(message), layer.graph.num_edges)
        if not any(isinstance(tensor, nn.Parameter) for tensor in rows):
            return f"{kind} has no trained parameters of single edges"
    return None


def choose(
    rule: Rewiring, view: Candidates, dropped: int, protected: Tensor | None = None
) -> Tensor:
    """``[A]``: the places that are taken after an update, in order.

    Args:
        rule: Gives the scores.
        view: What it sees.
        dropped: How many places are dropped, and grown.
        protected: ``[A]``, which are never dropped.
    """
    worth = rule.drop_scores(view).float()
    if protected is not None:
        worth = worth.masked_fill(protected, math.inf)
    best = worth.argsort(descending=True, stable=True)
    kept = view.active[best[: len(best) - dropped].to(view.active.device)]
    free = torch.ones(view.num_places, dtype=torch.bool)
    free[kept] = False
    places = free.nonzero().flatten()
    wanted = rule.grow_scores(view).float().cpu()[places]
    grown = places[wanted.argsort(descending=True, stable=True)[:dropped]]
    return torch.cat([kept, grown]).sort().values


class EdgePlaces:
    """Pairs of nodes, ``target * n + source``."""

    def __init__(self, name: str, layer: Round, rule: Rewiring) -> None:
        self.name, self.layer = name, layer
        self.count = layer.num_nodes**2
        message = layer.message_module
        own = isinstance(message, WeightedMessage) and message.has_own_weight
        draws = rule.new == "draw" or (rule.new == "auto" and not own)
        self.new = "draw" if draws else "zero"
        self._layout: EdgeLayout | None = None
        self._start = layer.graph.name or layer.graph.key

    def active(self) -> Tensor:
        source, target = self.layer.graph.edges
        return torch.from_numpy(target * self.layer.num_nodes + source)

    def weights(self) -> Tensor:
        rows = self._rows()
        if len(rows) == 1:
            return rows[0].detach()
        return torch.cat([row.detach().flatten(1) if row.dim() > 1 else row.detach()[:, None]
                          for row in rows], 1)  # fmt: skip

    def gradient(self, x: Tensor | None, delta: Tensor | None) -> Tensor:
        assert x is not None
        assert delta is not None
        layer = self.layer
        message = cast(WeightedMessage, layer.message_module)
        if self._layout is None:
            complete = create_graph("complete", n=layer.num_nodes)
            parts = (layer.in_partition, layer.out_partition)
            self._layout = EdgeLayout(RoundForm(complete, *parts, message, "sum")).to(x.device)
        shape = (layer.out_channels, layer.in_channels, *message.weight.shape[3:])
        x, delta = x.to(message.weight), delta.to(message.weight)
        with torch.enable_grad(), torch.autocast(x.device.type, enabled=False):
            weight = x.new_zeros(shape, requires_grad=True)
            out = message.apply_dense(x, weight)
        (found,) = torch.autograd.grad(out, weight, delta)
        blocks = self._layout.gather(found)
        if layer.aggr == "mean":
            degrees = torch.from_numpy(layer.graph.in_degrees).clamp(min=1).to(blocks)
            degrees = degrees.repeat_interleave(layer.num_nodes)
            blocks = blocks / degrees.view(-1, *[1] * (blocks.dim() - 1))
        return blocks

    def protected(self) -> Tensor:
        source, target = self.layer.graph.edges
        return torch.from_numpy(source == target)

    def take(self, places: Tensor, twin: Round | None, optimizer: Any, seed: int) -> None:
        n = self.layer.num_nodes
        target, source = np.divmod(places.numpy(), n)
        graph = RelationalGraph(
            n, np.stack([source, target]), self_loops=False, name=f"{self._start} rewired"
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            old = self.layer.rewire(graph, new=self.new)  # type: ignore[arg-type]
        for tensor in self._rows():
            for state in states_of(tensor, optimizer):
                state.copy_(moved_rows(state, old))
        if twin is not None:
            twin.rewire(graph)
            theirs = edge_rows(as_message(twin.message_module), graph.num_edges)
            with torch.no_grad():
                for mine, other in zip(self._rows(), theirs, strict=True):
                    other[old < 0] = mine[old < 0]

    def _rows(self) -> list[Tensor]:
        return edge_rows(as_message(self.layer.message_module), self.layer.graph.num_edges)


class WeightPlaces:
    """Single weights: real slots of ``weight``, in its order."""

    def __init__(self, name: str, layer: Round, rule: Rewiring) -> None:
        self.name, self.layer = name, layer
        real = real_weights(layer.edges, self._weight.dim()).expand_as(self._weight)
        self.slots = real.flatten().nonzero().flatten()
        self.count = len(self.slots)

    def fill(self, density: float, generator: torch.Generator) -> None:
        """Keep random weights; zeros are rounded down, as in the authors' code."""
        kept = self.count - math.floor((1 - density) * self.count)
        chosen = torch.randperm(self.count, generator=generator)[:kept]
        mask = torch.zeros(self._weight.numel(), dtype=torch.bool)
        mask[self.slots.cpu()[chosen]] = True
        self.layer.mask_weights(mask.view(self._weight.shape).to(self._weight.device))

    @property
    def _weight(self) -> nn.Parameter:
        return cast(nn.Parameter, self.layer.message_module.weight)

    @property
    def mask_shape(self) -> tuple[int, ...]:
        """``(E, out_dim, in_dim, *kernel)``."""
        return tuple(self._weight.shape)

    @property
    def mask(self) -> Tensor:
        """Which weights there are, in the shape of ``weight``."""
        return self.layer.get_buffer("weight_mask")

    def mask_gradient(self) -> None:
        """Take out the gradient of weights that are not there."""
        if self._weight.grad is not None:
            self._weight.grad.mul_(self.mask)

    def active(self) -> Tensor:
        return self.mask.flatten()[self.slots].nonzero().flatten().cpu()

    def weights(self) -> Tensor:
        active = self.active().to(self.slots.device)
        return self._weight.detach().flatten()[self.slots[active]]

    def gradient(self, x: Tensor | None, delta: Tensor | None) -> Tensor:
        assert self._weight.grad is not None
        return self._weight.grad.flatten()[self.slots].clone()

    def protected(self) -> Tensor:
        source, target = self.layer.edge_index
        loops = (source == target).view(-1, *[1] * (self._weight.dim() - 1))
        flat = loops.expand_as(self._weight).flatten()[self.slots]
        return flat[self.active().to(flat.device)].cpu()

    @torch.no_grad()
    def take(self, places: Tensor, twin: Round | None, optimizer: Any, seed: int) -> None:
        mask = torch.zeros(self._weight.numel(), dtype=torch.bool, device=self.slots.device)
        mask[self.slots[places.to(self.slots.device)]] = True
        mask = mask.view(self._weight.shape)
        stays = mask & self.mask
        self.mask.copy_(mask)
        held = [self._weight, *states_of(self._weight, optimizer)]
        if twin is not None:
            twin.get_buffer("weight_mask").copy_(mask)
            held.append(cast(Tensor, twin.message_module.weight))
        for tensor in held:
            tensor.mul_(stays)


def states_of(parameter: Tensor, optimizer: Any) -> Iterator[Tensor]:
    """The tensors that an optimiser keeps of every number of a parameter."""
    for state in optimizer.state.get(parameter, {}).values():
        if isinstance(state, Tensor) and state.shape == parameter.shape:
            yield state
