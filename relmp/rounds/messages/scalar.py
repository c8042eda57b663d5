"""One number for every edge."""

from __future__ import annotations

import math
from typing import Unpack

import torch
from torch import Tensor, nn

from relmp.rounds.form import Edges
from relmp.rounds.geometry import KernelOptions, make_geometry
from relmp.rounds.message import WeightedMessage, real_weights
from relmp.rounds.names import MESSAGES


@MESSAGES.register("scalar")
class ScalarMessage(WeightedMessage):
    r"""One number for every edge: :math:`m_{ij} = w_{ij} x_j`; on images one kernel,
    :math:`m_{ij} = w_{ij} * x_j`, the same for all channels.

    Nodes of different sizes repeat or add up channels: with m the smaller of the two sizes, a
    channel o hears the channels i with the same remainder, :math:`o \equiv i \pmod m`. With
    the sum, and nodes of one size, the round is the Kronecker product of the n x n matrix of
    the numbers and the identity.

    Cost: the larger of the two sizes times k multiply-adds for each output pixel of an edge,
    k parameters an edge, with k taps of the kernel.

    Args:
        num_edges: Number of edges E, self-loops included.
        in_dim: Largest node size of the input.
        out_dim: Largest node size of the output.
        **geometry: ``kernel_size``, ``stride``, ``padding``, ``dilation`` of ``nn.Conv2d``
            for images; nothing for vectors.

    Shapes:
        - **number** (w) ``[E, *kernel]``; **weight** ``[E, out_dim, in_dim, *kernel]``
        - **x_j** ``[E, B, in_dim, ...]`` -> ``[E, B, out_dim, ...]``

    Reference:
        You, Leskovec, He, Xie, *Graph Structure of Neural Networks*, ICML 2020, table 1, the
        fixed-width MLP.
    """

    pattern: Tensor

    def __init__(
        self, num_edges: int, in_dim: int, out_dim: int, **geometry: Unpack[KernelOptions]
    ) -> None:
        super().__init__(make_geometry(**geometry))
        self.number = nn.Parameter(torch.zeros(num_edges, *self.geometry.kernel))
        self.register_buffer("pattern", torch.ones(num_edges, out_dim, in_dim), persistent=False)

    def connect(self, edges: Edges) -> None:
        real = real_weights(edges, 3)
        sizes = torch.minimum(edges.source_mask.sum(1), edges.target_mask.sum(1))[:, None]
        outs, ins = (torch.arange(d, device=real.device) % sizes for d in real.shape[1:])
        self.pattern.copy_(real & (outs[:, :, None] == ins[:, None, :]))

    @property
    def weight(self) -> Tensor:
        """The weights of the edges, ``[E, out_dim, in_dim, *kernel]``."""
        pattern = self.pattern.view(*self.pattern.shape, *[1] * len(self.geometry.kernel))
        return self.number[:, None, None] * pattern

    def draw(self, edges: Edges, std: Tensor) -> None:
        terms = self.pattern.sum((1, 2)) / edges.target_mask.sum(1)
        scale = std / (terms * math.prod(self.geometry.kernel)).sqrt()
        with torch.no_grad():
            self.number.normal_().mul_(scale.view(-1, *[1] * len(self.geometry.kernel)))

    def edge_tensors(self) -> list[Tensor]:
        return [self.number]

    def flops(self, edges: Edges, positions: int = 1) -> int:
        larger = torch.maximum(edges.source_mask.sum(1), edges.target_mask.sum(1))
        return int(larger.sum()) * math.prod(self.geometry.kernel) * positions

    def num_parameters(self, edges: Edges) -> int:
        return self.number.numel()
