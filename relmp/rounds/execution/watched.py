"""Who looks at the parts of a round, by PyG's hooks, so that they must be there."""

from __future__ import annotations

from torch_geometric.nn.conv import MessagePassing


def sees_messages(layer: MessagePassing) -> bool:
    """Whether hooks wait for messages or their aggregation, so that they must be passed."""
    message = layer.message_module
    return bool(
        message._forward_hooks
        or message._forward_pre_hooks
        or message._backward_hooks
        or message._backward_pre_hooks
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
