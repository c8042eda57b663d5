"""Forward passes of which nothing is kept: they are made again in the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor, is_grad_enabled, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint


def recomputed(call: Callable[..., Tensor], *given: Any, norms: nn.Module) -> Tensor:
    """``call(*given)``, of which the backward pass keeps what is given alone and computes the rest
    again; where there will be no backward pass, just that.

    Args:
        call: Gives the same when it is called again, with the same turns.
        given: Its arguments.
        norms: What holds its normalisations, whose statistics count every image once, and what does
            one thing after another (:class:`InTurn`).
    """
    if not is_grad_enabled():
        return call(*given)
    turns = [(module, module.now) for module in norms.modules() if isinstance(module, InTurn)]

    def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), _AsItWas(norms, turns)

    found: Tensor = checkpoint(call, *given, use_reentrant=False, context_fn=contexts)
    return found


class InTurn(nn.Module):
    """What does one thing after another, as it is told."""

    now: int = 0
    """Whose turn it is."""


class _AsItWas(AbstractContextManager[None]):
    """Lets modules do what they did when it was their turn, and normalisations without counting the
    images again; may be entered often, once for every derivative of a derivative."""

    def __init__(self, block: nn.Module, turns: list[tuple[InTurn, int]]) -> None:
        self.turns, self.later = turns, [0] * len(turns)
        self.norms = [module for module in block.modules() if isinstance(module, _NormBase)]
        self.kept: list[dict[str, Tensor | None]] = []

    def __enter__(self) -> None:
        self.later = [module.now for module, _ in self.turns]
        for module, turn in self.turns:
            module.now = turn
        self.kept = [dict(norm._buffers) for norm in self.norms]
        for norm, buffers in zip(self.norms, self.kept, strict=True):
            # What is counted goes into copies.
            norm._buffers.update({n: None if b is None else b.clone() for n, b in buffers.items()})

    def __exit__(self, *error: object) -> None:
        for (module, _), turn in zip(self.turns, self.later, strict=True):
            module.now = turn
        for norm, buffers in zip(self.norms, self.kept, strict=True):
            norm._buffers.update(buffers)
