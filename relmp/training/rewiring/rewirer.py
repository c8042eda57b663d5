"""Rewiring in the course of training: when edges change, and all that moves with them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from relmp.models.inspection import rewired_flops, training_flops
from relmp.rounds import Round
from relmp.training.processes import Team
from relmp.training.rewiring.places import Places, WeightPlaces, choose, make_places
from relmp.training.rewiring.rule import Candidates, Rewiring, make_rewiring
from relmp.training.rewiring.topology import (
    Topology,
    append_topology,
    layer_record,
    resume_topology,
)
from relmp.training.rewiring.watch import Watch

Report: TypeAlias = Callable[[list[Topology]], None]
"""Is told of every rewiring, a record a layer."""


class Rewirer:
    """Changes the edges of a model in training, as a rule says; without one it does nothing.

    Everything that is chosen follows from the weights, the gradient and draws from the seed, the
    name of the layer and the step, so all processes of a team choose the same, and a run that goes
    on from a checkpoint chooses what it would have chosen.

    Args:
        model: The model; with single weights, those of the start are chosen here.
        rewiring: The rule, its text, or None.
        seed: Seed of the run.
        team: The processes that train together.

    Raises:
        ValueError: If the model has no rounds, or one that the rule cannot rewire.
    """

    def __init__(
        self, model: nn.Module, rewiring: str | Rewiring | None, seed: int, team: Team
    ) -> None:
        self.rule = None if rewiring is None else make_rewiring(rewiring)
        self.seed, self.team, self.total = seed, team, 0
        self.report: Report = lambda records: None
        self.step = 0
        """Steps of the optimiser so far."""
        self.last: int | None = None
        """The step of the last update."""
        self.count = 0
        """Updates so far."""
        self.images = {"sparse": 0, "dense": 0, "skipped": 0}
        self.places: list[Places] = []
        self._sums: dict[str, Tensor] = {}
        self._summed = 0
        if self.rule is None:
            return
        rounds = {n: layer for n, layer in model.named_modules() if isinstance(layer, Round)}
        if not rounds:
            raise ValueError(
                f"rewiring='{self.rule.text}' changes the edges of rounds, but "
                f"{type(model).__name__} has none; build it with a graph, complete where single "
                f"weights are chosen."
            )
        self.places = [make_places(name, layer, self.rule) for name, layer in rounds.items()]
        if self.rule.density is not None:
            self._fill(self.rule)
        elif not self.rule.is_static:
            for layer in rounds.values():
                layer.rewire(layer.graph)  # tables get their room before anything is compiled
        self._watch = Watch(rounds)
        self.start = {place.name: place.active() for place in self.places}
        self.tried = {
            place.name: torch.zeros(place.count, dtype=torch.bool) for place in self.places
        }
        for name, active in self.start.items():
            self.tried[name][active] = True

    # When --------------------------------------------------------------------------------

    @property
    def end(self) -> int:
        """The step at which updates end."""
        return 0 if self.rule is None else round(self.rule.until * self.total)

    @property
    def updates(self) -> bool:
        """Whether edges change with this batch."""
        return self.rule is not None and self.rule.updates(self.step, self.last, self.end)

    @property
    def watches(self) -> bool:
        """Whether the gradient of absent edges is looked at in this batch."""
        return self.rule is not None and self.rule.watches(self.step, self.last, self.end)

    @property
    def skips(self) -> bool:
        """Whether this batch is spent on the gradient, without a step of the optimiser."""
        return self.updates and self.rule is not None and self.rule.needs_gradient

    @contextmanager
    def watching(self) -> Iterator[bool]:
        """Around the forward pass; gives whether rounds are watched, so that hooks must run."""
        by_hooks = self.watches and self.rule is not None and self.rule.granularity == "edge"
        if not by_hooks:
            yield False
            return
        with self._watch():
            yield True

    # What -------------------------------------------------------------------------------

    def after_backward(self, images: int, scale: float = 1.0) -> bool:
        """Take what is wanted of the gradients, and clear them of what is not there.

        Args:
            images: Images of this batch.
            scale: By what the loss was multiplied.

        Returns:
            Whether all was finite.
        """
        if self.rule is None:
            return True
        kind = "skipped" if self.skips else "dense" if self.watches else "sparse"
        finite = True
        if self.watches:
            finite = self._add_gradients(scale)
        self.images[kind] += images
        for place in self.places:
            if isinstance(place, WeightPlaces):
                place.mask_gradient()
        return finite

    def finish(self, optimizer: Any, average: nn.Module | None) -> None:
        """End the batch: change the edges where it is time, after the step of the optimiser.

        Args:
            optimizer: Its states move with the edges.
            average: The moving average of the model; its edges change too.
        """
        if self.rule is None:
            return
        updates, stepped = self.updates, not self.skips
        if updates:
            self.count += 1
            records = [self._rewire(self.rule, place, optimizer, average) for place in self.places]
            self.last = self.step
            self._sums, self._summed = {}, 0
            self.report(records)
        self.step += stepped

    def postpone(self) -> None:
        """Forget the gradient of this batch: a number in it was infinite."""
        self._sums, self._summed = {}, 0

    def keep_in(self, folder: Path | None, *, fresh: bool) -> None:
        """Write what becomes of the edges to the folder of a run, from the first process.

        Args:
            folder: The folder; None keeps nothing.
            fresh: Whether the run begins; otherwise what was written after its checkpoint goes.
        """
        if folder is None or self.rule is None or not self.team.leads:
            return
        resume_topology(folder, -1 if fresh else self.count)
        if fresh:
            append_topology(folder, [self._record(place, 0) for place in self.places])
        self.report = lambda records: append_topology(folder, records)

    def flops(self, model: nn.Module, input_shape: tuple[int, ...]) -> int:
        """Multiply-adds of training so far."""
        if not self.places:
            return 0
        sparse, dense = training_flops(model, input_shape)
        images = self.images
        watched = images["dense"] + images["skipped"]
        return rewired_flops(sparse, dense, images["sparse"], watched)

    # Parts ------------------------------------------------------------------------------

    def _fill(self, rule: Rewiring) -> None:
        from relmp.graphs.layers.densities import layer_densities

        chosen = [place for place in self.places if isinstance(place, WeightPlaces)]
        shapes: dict[str, tuple[int, ...]] = {}
        for place in chosen:
            channels = (place.layer.out_channels, place.layer.in_channels)
            shapes[place.name] = (*channels, *place.mask_shape[3:])
        assert rule.density is not None
        if isinstance(rule.density, Mapping):
            densities = dict(rule.density)
            if densities.keys() != shapes.keys():
                raise ValueError(
                    f"density names the layers {', '.join(densities)}, but the rounds of this "
                    f"model are {', '.join(shapes)}; give each its share."
                )
        else:
            densities = layer_densities(
                shapes, density=rule.density, allocation=rule.allocation, dense=rule.dense
            )
        for place in chosen:
            place.fill(densities[place.name], self._generator(place.name, -1))

    def _add_gradients(self, scale: float) -> bool:
        found = {}
        for place in self.places:
            caught: tuple[Any, Any] = (None, None)
            if not isinstance(place, WeightPlaces):
                caught = self._watch.caught(place.name)
            found[place.name] = place.gradient(*caught).float() / scale
        self._watch.forget()
        finite = all(bool(gradient.isfinite().all()) for gradient in found.values())
        device = next(iter(found.values())).device
        if self.team.any(not finite, device):
            return False
        for name, gradient in found.items():
            self._sums[name] = gradient + self._sums[name] if name in self._sums else gradient
        self._summed += 1
        return True

    def _gradient(self, place: Places) -> Tensor | None:
        total = self._sums.get(place.name)
        if total is None:
            return None
        if not isinstance(place, WeightPlaces):  # those of parameters are averaged already
            total = self.team.sum(total) / self.team.size
        return total / self._summed

    def _rewire(
        self, rule: Rewiring, place: Places, optimizer: Any, average: nn.Module | None
    ) -> Topology:
        protected = place.protected() if rule.keep_loops else None
        before = place.active()
        free = len(before) - (0 if protected is None else int(protected.sum()))
        dropped = rule.drop_count(free, self.step, self.end)
        view = Candidates(
            layer=place.name,
            step=self.step,
            num_places=place.count,
            active=before,
            weights=place.weights(),
            gradient=self._gradient(place),
            num_nodes=place.layer.num_nodes,
            generator=self._generator(place.name, self.step),
        )
        if protected is not None:
            protected = protected.to(view.weights.device)
        after = choose(rule, view, dropped, protected)
        twin = None if average is None else average.get_submodule(place.name)
        seed = int(torch.randint(2**62, (), generator=self._generator(place.name, self.step)))
        place.take(after, twin, optimizer, seed)  # type: ignore[arg-type]
        self.tried[place.name][after] = True
        changed = len(after) - int(torch.isin(after, before).sum())
        return self._record(place, changed)

    def _record(self, place: Places, changed: int) -> Topology:
        active, start = place.active(), self.start[place.name]
        return layer_record(
            place.layer.graph if not isinstance(place, WeightPlaces) else None,
            rewiring=self.count,
            step=self.step,
            layer=place.name,
            edges=len(active),
            density=len(active) / place.count,
            changed=changed,
            tried=float(self.tried[place.name].float().mean()),
            overlap=int(torch.isin(start, active).sum()) / len(start) if len(start) else 1.0,
        )

    def _generator(self, layer: str, step: int) -> torch.Generator:
        name = f"{self.seed}:{layer}:{step}".encode()
        return torch.Generator().manual_seed(zlib.crc32(name) + (zlib.adler32(name) << 31))

    # Keeping ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """All of it, as tensors and plain values; edges and masks are those of the model."""
        if self.rule is None:
            return {}
        sums = {name: self.team.sum(total) if self._is_local(name) else total
                for name, total in self._sums.items()}  # fmt: skip
        return {
            "step": self.step, "last": self.last, "count": self.count, "images": self.images,
            "tried": self.tried, "sums": sums, "summed": self._summed,
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from such a state.

        Raises:
            ValueError: If it is of another model.
        """
        if self.rule is None:
            return
        shapes = {name: tensor.shape for name, tensor in state["tried"].items()}
        if shapes != {name: tensor.shape for name, tensor in self.tried.items()}:
            raise ValueError("its rewired layers have other places than those of this model.")
        self.step, self.last, self.count = state["step"], state["last"], state["count"]
        self.images, self.tried = dict(state["images"]), dict(state["tried"])
        device = next(iter(self.places)).layer.edge_index.device
        # Sums over the team: let one process hold them.
        self._sums = {
            name: total.to(device) * (1.0 if self.team.leads or not self._is_local(name) else 0.0)
            for name, total in state["sums"].items()
        }
        self._summed = state["summed"]

    def _is_local(self, name: str) -> bool:
        places = {place.name: place for place in self.places}
        return not isinstance(places[name], WeightPlaces)
