"""The message that other messages are built of: linear, with or without a kernel."""

from __future__ import annotations

from typing import Unpack

from relmp.rounds.conv2d import Conv2dMessage
from relmp.rounds.geometry import KernelOptions, make_geometry
from relmp.rounds.message import LinearMessage, WeightedMessage
from relmp.rounds.names import MESSAGES


@MESSAGES.register("linear")
def linear_map(
    num_edges: int, in_dim: int, out_dim: int, **geometry: Unpack[KernelOptions]
) -> WeightedMessage:
    """A :class:`LinearMessage`, or a :class:`Conv2dMessage` where there is a ``kernel_size``.

    Args:
        num_edges, in_dim, out_dim: See :class:`LinearMessage`.
        **geometry: ``kernel_size``, ``stride``, ``padding``, ``dilation`` of ``nn.Conv2d``.
    """
    if geometry.get("kernel_size") is None:
        make_geometry(**geometry)  # complains of a stride without a kernel
        return LinearMessage(num_edges, in_dim, out_dim)
    return Conv2dMessage(num_edges, in_dim, out_dim, **geometry)  # type: ignore[arg-type]


MESSAGES.alias("linear", LinearMessage, Conv2dMessage)
