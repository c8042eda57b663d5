"""What the executions of linear maps share: when they apply, and autocast."""

from __future__ import annotations

import torch
from torch import Tensor

from relmp.rounds.form import RoundForm
from relmp.rounds.message import WeightedMessage


def map_refusal(form: RoundForm) -> str | None:
    """Why this round is not one linear map, or None."""
    message = form.message
    if not isinstance(message, WeightedMessage):
        return f"{type(message).__name__} is not one linear map for every edge"
    if not message.is_linear_map or "forward" in vars(message):
        return (
            f"{type(message).__name__} has a forward of its own, and its class does not state "
            f"is_linear_map = True beside it"
        )
    if form.aggr not in ("sum", "mean"):
        return f"aggregation '{form.aggr}' is not linear in the messages"
    return None


def whole_refusal(form: RoundForm) -> str | None:
    """Why this round has no matrix or kernel of its own for every edge, or None."""
    message = form.message
    if not isinstance(message, WeightedMessage) or not message.is_whole:
        return f"{type(message).__name__} is not a matrix or kernel for every edge"
    return map_refusal(form)


def weight_of(message: WeightedMessage, shape: torch.Size) -> Tensor:
    """Its weight, which has the shape that the tables of an execution were made for.

    Raises:
        ValueError: If it was exchanged for one of another shape, behind whose end tables point.
    """
    weight = message.weight
    if weight.shape != shape:
        raise ValueError(
            f"The weights of this round are {list(shape)}, [E, out_dim, in_dim, *kernel], but "
            f"{list(weight.shape)} were given in their place; give some of the same shape, or "
            f"build the round anew."
        )
    return weight


def in_autocast_dtype(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Both as PyTorch's own products take them; under autocast in its type.

    Raises:
        ValueError: If their types differ.
    """
    device = x.device.type
    if (
        device != "meta"
        and torch.is_autocast_enabled(device)
        and torch.float64 not in (x.dtype, weight.dtype)
    ):
        dtype = torch.get_autocast_dtype(device)
        x, weight = x.to(dtype), weight.to(dtype)
    if x.dtype != weight.dtype:
        raise ValueError(f"The input is {x.dtype} but the weights are {weight.dtype}.")
    return x, weight
