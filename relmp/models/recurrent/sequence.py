"""A round in time: all steps of a sequence as one function with one backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from relmp.models.recurrent.products import Laying

Nonlinearity: TypeAlias = Literal["tanh", "relu", "identity"]
"""The functions phi whose derivative is known from their value."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "identity": lambda x: x,
}


def run_steps(
    drive: Tensor, first: Tensor, step: Callable[[Tensor], Tensor], phi: str, leak: float
) -> Tensor:
    r"""The definition: :math:`h' = (1 - a) h + a\, \phi(\mathrm{round}(h) + z_t)`, step by step.

    Args:
        drive: ``z [T, B, H]``, what comes in at every step.
        first: ``[B, H]``, the state before.
        step: The round.
        phi: Name of the function.
        leak: The share a.

    Returns:
        ``[T, B, H]``: the state after every step.
    """
    states, h = [], first
    for z in drive:
        told = ACTIVATIONS[phi](step(h) + z)
        # Under autocast the round speaks in fewer digits; a state that leaks keeps its own.
        h = told if leak == 1 else torch.lerp(h, told.to(h.dtype), leak)
        states.append(h)
    return torch.stack(states)


def run_laid_out(
    drive: Tensor, first: Tensor, weight: Tensor, laying: Laying, phi: str, leak: float
) -> Tensor:
    """What :func:`run_steps` computes for a linear round, with its weights laid out once.

    The gradient of the weights is one product over all steps, and nothing but the states is kept.
    It can be differentiated once.
    """
    states = laying.states(drive)
    start = laying.states(first[None])[0]
    out = _Recurrence.apply(states, start, laying.weight(weight), laying, phi, leak)
    return laying.sequence(cast(Tensor, out))


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        drive: Tensor,
        first: Tensor,
        weight: Tensor,
        laying: Laying,
        phi: str,
        leak: float,
    ) -> Tensor:
        product = laying.product(weight)
        told = torch.empty_like(drive)  # phi of every step; the states too where there is no leak
        states = told if leak == 1 else torch.empty_like(drive)
        h = first
        for t in range(drive.size(0)):
            product.multiply(h, drive[t], told[t])
            if phi != "identity":
                getattr(torch, f"{phi}_")(told[t])
            if leak != 1:
                torch.lerp(h, told[t], leak, out=states[t])
            h = states[t]
        ctx.save_for_backward(first, weight, told, *([] if leak == 1 else [states]))
        ctx.laying, ctx.phi, ctx.leak = laying, phi, leak
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        first, weight, told, *rest = ctx.saved_tensors
        states = rest[0] if rest else told
        product, leak = ctx.laying.product(weight), ctx.leak
        inner = _slopes(told, ctx.phi)  # becomes the gradient of what phi is applied to
        if leak != 1:
            inner *= leak
        gradient = gradient.contiguous()
        reached = gradient[-1]
        for t in range(gradient.size(0) - 1, -1, -1):
            inner[t] *= reached
            plus = gradient[t - 1] if t else torch.zeros_like(first)
            if leak != 1:
                plus = plus + (1 - leak) * reached
            reached = torch.empty_like(first)
            product.pull_back(inner[t], plus, reached)
        wants = ctx.needs_input_grad
        to_weight = product.to_weight(inner, states, first) if wants[2] else None
        return inner if wants[0] else None, reached if wants[1] else None, to_weight, *[None] * 3


def _slopes(told: Tensor, phi: str) -> Tensor:
    """The derivative of phi where its value is ``told``."""
    if phi == "tanh":
        return told.square().neg_().add_(1)
    return (told > 0).to(told) if phi == "relu" else torch.ones_like(told)
