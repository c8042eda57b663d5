"""One number for every edge and image, from both of its ends."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from relmp.rounds.form import Edges


class EdgeScore(nn.Module):
    r"""A score of every edge: :math:`s_{ij} = u_{ij} \cdot x_i + v_{ij} \cdot x_j`.

    Args:
        num_edges: Number of edges E.
        in_dim: Largest node size of the input.

    Shapes:
        - **listener** (u), **speaker** (v) ``[E, in_dim]``, zero for padded channels
        - **x_i**, **x_j** ``[E, B, in_dim]`` -> ``[E, B]``
    """

    def __init__(self, num_edges: int, in_dim: int) -> None:
        super().__init__()
        self.listener = nn.Parameter(torch.zeros(num_edges, in_dim))
        self.speaker = nn.Parameter(torch.zeros(num_edges, in_dim))

    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        heard = torch.bmm(x_i, self.listener[:, :, None])
        return (heard + torch.bmm(x_j, self.speaker[:, :, None])).squeeze(2)

    def reset_parameters(self, edges: Edges) -> None:
        """Normal, so that scores have variance 1 where inputs have mean square 1."""
        std = self._sizes(edges).to(self.speaker).rsqrt()[:, None]
        with torch.no_grad():
            self.listener.normal_().mul_(std * edges.listener_mask)
            self.speaker.normal_().mul_(std * edges.source_mask)

    def num_parameters(self, edges: Edges) -> int:
        """Parameters of real channels; as many multiply-adds an image."""
        return int(self._sizes(edges).sum())

    @staticmethod
    def _sizes(edges: Edges) -> Tensor:
        return edges.listener_mask.sum(1) + edges.source_mask.sum(1)
