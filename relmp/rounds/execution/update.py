"""Updates that executions know, so that they may compute them with the round."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook


class BatchNormUpdate(NamedTuple):
    """Batch norm of vectors with scale, shift and running statistics, and ReLU behind it.

    Args:
        norm: The batch norm.
        activates: Whether ReLU follows.
        tensors: Its scale, shift, running mean and running variance.
    """

    norm: nn.BatchNorm1d
    activates: bool
    tensors: tuple[Tensor, ...]


def known_update(update: nn.Module | None) -> BatchNormUpdate | None:
    """What an update does, if it is known and nobody looks at its parts (by hooks)."""
    parts = tuple(update) if type(update) is nn.Sequential else (update,)
    norm = parts[0] if parts else None
    if not 1 <= len(parts) <= 2 or type(norm) is not nn.BatchNorm1d:
        return None
    if len(parts) == 2 and type(parts[1]) is not nn.ReLU:
        return None
    tensors = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    found = tuple(tensor for tensor in tensors if tensor is not None)
    if norm.momentum is None or len(found) < len(tensors):
        return None
    if _has_any_global_hook() or any(_is_hooked(part) for part in (update, *parts)):
        return None
    return BatchNormUpdate(norm, len(parts) == 2, found)


def _is_hooked(module: nn.Module | None) -> bool:
    return module is not None and bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in vars(module)
    )
