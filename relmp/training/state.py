"""What changes while a model is trained: all that a checkpoint must hold."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn

from relmp.rounds import Round
from relmp.rounds.execution import possible_executions
from relmp.training.config import TrainConfig
from relmp.training.optimizer import MovingAverage, make_optimizer
from relmp.training.processes import Team
from relmp.training.rewiring.rewirer import Rewirer
from relmp.training.rewiring.selections import Selections

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}
CHECK_EVERY = 50
"""On a GPU the loss is looked at once in so many steps, since looking waits for the GPU."""


class TrainState:
    """A model in training: weights, optimiser, scaler, moving average, and the place in the run.

    The learning rate, the order of the images and all other randomness follow from the
    configuration and the place (epoch and step), so these are not kept themselves.

    Args:
        model: The model; it is moved to the device.
        config: The settings.
        device: Where to train.
        team: The processes that train together.
    """

    def __init__(
        self,
        model: nn.Module,
        config: TrainConfig,
        device: torch.device | None = None,
        team: Team | None = None,
    ) -> None:
        self.config = config
        self.device = device or torch.device("cpu")
        self.team = team or Team()
        self.layout = torch.contiguous_format
        if config.loop.channels_last:
            self.layout = torch.channels_last
            # Module.to(memory_format=) stumbles over weights of five dimensions: the edges
            # of a convolutional round.
            for parameter in model.parameters():
                if parameter.dim() == 4:
                    parameter.data = parameter.data.contiguous(memory_format=self.layout)
        self.model = model.to(self.device)
        self._recomputed: list[Round] = []
        if config.loop.recompute:
            rounds = (module for module in self.model.modules() if isinstance(module, Round))
            self._recomputed = [layer for layer in rounds if not layer.recompute]
        for layer in self._recomputed:
            layer.recompute = True
        self.rewirer = Rewirer(self.model, config.rewiring, config.seed, self.team)
        self.selections = Selections(self.model, self.team)
        self.optimizer = make_optimizer(model, config)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "float16")
        decay = config.loop.ema_decay
        self.average = None if decay is None else MovingAverage(model, decay)
        self.epoch = 0
        """Epochs done."""
        self.step = 0
        """Steps done in this one."""
        self.losses = torch.zeros(0)
        self.wrong = torch.zeros(0)
        self._seconds = 0.0
        self._began = time.perf_counter()
        forward = self.team.wrap(model, self.device)
        compiled = torch.compile(forward) if config.loop.compile else forward
        self.forward = cast(nn.Module, compiled)
        """The model as it is called in training."""
        self.watched = forward
        """The model as it is called where hooks must run."""

    @property
    def evaluated(self) -> nn.Module:
        """The model that is evaluated and loaded: the averaged one where there is one."""
        return self.model if self.average is None else self.average.model

    @property
    def seconds(self) -> float:
        """Seconds since this epoch began."""
        return self._seconds + time.perf_counter() - self._began

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of the forward pass."""
        if self.config.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=_AUTOCAST[self.config.precision])

    def begin_epoch(self, steps: int) -> float:
        """Prepare for an epoch, or the rest of one; returns its learning rate."""
        self._began = time.perf_counter()
        if self.step == 0:
            self._seconds = 0.0
            self.losses = torch.zeros(steps, device=self.device)
            self.wrong = torch.zeros((), device=self.device, dtype=torch.float64)
        self.rewirer.total = self.config.epochs * steps
        lr = self.config.learning_rate(self.epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.forward.train()
        return lr

    def count(self, loss: Tensor, wrong: Tensor) -> None:
        """Note the outcome of a step: its loss, and how many were wrong.

        Raises:
            FloatingPointError: If the loss has become infinite or NaN.
        """
        self.losses[self.step] = loss.detach()
        self.wrong += wrong
        self.step += 1
        if self.device.type == "cpu":
            self.check_losses(1)
        elif self.step % CHECK_EVERY == 0:
            self.check_losses(CHECK_EVERY)

    def check_losses(self, last: int | None = None) -> None:
        """Raise ``FloatingPointError`` if one of these losses is infinite or NaN."""
        first = 0 if last is None else self.step - last
        losses = self.losses[first : self.step]
        fine = losses.isfinite()
        if not fine.all():
            place = int(fine.logical_not().nonzero()[0])
            self.fail(f"The training loss became {float(losses[place])}", first + place + 1)

    def check_weights(self) -> None:
        """Raise ``FloatingPointError`` if a weight is infinite or NaN."""
        if not all(bool(p.isfinite().all()) for p in self.model.parameters()):
            self.fail("A weight became infinite or NaN", self.step)

    def fail(self, what: str, step: int) -> None:
        """Raise ``FloatingPointError`` with the place and the remedy."""
        raise FloatingPointError(
            f"{what} in step {step} of epoch {self.epoch + 1} at learning rate "
            f"{self.optimizer.param_groups[0]['lr']:.3g}; lower lr."
        )

    def take_step(self) -> None:
        """Move the weights by their gradients, and the averaged weights after them."""
        if self.config.loop.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.loop.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update()

    def end_batch(self, images: int) -> None:
        """What follows the backward pass: a step, a change of edges, or both."""
        rewirer, scale = self.rewirer, self.scaler.get_scale()
        finite = rewirer.after_backward(images, scale)
        if not finite and rewirer.skips:  # float16 overflowed: with a smaller scale, next time
            rewirer.postpone()
            self.scaler.update(scale * self.scaler.get_backoff_factor())
            return
        if not rewirer.skips:
            self.take_step()
        rewirer.finish(self.optimizer, None if self.average is None else self.average.model)

    def end_epoch(self) -> None:
        """Go to the beginning of the next epoch."""
        self.epoch, self.step = self.epoch + 1, 0
        self.selections.end_epoch(self.epoch, self.epoch * len(self.losses))

    def finish(self) -> None:
        """Leave the averaged weights in the model."""
        if self.average is not None:
            self.model.load_state_dict(self.average.model.state_dict())
        for layer in self._recomputed:
            layer.recompute = False
        self.model.eval()

    def state_dict(self) -> dict[str, Any]:
        """All of it, as tensors and plain values; every process of a team must ask."""
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": None,
            "rewiring": self.rewirer.state_dict(),
            "selections": self.selections.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
        }
        if self.average is not None:
            state["average"] = {
                "model": self.average.model.state_dict(),
                "steps": self.average.steps,
            }
        if self.step:
            state["losses"] = self.team.sum(self.losses)
            state["wrong"] = self.team.sum(self.wrong)
            state["seconds"] = self.seconds
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from such a state.

        Raises:
            RuntimeError: If it is of another model.
        """
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.rewirer.load_state_dict(state.get("rewiring", {}))
        self.selections.load_state_dict(state.get("selections", {}))
        if self.average is not None:
            self.average.model.load_state_dict(state["average"]["model"])
            self.average.steps = state["average"]["steps"]
        self.epoch, self.step = state["epoch"], state["step"]
        if self.step:
            mine = float(self.team.leads)  # sums over the team: let one process hold them
            self.losses = state["losses"].to(self.device) * mine
            self.wrong = state["wrong"].to(self.device).double() * mine
            self._seconds = state["seconds"]


def use_executions(model: nn.Module, executions: list[str]) -> None:
    """Execute every round as it was executed when the run began, where it is on such a device.

    Another device has other executions; there, the round keeps the one that it has.
    """
    rounds = [layer for layer in model.modules() if isinstance(layer, Round)]
    for layer, execution in zip(rounds, executions, strict=True):
        if layer.execution != execution and execution in possible_executions(layer):
            layer.set_execution(execution)
