"""Models in training that see the same batches, and are moved as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from relmp.models.parts.union import DisjointUnion, Place, union_refusal
from relmp.training.config import TrainConfig
from relmp.training.state import TrainState


class Population:
    """States of models in training, all at the same place of runs of the same settings.

    Several are moved as one model, the disjoint union of their graphs (:class:`DisjointUnion`),
    with one forward pass, one backward pass and one optimiser; :meth:`sync` gives every state what
    is its own. One state is moved itself, and nothing is copied.

    A member whose loss becomes infinite or NaN is left behind with its error in ``errors``; no
    other hears of its numbers. Of a single one the error is raised.

    Args:
        states: The states.

    Raises:
        ValueError: If their models or settings cannot be of a population.
    """

    def __init__(self, states: Sequence[TrainState]) -> None:
        self.states = list(states)
        self.errors: dict[int, FloatingPointError] = {}
        first = self.states[0]
        self.union: DisjointUnion | None = None
        self.whole = first
        """What is moved: the state of the union, or the only one."""
        if len(self.states) > 1:
            if (refusal := training_refusal(first.config)) is not None:
                raise ValueError(f"These runs cannot be trained as one: {refusal}.")
            with torch.random.fork_rng(devices=[]):
                self.union = DisjointUnion([state.model for state in self.states])
            self.whole = TrainState(self.union, first.config, first.device, first.team)
            self.whole.epoch, self.whole.step = first.epoch, first.step
            self._gather_optimizer()

    @property
    def alive(self) -> list[int]:
        """The numbers of those that go on."""
        return [number for number in range(len(self.states)) if number not in self.errors]

    @property
    def place(self) -> tuple[int, int]:
        """Epochs done, and steps done in this one."""
        first = self.states[self.alive[0]]
        return first.epoch, first.step

    @property
    def seconds(self) -> float:
        """Seconds since this epoch began, a model's share."""
        return self.states[self.alive[0]].seconds / len(self.states)

    def split(self, scores: Any) -> Sequence[Tensor]:
        """What a forward pass gave, a tensor for each member."""
        return [scores] if self.union is None else cast(Sequence[Tensor], scores)

    def each(self, do: Callable[[int, TrainState], object]) -> None:
        """Do something with every state that goes on; one that fails is left behind.

        Raises:
            FloatingPointError: If the only state failed.
        """
        for number in self.alive:
            try:
                do(number, self.states[number])
            except FloatingPointError as error:
                if self.union is None:
                    raise
                self.errors[number] = error

    def begin_epoch(self, steps: int) -> float:
        """Prepare for an epoch, or the rest of one; returns its learning rate."""
        for number in self.alive:
            self.states[number].begin_epoch(steps)
        return self.whole.begin_epoch(steps)

    def end_epoch(self) -> None:
        """Go to the beginning of the next epoch."""
        for number in self.alive:
            self.states[number].end_epoch()
        if self.union is not None:
            self.whole.end_epoch()

    def sync(self) -> None:
        """Give every state the weights, statistics and optimiser states that are its own."""
        if self.union is None:
            return
        self.union.scatter()
        states = self.whole.optimizer.state
        for place, own in self._trained():
            kept = states.get(place.whole, {})
            own[place.own] = {
                name: value[place.slots].clone() if _is_like(value, place.whole) else _copy(value)
                for name, value in kept.items()
            }

    def _gather_optimizer(self) -> None:
        states = self.whole.optimizer.state
        for place, own in self._trained():
            for name, value in own.get(place.own, {}).items():
                if not _is_like(value, place.own):
                    states[place.whole][name] = _copy(value)
                    continue
                if name not in states[place.whole]:
                    states[place.whole][name] = torch.zeros_like(place.whole)
                states[place.whole][name][place.slots] = value

    def _trained(self) -> list[tuple[Place, dict[Any, Any]]]:
        """Every parameter, with the states of the optimiser of its member."""
        assert self.union is not None
        return [
            (place, state.optimizer.state)
            for state, places in zip(self.states, self.union.places, strict=True)
            for place in places
            if isinstance(place.own, nn.Parameter)
        ]


def training_refusal(config: TrainConfig) -> str | None:
    """Why runs of these settings cannot be trained as one, or None."""
    loop = config.loop
    reasons = {
        "their edges change": config.rewiring is not None,
        "gradients are clipped by the norm of one model": loop.clip_norm is not None,
        "weights are averaged": loop.ema_decay is not None,
        "they may stop early, each at its own epoch": loop.patience is not None,
        "they are compiled": loop.compile,
        f"they are trained in {config.precision}": config.precision != "float32",
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def population_refusal(models: Sequence[nn.Module], config: TrainConfig) -> str | None:
    """Why these models cannot be trained as one, or None."""
    found = (training_refusal(config), *map(union_refusal, models))
    return next((reason for reason in found if reason is not None), None)


def _is_like(value: Any, parameter: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == parameter.shape


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value
