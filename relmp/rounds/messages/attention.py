"""Messages weighted by attention over the in-edges of a node."""

from __future__ import annotations

from typing import Unpack

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.utils import softmax

from relmp.checks import check_number
from relmp.rounds.form import Edges
from relmp.rounds.geometry import KernelOptions
from relmp.rounds.message import Message
from relmp.rounds.messages.linear_map import linear_map
from relmp.rounds.messages.score import EdgeScore
from relmp.rounds.names import MESSAGES


@MESSAGES.register("attention")
class AttentionMessage(Message):
    r"""A linear message, weighted by attention over the in-edges of the listener:

    .. math::
        m_{ij} = \alpha_{ij}\, W_{ij} x_j, \qquad
        \alpha_{ij} = \operatorname{softmax}_{j \in N(i)}
        \mathrm{LeakyReLU}(u_{ij} \cdot \bar x_i + v_{ij} \cdot \bar x_j)

    The weights :math:`\alpha_{ij}` of a node sum to 1 for each image; with the sum the node
    hears a weighted mean. On images :math:`\bar x` is the mean over the pixels and
    :math:`W_{ij} x_j` a convolution.

    Cost with :math:`c_i, c_j` channels heard and spoken and :math:`c_i'` made: that of the
    linear message, :math:`c_i'` for each output pixel, and :math:`c_i + c_j` for each image.

    Args:
        num_edges: Number of edges E, self-loops included.
        in_dim: Largest node size of the input.
        out_dim: Largest node size of the output.
        negative_slope: Slope of the LeakyReLU below zero.
        **geometry: ``kernel_size``, ``stride``, ``padding``, ``dilation`` of ``nn.Conv2d``
            for images; nothing for vectors.

    Shapes:
        - **value.weight** ``[E, out_dim, in_dim, *kernel]``; **score.listener** (u),
          **score.speaker** (v) ``[E, in_dim]``
        - **x_i**, **x_j** ``[E, B, in_dim, ...]`` -> ``[E, B, out_dim, ...]``

    Raises:
        ValueError: If ``negative_slope`` is no number from 0.

    Reference:
        Velickovic et al., *Graph Attention Networks*, ICLR 2018, equation 3; there all edges
        share their weights.
    """

    def __init__(
        self,
        num_edges: int,
        in_dim: int,
        out_dim: int,
        *,
        negative_slope: float = 0.2,
        **geometry: Unpack[KernelOptions],
    ) -> None:
        check_number("negative_slope", negative_slope, 0)
        super().__init__()
        self.negative_slope = negative_slope
        self.value = linear_map(num_edges, in_dim, out_dim, **geometry)
        self.score = EdgeScore(num_edges, in_dim)

    def forward(self, x_i: Tensor, x_j: Tensor, edges: Edges) -> Tensor:
        geometry, value = self.value.geometry, self.value(None, x_j)
        score = self.score(geometry.pooled(x_i), geometry.pooled(x_j))
        score = F.leaky_relu(score, self.negative_slope)
        share = softmax(score, edges.target, num_nodes=edges.ptr.numel() - 1)
        return geometry.scaled(value, share)

    def draw(self, edges: Edges, std: Tensor) -> None:
        self.value.draw(edges, std / self._share_rms(edges)[edges.target])
        self.score.reset_parameters(edges)

    def edge_tensors(self) -> list[Tensor]:
        return [*self.value.edge_tensors(), self.score.listener, self.score.speaker]

    def flops(self, edges: Edges, positions: int = 1) -> int:
        weighting = int(edges.target_mask.sum()) * positions + self.score.num_parameters(edges)
        return self.value.flops(edges, positions) + weighting

    def num_parameters(self, edges: Edges) -> int:
        return self.value.num_parameters(edges) + self.score.num_parameters(edges)

    def _share_rms(self, edges: Edges) -> Tensor:
        """``[n]``: root mean square of the weights of every node, as scores are drawn."""
        degrees = edges.ptr.diff()
        generator = torch.Generator().manual_seed(0)
        scores = torch.randn(2048, int(degrees.max()), generator=generator)
        scores = F.leaky_relu(scores, self.negative_slope)
        rms = torch.ones(len(degrees))
        for degree in degrees.unique().tolist():
            share = scores[:, :degree].softmax(1)
            rms[degrees.cpu() == degree] = share.square().mean().sqrt()
        return rms.to(self.score.speaker)
