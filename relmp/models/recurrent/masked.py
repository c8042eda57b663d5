"""Linear messages of which some weights are missing: regions as nodes, synapses as weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from relmp.rounds import LinearMessage, WeightedMessage
from relmp.rounds.form import Edges
from relmp.rounds.geometry import Vectors
from relmp.rounds.message import real_weights


class MaskedMessage(LinearMessage):
    r"""One matrix for every edge with fixed zeros: :math:`m_{ij} = (M_{ij} \odot W_{ij}) x_j`.

    The product with the mask keeps missing weights at exactly zero, whatever an optimiser does to
    the stored numbers; these get no gradient there. Weights that are there cost and count.

    Args:
        num_edges: Number of edges E.
        in_dim, out_dim: Largest node sizes.
        mask: bool ``[E, out_dim, in_dim]``: which weights there are.

    Shapes:
        - **synapses**, **weight** ``[E, out_dim, in_dim]``
        - **x_j** ``[E, B, in_dim]`` -> ``[E, B, out_dim]``

    Raises:
        ValueError: If the mask has another shape; or the edges of its round are to change.
    """

    mask: Tensor

    def __init__(self, num_edges: int, in_dim: int, out_dim: int, *, mask: Tensor) -> None:
        WeightedMessage.__init__(self, Vectors())
        shape = (num_edges, out_dim, in_dim)
        if tuple(mask.shape) != shape or mask.dtype != torch.bool:
            raise ValueError(
                f"mask must be bool [edges, out_dim, in_dim], {list(shape)}, but is "
                f"{str(mask.dtype).removeprefix('torch.')} {list(mask.shape)}."
            )
        self.synapses = nn.Parameter(torch.zeros(shape))
        self.register_buffer("mask", mask)
        self._connected = False

    def connect(self, edges: Edges) -> None:
        if self._connected:
            raise ValueError(
                "The synapses between regions are those of the graph that the round was built for, "
                "so its edges stay; build a new one over the other graph, or leave regions out."
            )
        self._connected = True

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The weights, zero where the mask is."""
        return self.synapses * self.mask

    def initialise(self, edges: Edges, draw: Callable[[Tensor], object]) -> None:
        with torch.no_grad():
            draw(self.synapses)
            self.synapses.mul_(real_weights(edges, 3) & self.mask)

    def flops(self, edges: Edges, positions: int = 1) -> int:
        return int((real_weights(edges, 3) & self.mask).sum()) * positions

    def num_parameters(self, edges: Edges) -> int:
        return self.flops(edges)
