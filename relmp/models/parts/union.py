"""Models of one kind as one model."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from relmp.graphs import RelationalGraph
from relmp.graphs.derived.union import disjoint_union
from relmp.models.budget import Classifier
from relmp.rounds import LinearMessage, Round
from relmp.rounds.channels import ChannelPartition
from relmp.rounds.execution import MESSAGE_PASSING, possible_executions

Slots: TypeAlias = tuple[slice | int, ...]

LEAVES = (nn.Linear, nn.BatchNorm1d, nn.ReLU, Round)


DENSE = "dense"


class Place(NamedTuple):
    """Where a tensor of a member lies in the union.

    Args:
        own: A parameter or buffer of the member.
        whole: That of the union which holds it.
        slots: Where in it.
    """

    own: Tensor
    whole: Tensor
    slots: Slots


class DisjointUnion(nn.Module):
    r"""Models of vectors as one: a round of theirs is one round over the disjoint union of their
    graphs.

    The first layer hears the same images for all members, so its channels stand side by side. So do
    those of every later layer; a member's node hears the nodes of its member. The last layer is a
    round over as many nodes as there are members, none of which hears another. A member computes
    what it computed alone, but for the order in which numbers are added.

    The union has tensors of its own. :meth:`gather` copies those of the members into them, and
    :meth:`scatter` back.

    Args:
        members: Models of one architecture, with graphs and widths of their own.

    Shapes:
        - **input** as a member's -> **output** a tuple of ``[B, num_classes]``, one a member

    Raises:
        ValueError: If a model cannot be a member (:func:`union_refusal`), or they are not of one
            architecture.

    Reference:
        Fey, Lenssen, *Fast Graph Representation Learning with PyTorch Geometric*, 2019, section 2:
        graphs of a batch are one graph of isolated parts.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        for member in members:
            if (refusal := union_refusal(member)) is not None:
                raise ValueError(f"{type(member).__name__} cannot be part of a union: {refusal}.")
        self.members = tuple(cast(Classifier, member) for member in members)
        self.places: list[list[Place]] = [[] for _ in members]
        if len({_architecture(member) for member in members}) != 1:
            raise ValueError("The models of a union must be of one architecture, but differ.")
        self.whole = copy.deepcopy(self.members[0])
        first = next(iter(self.whole.layers))
        for name, module in _outside_rounds(self.members[0]):
            if isinstance(module, LEAVES):
                parts = [member.get_submodule(name) for member in members]
                self.whole.set_submodule(name, self._unite(parts, shared=name == first))
        self.gather()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        scores: Tensor = self.whole(x)
        return scores.view(len(scores), len(self.members), -1).unbind(1)

    @torch.no_grad()
    def gather(self) -> None:
        """Take over the parameters and statistics of the members."""
        for place in self._all_places():
            place.whole[place.slots] = place.own

    @torch.no_grad()
    def scatter(self) -> None:
        """Give the members the parameters and statistics that they have here."""
        for place in self._all_places():
            place.own.copy_(place.whole[place.slots])

    def _all_places(self) -> list[Place]:
        return [place for places in self.places for place in places]

    # Layers -----------------------------------------------------------------------------

    def _unite(self, parts: Sequence[nn.Module], *, shared: bool) -> nn.Module:
        first = parts[0]
        if isinstance(first, Round):
            return self._round(cast(Sequence[Round], parts))
        if isinstance(first, nn.BatchNorm1d):
            return self._norm(cast(Sequence[nn.BatchNorm1d], parts))
        if isinstance(first, nn.Linear):
            layers = cast(Sequence[nn.Linear], parts)
            return self._stem(layers) if shared else self._head(layers)
        return copy.deepcopy(first)

    def _stem(self, parts: Sequence[nn.Linear]) -> nn.Linear:
        out, bias = sum(part.out_features for part in parts), parts[0].bias is not None
        like = {"device": parts[0].weight.device, "dtype": parts[0].weight.dtype}
        whole = nn.Linear(parts[0].in_features, out, bias, **like)
        self._side_by_side(parts, whole)
        return whole

    def _norm(self, parts: Sequence[nn.BatchNorm1d]) -> nn.BatchNorm1d:
        first = parts[0]
        whole = copy.deepcopy(first)
        whole.num_features = sum(part.num_features for part in parts)
        for name, tensor in [*first.named_parameters(), *first.named_buffers()]:
            if tensor.dim():
                wide = tensor.detach().new_zeros(whole.num_features)
                learned = isinstance(tensor, nn.Parameter)
                setattr(whole, name, nn.Parameter(wide) if learned else wide)
        self._side_by_side(parts, whole)
        return whole

    def _head(self, parts: Sequence[nn.Linear]) -> Round:
        count, first = len(parts), parts[0]
        alone = RelationalGraph(count, [range(count)] * 2, name=f"{count} isolated nodes")
        inputs = ChannelPartition.from_sizes(part.in_features for part in parts)
        outputs = ChannelPartition.from_sizes(part.out_features for part in parts)
        whole = Round(
            alone, inputs, outputs, bias=first.bias is not None, execution=MESSAGE_PASSING
        )
        whole.to(first.weight)
        _execute(whole, DENSE)
        weight = self._clear(whole)
        for number, (places, part) in enumerate(zip(self.places, parts, strict=True)):
            places.append(Place(part.weight, weight, (number, *map(slice, part.weight.shape))))
        self._side_by_side(parts, whole, only="bias")
        return whole

    def _round(self, parts: Sequence[Round]) -> Round:
        first = parts[0]
        inputs, outputs = (
            ChannelPartition.from_sizes(
                size for part in parts for size in getattr(part, side).sizes.tolist()
            )
            for side in ("in_partition", "out_partition")
        )
        whole = Round(
            disjoint_union([part.graph for part in parts]),
            inputs,
            outputs,
            aggr=first.aggr,
            update=self._update([part.update_module for part in parts]),
            bias=first.bias is not None,
            execution=MESSAGE_PASSING,
        )
        whole.to(cast(Tensor, first.message_module.weight))
        _execute(whole, first.execution)
        weight, start = self._clear(whole), 0
        for places, part in zip(self.places, parts, strict=True):
            own = cast(Tensor, part.message_module.weight)
            at = (slice(start, start + len(own)), *map(slice, own.shape[1:]))
            places.append(Place(own, weight, at))
            start += len(own)
        self._side_by_side(parts, whole, only="bias")
        return whole

    def _update(self, parts: Sequence[nn.Module | None]) -> nn.Module | None:
        columns = zip(*map(_parts, parts), strict=True)
        united = [self._unite(column, shared=False) for column in columns]
        return nn.Sequential(*united) if united else None

    @staticmethod
    def _clear(whole: Round) -> Tensor:
        """The weights of a round, zero: padded slots stay so."""
        weight = cast(Tensor, whole.message_module.weight)
        nn.init.zeros_(weight)
        return weight

    def _side_by_side(
        self, parts: Sequence[nn.Module], whole: nn.Module, only: str | None = None
    ) -> None:
        """Tensors of which each member has its share of the first dimension; single numbers are
        the same for all."""
        for name, tensor in [*parts[0].named_parameters(recurse=False), *_states(parts[0])]:
            if only not in (None, name):
                continue
            united, start = cast(Tensor, getattr(whole, name)), 0
            for places, part in zip(self.places, parts, strict=True):
                own = cast(Tensor, getattr(part, name))
                end = start + (len(own) if tensor.dim() else 0)
                places.append(Place(own, united, (slice(start, end),) if tensor.dim() else ()))
                start = end


def union_refusal(model: nn.Module) -> str | None:
    """Why a model cannot be part of a union, or None."""
    if not isinstance(model, Classifier) or not vars(type(model)).get("CHANNELWISE", False):
        return "only MLPs are known to leave channels to their layers"
    for name, module in _outside_rounds(model):
        leaf = next(module.children(), None) is None
        if isinstance(module, Round):
            if type(module.message_module) is not LinearMessage:
                return f"layer '{name}' has other messages than linear ones"
            if module.aggr not in ("sum", "mean"):
                return f"layer '{name}' aggregates by {module.aggr}"
            if getattr(module, "weight_mask", None) is not None:
                return f"layer '{name}' keeps only some of its weights"
            for part in _parts(module.update_module):
                if type(part) not in (nn.BatchNorm1d, nn.ReLU):
                    return f"the update of layer '{name}' has a {type(part).__name__}"
        elif leaf and type(module) not in LEAVES:
            return f"layer '{name}' is a {type(module).__name__}"
        if is_parametrized(module):
            return f"layer '{name}' is parametrised"
    return None


def _architecture(model: nn.Module) -> tuple[tuple[str, type[nn.Module]], ...]:
    """The layers of a model; not how its rounds are executed, which follows from each graph."""
    found = []
    for name, module in _outside_rounds(model):
        found.append((name, type(module)))
        if isinstance(module, Round):
            found += [(f"{name}.update", type(part)) for part in _parts(module.update_module)]
    return tuple(found)


def _parts(update: nn.Module | None) -> tuple[nn.Module, ...]:
    if isinstance(update, nn.Sequential):
        return tuple(update)
    return () if update is None else (update,)


def _execute(whole: Round, execution: str) -> None:
    """Execute a union as its members are, but not as one product: most of it would be zeros between
    members, which carry the NaN of one to the others."""
    possible = possible_executions(whole)
    order = (execution, "cpu_kernel", "gathered", MESSAGE_PASSING)
    whole.set_execution(next(name for name in order if name in possible and name != DENSE))


def _outside_rounds(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules of a model by name, rounds as wholes."""
    inside: set[nn.Module] = set()
    for name, module in model.named_modules():
        if module in inside:
            continue
        if isinstance(module, Round):
            inside |= set(module.modules())
        yield name, module


def _states(module: nn.Module) -> list[tuple[str, Tensor]]:
    """The statistics that a layer keeps; what a round derives from its graph is no state."""
    return [] if isinstance(module, Round) else list(module.named_buffers(recurse=False))
