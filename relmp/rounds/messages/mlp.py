"""A small network of its own for every edge."""

from __future__ import annotations

import math
from typing import Unpack

import torch
from torch import Tensor, nn

from relmp.checks import check_whole
from relmp.rounds.form import Edges
from relmp.rounds.geometry import KernelOptions, make_geometry
from relmp.rounds.message import Message
from relmp.rounds.names import MESSAGES


@MESSAGES.register("mlp")
class MLPMessage(Message):
    r"""A network with one hidden layer for every edge:
    :math:`m_{ij} = V_{ij}\, \mathrm{ReLU}(U_{ij} [x_i; x_j] + b_{ij})`.

    On images :math:`U_{ij}` is a convolution.

    Cost with :math:`c_i, c_j` channels heard and spoken, :math:`c_i'` made, h hidden and k
    taps of the kernel: :math:`h (k (c_i + c_j) + c_i')` multiply-adds for each output pixel,
    and h parameters more.

    Args:
        num_edges: Number of edges E, self-loops included.
        in_dim: Largest node size of the input.
        out_dim: Largest node size of the output.
        hidden: Hidden numbers h of every edge; ``out_dim`` by default.
        **geometry: ``kernel_size``, ``stride``, ``padding``, ``dilation`` of ``nn.Conv2d``
            for images; nothing for vectors.

    Shapes:
        - **first** (U) ``[E, hidden, 2 * in_dim, *kernel]``, **bias** (b) ``[E, hidden]``,
          **second** (V) ``[E, out_dim, hidden]``
        - **x_i**, **x_j** ``[E, B, in_dim, ...]`` -> ``[E, B, out_dim, ...]``

    Raises:
        ValueError: If ``hidden`` is no whole number from 1.

    Reference:
        Wang et al., *Dynamic Graph CNN for Learning on Point Clouds*, 2019, section 3.1; there
        all edges share one network.
    """

    def __init__(
        self,
        num_edges: int,
        in_dim: int,
        out_dim: int,
        *,
        hidden: int | None = None,
        **geometry: Unpack[KernelOptions],
    ) -> None:
        hidden = out_dim if hidden is None else hidden
        check_whole("hidden", hidden, 1)
        super().__init__()
        self.geometry = make_geometry(**geometry)
        self.hidden = hidden
        self.first = nn.Parameter(torch.zeros(num_edges, hidden, 2 * in_dim, *self.geometry.kernel))
        self.bias = nn.Parameter(torch.zeros(num_edges, hidden))
        self.second = nn.Parameter(torch.zeros(num_edges, out_dim, hidden))

    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        pixels = [1] * len(self.geometry.kernel)
        hidden = self.geometry.each(torch.cat([x_i, x_j], dim=2), self.first)
        hidden = (hidden + self.bias.view(-1, 1, self.hidden, *pixels)).relu()
        second = self.second.view(*self.second.shape, *pixels)
        return self.geometry.pointwise().each(hidden, second)

    def draw(self, edges: Edges, std: Tensor) -> None:
        real = self._inputs(edges)
        fan_in = real.sum(1, keepdim=True) * math.prod(self.geometry.kernel)
        first = (real * (2 / fan_in).sqrt())[:, None]
        second = edges.target_mask * std[:, None] / self.hidden**0.5
        with torch.no_grad():
            self.first.normal_().mul_(first.view(*first.shape, *[1] * len(self.geometry.kernel)))
            self.second.normal_().mul_(second[:, :, None])
            self.bias.zero_()

    def edge_tensors(self) -> list[Tensor]:
        return [self.first, self.bias, self.second]

    def flops(self, edges: Edges, positions: int = 1) -> int:
        return (self.num_parameters(edges) - self.bias.numel()) * positions

    def num_parameters(self, edges: Edges) -> int:
        heard = int(self._inputs(edges).sum()) * math.prod(self.geometry.kernel)
        return self.hidden * (heard + int(edges.target_mask.sum())) + self.bias.numel()

    def extra_repr(self) -> str:
        return f"hidden={self.hidden}"

    @staticmethod
    def _inputs(edges: Edges) -> Tensor:
        """``[E, 2 * in_dim]``: which channels of ``[x_i; x_j]`` are real."""
        return torch.cat([edges.listener_mask, edges.source_mask], dim=1)
