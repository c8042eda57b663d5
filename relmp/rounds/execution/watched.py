"""Who looks at the parts of a round, by hooks or as operators, so that they must be there."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook
from torch_geometric.nn.conv import MessagePassing


def has_global_hooks() -> bool:
    """Whether hooks wait for every module."""
    return bool(_has_any_global_hook())


def is_hooked(module: nn.Module) -> bool:
    """Whether hooks wait for what a module takes and gives, or its forward is another one."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in vars(module)
    )


def sees_operators(*tensors: Tensor) -> bool:
    """Whether operators are recorded or given another meaning."""
    return (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch._C._len_torch_dispatch_stack() > 0
        or any(type(t) not in _PLAIN or not t.is_cpu for t in tensors)
    )


_PLAIN = (Tensor, nn.Parameter)


def sees_messages(layer: MessagePassing) -> bool:
    """Whether hooks wait for messages or their aggregation, so that they must be passed."""
    return bool(
        is_hooked(layer.message_module)
        or layer._message_forward_hooks
        or layer._message_forward_pre_hooks
        or layer._aggregate_forward_hooks
        or layer._aggregate_forward_pre_hooks
    )


def sees_sums(layer: MessagePassing) -> bool:
    """Whether hooks wait for what is aggregated, so that the update comes after it."""
    return bool(
        layer._propagate_forward_hooks
        or layer._propagate_forward_pre_hooks
        or layer._message_and_aggregate_forward_hooks
        or layer._message_and_aggregate_forward_pre_hooks
    )


def sees_calls(layer: MessagePassing) -> bool:
    """Whether any hook waits for the round or a part of it, so that it must be called."""
    return bool(
        layer._forward_hooks
        or layer._forward_pre_hooks
        or layer._backward_hooks
        or layer._backward_pre_hooks
        or sees_sums(layer)
        or sees_messages(layer)
    )
