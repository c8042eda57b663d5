"""Which edges go and which come: the base of all rules, RigL, SET, and edges that stay."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from relmp.checks import check_share, check_whole, did_you_mean
from relmp.graphs.layers.densities import ALLOCATIONS, Allocation
from relmp.registry import Registry, format_call, import_object, parse_call

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Granularity: TypeAlias = Literal["edge", "weight"]
"""What is dropped and grown: whole edges, blocks of channels; or single weights."""


class Candidates(NamedTuple):
    """What a rule sees of a layer when it chooses.

    A place is a pair of nodes, numbered ``target * n + source`` for ``"edge"``, and a weight of
    the layer for ``"weight"``.

    Args:
        layer: Name of the layer.
        step: Steps of the optimiser so far.
        num_places: Number of places P.
        active: ``[A]``, the places that are taken, in order.
        weights: ``[A, ...]``, what the taken places hold: the weight of an edge
            ``[out_dim, in_dim, *kernel]``, or one number.
        gradient: ``[P, ...]``, the gradient of the loss by the weight of every place, taken or
            not; None for a rule that does not ask for it.
        num_nodes: Number of nodes n.
        generator: Draws from the seed of the run, the layer and the step alone.
    """

    layer: str
    step: int
    num_places: int
    active: Tensor
    weights: Tensor
    gradient: Tensor | None
    num_nodes: int
    generator: torch.Generator


@dataclass(frozen=True, kw_only=True)
class Rewiring(ABC):
    r"""Base of the rules by which training changes edges while their number stays.

    After every ``every`` steps of the optimiser, k of the A edges of a layer go, those of the
    lowest :meth:`drop_scores`, and as many come, those of the highest :meth:`grow_scores` among all
    places that are not kept, the ones just dropped included:

    .. math::
        k = \lfloor f(t)\, A \rfloor, \qquad f(t) = \tfrac{\alpha}{2} (1 + \cos(\pi t / T))

    Of equal scores the first place counts as higher. An edge that is dropped and grown at once
    keeps its weight and momentum; a new one starts at zero, and so do its states in the optimiser.
    Updates take place at t = 0, ``every``, 2 ``every``, ..., T inclusive, where the last one drops
    nothing. A rule with ``needs_gradient`` spends the batch of an update on the gradient: the
    optimiser makes no step, and t does not grow. Another rule lets the optimiser make its step
    first.

    Args:
        every: Steps from one update to the next.
        fraction: Share :math:`\alpha` of the edges that the first update drops.
        until: Share of all steps of the run at which the updates end, T.
        granularity: ``"edge"`` or ``"weight"``.
        density: With ``"weight"``, the share of weights at the start, in random places; or the
            share of every layer by its name.
        allocation, dense: With ``"weight"``, how they are shared out among layers, see
            :func:`relmp.layer_densities`.
        keep_loops: Whether self-loops are never dropped, and not counted in A.
        accumulate: The gradient is the mean over so many batches, up to that of the update.
        new: How new edges start: ``"zero"``, or ``"draw"``, as the layer initialises;
            ``"auto"`` draws where the message of an edge is a product of several parameters,
            which zeros would keep at zero.

    Raises:
        ValueError: If a number is out of its range.

    Reference:
        Evci, Gale, Menick, Castro, Elsen, *Rigging the Lottery: Making All Tickets Winners*,
        ICML 2020, section 3 and algorithm 1; the schedule and counts of the authors' code.
    """

    needs_gradient: ClassVar[bool] = False
    """Whether :meth:`grow_scores` reads the gradient of absent edges."""
    is_static: ClassVar[bool] = False
    """Whether edges never change."""

    every: int = 100
    fraction: float = 0.3
    until: float = 0.75
    granularity: Granularity = "edge"
    density: float | Mapping[str, float] | None = None
    allocation: Allocation = "uniform"
    dense: tuple[str, ...] = ()
    keep_loops: bool = False
    accumulate: int = 1
    new: Literal["auto", "zero", "draw"] = "auto"

    def __post_init__(self) -> None:
        check_whole("every", self.every, 1, meaning="steps from one rewiring to the next")
        check_share("fraction", self.fraction)
        check_share("until", self.until)
        check_whole("accumulate", self.accumulate, 1, self.every)
        for name, value, known in (
            ("granularity", self.granularity, get_args(Granularity)),
            ("allocation", self.allocation, ALLOCATIONS),
            ("new", self.new, ("auto", "zero", "draw")),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, but is {value!r}.")
        dense: Any = (self.dense,) if isinstance(self.dense, str) else self.dense
        if not isinstance(dense, tuple | list) or not all(isinstance(n, str) for n in dense):
            raise ValueError(f"dense must be names of layers, but is {self.dense!r}.")
        object.__setattr__(self, "dense", tuple(dense))
        if not isinstance(self.keep_loops, bool):
            raise ValueError(f"keep_loops must be True or False, but is {self.keep_loops!r}.")
        given = [] if self.density is None else [self.density]
        if isinstance(self.density, Mapping):
            given = list(self.density.values())
        for share in given:
            check_share("density", share)
        if (self.granularity == "weight") != (self.density is not None):
            raise ValueError(
                "density is the share of weights that granularity='weight' keeps, and goes with it "
                "alone; edges are those of the graph."
            )

    @abstractmethod
    def drop_scores(self, view: Candidates) -> Tensor:
        """``[A]``: how much each taken place is worth keeping."""

    @abstractmethod
    def grow_scores(self, view: Candidates) -> Tensor:
        """``[P]``: how much each place is worth having, taken or not."""

    def drop_count(self, active: int, step: int, end: int) -> int:
        """How many of ``active`` places are dropped at a step, in float32 as the authors' code."""
        if end == 0:
            share = np.float32(0)
        else:
            done = np.float32(step) / np.float32(end)
            share = np.float32(0.5) * (np.float32(1) + np.cos(np.float32(math.pi) * done))
        return int(np.float32(active) * (np.float32(self.fraction) * share))

    def updates(self, step: int, last: int | None, end: int) -> bool:
        """Whether edges change at a step, the last update having been at ``last``."""
        due = last is None or step >= last + self.every
        return not self.is_static and due and step <= end

    def watches(self, step: int, last: int | None, end: int) -> bool:
        """Whether the gradient of this step counts for the next update."""
        following = 0 if last is None else last + self.every
        near = following - self.accumulate < step <= following or self.updates(step, last, end)
        return self.needs_gradient and not self.is_static and near and following <= end

    @cached_property
    def text(self) -> str:
        """The call that makes this rule, with what differs from the defaults."""
        given = {item.name: getattr(self, item.name) for item in fields(self)}
        usual = {item.name: item.default for item in fields(self)}
        shown = {name: value for name, value in given.items() if value != usual[name]}
        return format_call(_name_of(type(self)), shown)


REWIRINGS: Registry[type[Rewiring]] = Registry("rewiring")


@REWIRINGS.register("rigl")
@dataclass(frozen=True, kw_only=True)
class RigL(Rewiring):
    r"""Drop the smallest weights, grow the places of the largest gradient:
    :math:`\lVert W_{ij} \rVert` and :math:`\lVert \partial L / \partial W_{ij} \rVert`.

    It wants one linear map an edge, and one dense backward pass of the layer for every update.

    Reference:
        Evci et al., *Rigging the Lottery*, ICML 2020, section 3.
    """

    needs_gradient: ClassVar[bool] = True

    def drop_scores(self, view: Candidates) -> Tensor:
        return sizes(view.weights)

    def grow_scores(self, view: Candidates) -> Tensor:
        assert view.gradient is not None
        return sizes(view.gradient)


@REWIRINGS.register("set")
@dataclass(frozen=True, kw_only=True)
class SET(Rewiring):
    """Drop the smallest weights, grow random places.

    Reference:
        Mocanu et al., *Scalable Training of Artificial Neural Networks with Adaptive Sparse
        Connectivity Inspired by Network Science*, Nature Communications 2018; with the schedule
        of the RigL authors' code.
    """

    def drop_scores(self, view: Candidates) -> Tensor:
        return sizes(view.weights)

    def grow_scores(self, view: Candidates) -> Tensor:
        import torch

        drawn = torch.rand(view.num_places, generator=view.generator)
        return drawn.to(view.weights.device)


@REWIRINGS.register("static")
@dataclass(frozen=True, kw_only=True)
class Static(Rewiring):
    """The edges, or weights, of the start."""

    is_static: ClassVar[bool] = True

    def drop_scores(self, view: Candidates) -> Tensor:
        return sizes(view.weights)

    def grow_scores(self, view: Candidates) -> Tensor:
        return view.weights.new_zeros(view.num_places)


def sizes(rows: Tensor) -> Tensor:
    """The Frobenius norm of every row; of single numbers, how large they are."""
    return rows.abs() if rows.dim() == 1 else rows.flatten(1).norm(dim=1)


def make_rewiring(given: str | Rewiring) -> Rewiring:
    """A rule from its name: ``"rigl(every=100, fraction=0.3)"``, ``"package.module:Name"``.

    Raises:
        ValueError: If there is no such rule, or it does not take these arguments.
    """
    if isinstance(given, Rewiring):
        return given
    if not isinstance(given, str):
        raise ValueError(f"rewiring is a name or a relmp.Rewiring, but is {given!r}.")
    name, arguments = parse_call(given)
    cls: Any = import_object(name) if ":" in name else REWIRINGS[name]
    if not (isinstance(cls, type) and issubclass(cls, Rewiring)):
        raise ValueError(f"'{name}' is no relmp.Rewiring but {cls!r}.")
    known = [item.name for item in fields(cls)]
    _check_known(name, arguments, known)
    return cls(**arguments)


def rewiring_text(given: str | Rewiring) -> str:
    """The text that makes this rule again.

    Raises:
        ValueError: If there is no such rule, or its class cannot be imported.
    """
    rule = make_rewiring(given)
    if "<" in rule.text:
        raise ValueError(
            f"{type(rule).__name__} cannot be written to a configuration; define it where it can "
            f"be imported, not inside a function."
        )
    return rule.text


def _check_known(name: str, arguments: Mapping[str, Any], known: list[str]) -> None:
    for argument in arguments:
        if argument not in known:
            raise ValueError(
                f"Rewiring '{name}' has no argument '{argument}'; it takes {', '.join(known)}."
                f"{did_you_mean(argument, known)}"
            )


def _name_of(cls: type[Rewiring]) -> str:
    for name in REWIRINGS:
        if REWIRINGS[name] is cls:
            return name
    return f"{cls.__module__}:{cls.__qualname__}"
