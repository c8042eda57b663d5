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
        call: Gives the same when it is called again.
        given: Its arguments.
        norms: What holds its normalisations, whose statistics count every image once.
    """

    def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), _StatisticsKept(norms)

    if not is_grad_enabled():
        return call(*given)
    found: Tensor = checkpoint(call, *given, use_reentrant=False, context_fn=contexts)
    return found


class _StatisticsKept(AbstractContextManager[None]):
    """Lets normalisations do what they did, without counting the images again; may be entered
    often, once for every derivative of a derivative."""

    def __init__(self, block: nn.Module) -> None:
        self.norms = [module for module in block.modules() if isinstance(module, _NormBase)]
        self.kept: list[dict[str, Tensor | None]] = []

    def __enter__(self) -> None:
        self.kept = [dict(norm._buffers) for norm in self.norms]
        for norm, buffers in zip(self.norms, self.kept, strict=True):
            # What is counted goes into copies.
            norm._buffers.update({n: None if b is None else b.clone() for n, b in buffers.items()})

    def __exit__(self, *error: object) -> None:
        for norm, buffers in zip(self.norms, self.kept, strict=True):
            norm._buffers.update(buffers)
