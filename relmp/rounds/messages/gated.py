"""Messages behind a gate that both ends of an edge open and close."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor, nn

from relmp.rounds.form import Edges
from relmp.rounds.geometry import KernelOptions
from relmp.rounds.message import Message
from relmp.rounds.messages.linear_map import linear_map
from relmp.rounds.messages.score import EdgeScore
from relmp.rounds.names import MESSAGES


@MESSAGES.register("gated")
class GatedMessage(Message):
    r"""A linear message, let through by a gate:
    :math:`m_{ij} = \sigma(u_{ij} \cdot \bar x_i + v_{ij} \cdot \bar x_j + b_{ij})\, W_{ij} x_j`.

    There is one gate an edge and image. On images :math:`\bar x` is the mean over the pixels
    and :math:`W_{ij} x_j` a convolution.

    Cost with :math:`c_i, c_j` channels heard and spoken and :math:`c_i'` made: that of the
    linear message, :math:`c_i'` for each output pixel, and :math:`c_i + c_j` for each image.

    Args:
        num_edges: Number of edges E, self-loops included.
        in_dim: Largest node size of the input.
        out_dim: Largest node size of the output.
        **geometry: ``kernel_size``, ``stride``, ``padding``, ``dilation`` of ``nn.Conv2d``
            for images; nothing for vectors.

    Shapes:
        - **value.weight** ``[E, out_dim, in_dim, *kernel]``; **gate.listener** (u),
          **gate.speaker** (v) ``[E, in_dim]``; **bias** ``[E]``
        - **x_i**, **x_j** ``[E, B, in_dim, ...]`` -> ``[E, B, out_dim, ...]``

    Reference:
        Bresson, Laurent, *Residual Gated Graph ConvNets*, 2017, equation 11; there with one
        gate for each channel.
    """

    def __init__(
        self, num_edges: int, in_dim: int, out_dim: int, **geometry: Unpack[KernelOptions]
    ) -> None:
        super().__init__()
        self.value = linear_map(num_edges, in_dim, out_dim, **geometry)
        self.gate = EdgeScore(num_edges, in_dim)
        self.bias = nn.Parameter(torch.zeros(num_edges))

    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        geometry, value = self.value.geometry, self.value(None, x_j)
        gate = self.gate(geometry.pooled(x_i), geometry.pooled(x_j)) + self.bias[:, None]
        return geometry.scaled(value, gate.sigmoid())

    def draw(self, edges: Edges, std: Tensor) -> None:
        self.value.draw(edges, std / GATE_RMS)
        self.gate.reset_parameters(edges)
        nn.init.zeros_(self.bias)

    def edge_tensors(self) -> list[Tensor]:
        return [*self.value.edge_tensors(), self.gate.listener, self.gate.speaker, self.bias]

    def flops(self, edges: Edges, positions: int = 1) -> int:
        gating = int(edges.target_mask.sum()) * positions + self.gate.num_parameters(edges)
        return self.value.flops(edges, positions) + gating

    def num_parameters(self, edges: Edges) -> int:
        gate = self.gate.num_parameters(edges) + self.bias.numel()
        return self.value.num_parameters(edges) + gate


GATE_RMS = 0.5417
"""Root mean square of a gate as it starts: of the sigmoid of a standard normal number."""
