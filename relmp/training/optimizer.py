"""What moves the weights: the optimiser, and the average that follows them."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from relmp.training.config import TrainConfig


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """SGD with momentum, Nesterov's by default, or AdamW.

    All weights are moved by one call, which takes a quarter of the time where they are small; not
    under scaled gradients, which such a call would have to unscale itself.
    """
    groups = parameter_groups(model, config.weight_decay, decay_all=config.loop.decay_all)
    fused = config.precision != "float16"
    if config.optimizer == "adamw":
        betas = (config.momentum, 0.999)
        return torch.optim.AdamW(groups, lr=config.lr, betas=betas, fused=fused)
    nesterov = config.loop.nesterov and config.momentum > 0
    return torch.optim.SGD(
        groups, lr=config.lr, momentum=config.momentum, nesterov=nesterov, fused=fused
    )


def parameter_groups(
    model: nn.Module, weight_decay: float, *, decay_all: bool
) -> list[dict[str, Any]]:
    """The parameters that are trained, in groups of equal weight decay.

    Args:
        model: The model.
        weight_decay: Decay of the weights.
        decay_all: Whether parameters of one dimension (biases, and the scales and shifts of
            normalisation layers) decay as well.

    Raises:
        ValueError: If no parameter is trained.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise ValueError(f"{type(model).__name__} has no parameters to train.")
    if decay_all:
        return [{"params": trained, "weight_decay": weight_decay}]
    groups = [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


class MovingAverage:
    r"""A second model whose weights follow those of the first:
    :math:`\bar w \leftarrow d \bar w + (1 - d) w` after every step.

    In the first steps the decay is smaller, :math:`d_t = \min(d, (1 + t) / (10 + t))`, so that
    the initial weights are soon forgotten. Running statistics are averaged as well; what is no
    floating-point number (the edges of a round) is copied.

    Args:
        model: The model to follow.
        decay: The decay d.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay
        self.steps = 0
        followed, following = model.state_dict(), self.model.state_dict()
        self._averaged: tuple[list[Tensor], list[Tensor]] = ([], [])
        self._copied: tuple[list[Tensor], list[Tensor]] = ([], [])
        for name, tensor in following.items():
            pair = self._averaged if tensor.is_floating_point() else self._copied
            pair[0].append(tensor)
            pair[1].append(followed[name])

    @torch.no_grad()
    def update(self) -> None:
        """Follow one step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(*self._averaged, 1 - decay)
        torch._foreach_copy_(*self._copied)
