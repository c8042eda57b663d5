"""The optimiser of a run, and which parameters decay."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from relmp.training.config import TrainConfig


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum, or AdamW."""
    groups = parameter_groups(model, config.weight_decay, decay_all=config.loop.decay_all)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, betas=(config.momentum, 0.999))
    return torch.optim.SGD(
        groups, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0
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
