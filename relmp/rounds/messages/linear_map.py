"""The message that other messages are built of: linear, with or without a kernel."""

from __future__ import annotations

from typing import Unpack

from relmp.rounds.conv2d import Conv2dMessage
from relmp.rounds.geometry import KernelOptions
from relmp.rounds.message import LinearMessage, WeightedMessage


def linear_map(
    num_edges: int, in_dim: int, out_dim: int, **geometry: Unpack[KernelOptions]
) -> WeightedMessage:
    """A :class:`LinearMessage`, or a :class:`Conv2dMessage` where there is a ``kernel_size``.

    Args:
        num_edges, in_dim, out_dim: See :class:`LinearMessage`.
        **geometry: ``kernel_size``, ``stride``, ``padding``, ``dilation`` of ``nn.Conv2d``.
    """
    kernel_size = geometry.pop("kernel_size", None)
    if kernel_size is None and not geometry:
        return LinearMessage(num_edges, in_dim, out_dim)
    return Conv2dMessage(num_edges, in_dim, out_dim, kernel_size=kernel_size, **geometry)  # type: ignore[arg-type]
