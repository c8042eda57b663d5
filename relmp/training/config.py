"""The settings of one run."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained: SGD with Nesterov momentum and a cosine schedule.

    The defaults are the paper's for CIFAR-10, but for the number of epochs (200 there).

    Args:
        data: Name of a data set.
        train_size: Keep only so many training images; all of them by default.
        epochs: Passes over the training images.
        batch_size: Images a step.
        lr: Learning rate of the first epoch; it falls to zero along half a cosine.
        momentum: Nesterov momentum.
        weight_decay: L2 penalty on all parameters.
        seed: Decides the order of the images, augmentation and dropout.

    Raises:
        ValueError: If a number is out of its range.

    Reference:
        You, Leskovec, He, Xie, *Graph Structure of Neural Networks*, ICML 2020, section 5.1.
    """

    data: str = "digits"
    train_size: int | None = None
    epochs: int = 20
    batch_size: int = 128
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in (("epochs", 1), ("batch_size", 2), ("seed", 0)):
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low}, but is {getattr(self, name)}.")
        for name in ("lr", "momentum", "weight_decay"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0:
                raise ValueError(f"{name} must be a number of at least 0, but is {value}.")
        if self.momentum >= 1:
            raise ValueError(f"momentum must be below 1, but is {self.momentum}.")

    def learning_rate(self, epoch: int) -> float:
        r""":math:`\frac{1}{2} lr (1 + \cos(\pi\, epoch / epochs))`, epochs from 0."""
        return 0.5 * self.lr * (1 + math.cos(math.pi * epoch / self.epochs))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def pick_device(device: str | torch.device | None) -> torch.device:
    """The device asked for; by default a GPU where there is one.

    Raises:
        ValueError: If the device is unknown or not there.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        picked = torch.device(device)
        torch.empty(0, device=picked)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"Device '{device}' cannot be used ({reason}); try 'cpu'.") from error
    return picked
