"""What the executions of linear maps share: when they apply, the mean, and autocast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from relmp.rounds.round import Round


def map_refusal(layer: Round) -> str | None:
    """Why this round is not one linear map, or None."""
    if not hasattr(layer.message_module, "apply_dense"):
        return f"{type(layer.message_module).__name__} is not one linear map for every edge"
    if layer.aggr not in ("sum", "mean"):
        return f"aggregation '{layer.aggr}' is not linear in the messages"
    return None


def speaks_as(message: nn.Module, *kinds: type[nn.Module]) -> bool:
    """Whether a message is one of these kinds and computed as they are, not overridden."""
    return any(
        isinstance(message, kind) and type(message).forward is kind.forward for kind in kinds
    )


def mean_degrees(layer: Round) -> Tensor | None:
    """``[E]``: by what the mean divides the weights of every edge; None for the sum.

    Whole numbers, so that they stay exact when the round moves to another type.
    """
    if layer.aggr != "mean":
        return None
    return torch.from_numpy(layer.graph.in_degrees)[layer.edge_index[1].cpu()]


def divided(weight: Tensor, degrees: Tensor | None) -> Tensor:
    """``weight [E, ...]`` by :func:`mean_degrees`."""
    return weight if degrees is None else weight / degrees.view(-1, *[1] * (weight.dim() - 1))


def in_autocast_dtype(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Both as PyTorch's own products take them; under autocast in its type.

    Raises:
        ValueError: If their types differ.
    """
    device = x.device.type
    if torch.is_autocast_enabled(device) and torch.float64 not in (x.dtype, weight.dtype):
        dtype = torch.get_autocast_dtype(device)
        x, weight = x.to(dtype), weight.to(dtype)
    if x.dtype != weight.dtype:
        raise ValueError(f"The input is {x.dtype} but the weights are {weight.dtype}.")
    return x, weight
