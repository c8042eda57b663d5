"""Messages through a bottleneck of a few numbers an edge."""

from __future__ import annotations

import math
from typing import Unpack

import torch
from torch import Tensor, nn

from relmp.checks import check_whole
from relmp.rounds.form import Edges
from relmp.rounds.geometry import KernelOptions, make_geometry
from relmp.rounds.message import WeightedMessage
from relmp.rounds.names import MESSAGES


@MESSAGES.register("low_rank")
class LowRankMessage(WeightedMessage):
    r"""A product of two thin matrices for every edge: :math:`m_{ij} = U_{ij} V_{ij} x_j`.

    On images :math:`V_{ij}` is a convolution with ``rank`` output channels.

    Cost with :math:`c_j` channels spoken, :math:`c_i'` made and k taps of the kernel:
    :math:`r (k c_j + c_i')` parameters, and as many multiply-adds for each output pixel.

    Args:
        num_edges: Number of edges E, self-loops included.
        in_dim: Largest node size of the input.
        out_dim: Largest node size of the output.
        rank: How many numbers r pass along an edge.
        **geometry: ``kernel_size``, ``stride``, ``padding``, ``dilation`` of ``nn.Conv2d``
            for images; nothing for vectors.

    Shapes:
        - **speaking** (V) ``[E, rank, in_dim, *kernel]``, **hearing** (U)
          ``[E, out_dim, rank]``; **weight**, their product, ``[E, out_dim, in_dim, *kernel]``
        - **x_j** ``[E, B, in_dim, ...]`` -> ``[E, B, out_dim, ...]``

    Raises:
        ValueError: If the rank is no whole number from 1.

    Reference:
        Denil et al., *Predicting Parameters in Deep Learning*, NIPS 2013, section 2.
    """

    def __init__(
        self,
        num_edges: int,
        in_dim: int,
        out_dim: int,
        *,
        rank: int = 1,
        **geometry: Unpack[KernelOptions],
    ) -> None:
        check_whole("rank", rank, 1)
        super().__init__(make_geometry(**geometry))
        self.rank = rank
        self.speaking = nn.Parameter(torch.zeros(num_edges, rank, in_dim, *self.geometry.kernel))
        self.hearing = nn.Parameter(torch.zeros(num_edges, out_dim, rank))

    @property
    def weight(self) -> Tensor:
        """The products ``[E, out_dim, in_dim, *kernel]``."""
        product = torch.bmm(self.hearing, self.speaking.flatten(2))
        return product.unflatten(2, self.speaking.shape[2:])

    listens = False
    is_linear_map = True

    def forward(self, x_i: Tensor | None, x_j: Tensor) -> Tensor:
        self.check_input(x_j.shape[1:])
        passed = self.geometry.each(x_j, self.speaking)
        hearing = self.hearing.view(*self.hearing.shape, *[1] * len(self.geometry.kernel))
        return self.geometry.pointwise().each(passed, hearing)

    def draw(self, edges: Edges, std: Tensor) -> None:
        taps = math.prod(self.geometry.kernel)
        speaking = edges.source_mask / (edges.source_mask.sum(1, keepdim=True) * taps).sqrt()
        hearing = edges.target_mask * std[:, None] / self.rank**0.5
        with torch.no_grad():
            shape = (len(speaking), 1, speaking.size(1), *[1] * len(self.geometry.kernel))
            self.speaking.normal_().mul_(speaking.view(shape))
            self.hearing.normal_().mul_(hearing[:, :, None])

    def edge_tensors(self) -> list[Tensor]:
        return [self.speaking, self.hearing]

    def flops(self, edges: Edges, positions: int = 1) -> int:
        return self.num_parameters(edges) * positions

    def num_parameters(self, edges: Edges) -> int:
        spoken = int(edges.source_mask.sum()) * math.prod(self.geometry.kernel)
        return self.rank * (spoken + int(edges.target_mask.sum()))

    def extra_repr(self) -> str:
        return f"rank={self.rank}"
