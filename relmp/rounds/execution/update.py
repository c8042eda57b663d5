"""Updates that executions know, so that they may compute them with the round."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from relmp.rounds.execution.watched import has_global_hooks, is_hooked


class BatchNormUpdate(NamedTuple):
    """Batch norm with scale, shift and running statistics, and ReLU behind it.

    Args:
        norm: The batch norm.
        activates: Whether ReLU follows.
        tensors: Its scale, shift, running mean and running variance.
    """

    norm: nn.BatchNorm1d | nn.BatchNorm2d
    activates: bool
    tensors: tuple[Tensor, ...]

    def fits(self, x: Tensor, values: int, channels: int) -> bool:
        """Whether kernels can do it to numbers like those of ``x``: so many of a channel, and so
        many channels.

        What PyTorch refuses is left to it, and so is what does not lie as kernels read it.
        """
        return (
            (values > 1 or not self.norm.training)
            and self.norm.track_running_stats
            and self.norm.eps > 0
            and all(
                t.shape == (channels,) and t.dtype == x.dtype and t.is_contiguous()
                for t in self.tensors
            )
        )


def known_update(update: nn.Module | None, kind: type[nn.Module]) -> BatchNormUpdate | None:
    """What an update does, if it is a batch norm of this kind, with or without ReLU, and nobody
    looks at its parts (by hooks)."""
    parts = tuple(update) if type(update) is nn.Sequential else (update,)
    norm = parts[0] if parts else None
    if not 1 <= len(parts) <= 2 or type(norm) is not kind:
        return None
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    if len(parts) == 2 and type(parts[1]) is not nn.ReLU:
        return None
    tensors = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    found = tuple(tensor for tensor in tensors if tensor is not None)
    if norm.momentum is None or len(found) < len(tensors):
        return None
    if has_global_hooks() or any(part is not None and is_hooked(part) for part in (update, *parts)):
        return None
    return BatchNormUpdate(norm, len(parts) == 2, found)
