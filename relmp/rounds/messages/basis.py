"""What messages with shared weights have in common: a few matrices, mixed for every edge."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from relmp.rounds.form import Edges
from relmp.rounds.geometry import Geometry
from relmp.rounds.message import WeightedMessage, real_weights


class BasisMessage(WeightedMessage):
    r"""Base of the messages whose edges share weights: :math:`W_{ij} = \sum_k a_{ijk} V_k`.

    A subclass says in :meth:`coefficients_of` which of the matrices V an edge uses.

    Args:
        num_edges: Number of edges E, self-loops included.
        in_dim: Largest node size of the input.
        out_dim: Largest node size of the output.
        size: How many matrices K there are.
        geometry: What they are applied to.

    Shapes:
        - **basis** (V) ``[K, out_dim, in_dim, *kernel]``; **coefficients** (a) ``[E, K]``,
          not learned; **weight** ``[E, out_dim, in_dim, *kernel]``

    Reference:
        Schlichtkrull et al., *Modeling Relational Data with Graph Convolutional Networks*,
        ESWC 2018, equation 3.
    """

    coefficients: Tensor
    real: Tensor

    def __init__(
        self, num_edges: int, in_dim: int, out_dim: int, size: int, geometry: Geometry
    ) -> None:
        super().__init__(geometry)
        self.basis = nn.Parameter(torch.zeros(size, out_dim, in_dim, *geometry.kernel))
        self.register_buffer("coefficients", torch.ones(num_edges, size), persistent=False)
        self.register_buffer("real", torch.ones(num_edges, out_dim, in_dim), persistent=False)

    def coefficients_of(self, edges: Edges) -> Tensor:
        """``[E, K]``: how much of each matrix an edge uses.

        Raises:
            ValueError: If the edges do not say so.
        """
        raise NotImplementedError

    def connect(self, edges: Edges) -> None:
        self.coefficients.copy_(self.coefficients_of(edges))
        self.real.copy_(real_weights(edges, 3))

    @property
    def weight(self) -> Tensor:
        """The weights of the edges, ``[E, out_dim, in_dim, *kernel]``."""
        mixed = (self.coefficients @ self.basis.flatten(1)).unflatten(1, self.basis.shape[1:])
        return mixed * self.real.view(*self.real.shape, *[1] * (mixed.dim() - 3))

    def draw(self, edges: Edges, std: Tensor) -> None:
        """As :meth:`Message.draw`, on average over the edges that share a matrix."""
        shares = self.coefficients.square()
        fan_in = edges.source_mask.sum(1) * math.prod(self.geometry.kernel)
        wanted = std.square() / (fan_in * shares.sum(1).clamp(min=1e-12))
        variance = (shares * wanted[:, None]).sum(0) / shares.sum(0).clamp(min=1e-12)
        shape = (-1, *[1] * (self.basis.dim() - 1))
        with torch.no_grad():
            self.basis.normal_().mul_(variance.sqrt().view(shape))
            self.basis.mul_(self._used().view(*self.basis.shape[:3], *shape[3:]))

    def num_parameters(self, edges: Edges) -> int:
        return int(self._used().sum()) * math.prod(self.geometry.kernel)

    def _used(self) -> Tensor:
        """``[K, out_dim, in_dim]``: which numbers of the basis some edge has a use for."""
        uses = (self.coefficients != 0).to(self.real)
        return torch.einsum("ek,eoi->koi", uses, self.real) > 0
