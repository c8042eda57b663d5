"""The exponential moving average of a model."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


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
