"""One matrix for all edges of a graph."""

from __future__ import annotations

from typing import Unpack

from torch import Tensor

from relmp.rounds.form import Edges
from relmp.rounds.geometry import KernelOptions, make_geometry
from relmp.rounds.messages.basis import BasisMessage
from relmp.rounds.names import MESSAGES


@MESSAGES.register("shared")
class SharedMessage(BasisMessage):
    r"""One matrix for all edges: :math:`m_{ij} = W x_j`.

    With the sum, and nodes of one size, the round is the Kronecker product of the adjacency
    matrix and W. Nodes that hear the same say the same: 20 such rounds are one matrix to the
    power of 20, so activations do not keep their variance.

    Cost: the multiply-adds of the linear message, counted on every edge;
    ``in_dim * out_dim * k`` parameters in all, with k taps of the kernel.

    Args:
        num_edges: Number of edges E, self-loops included.
        in_dim: Largest node size of the input.
        out_dim: Largest node size of the output.
        **geometry: ``kernel_size``, ``stride``, ``padding``, ``dilation`` of ``nn.Conv2d``
            for images; nothing for vectors.

    Shapes:
        - **basis** (W) ``[1, out_dim, in_dim, *kernel]``; a smaller node uses the upper left
        - **x_j** ``[E, B, in_dim, ...]`` -> ``[E, B, out_dim, ...]``

    Reference:
        Kipf, Welling, *Semi-Supervised Classification with Graph Convolutional Networks*,
        ICLR 2017, equation 2.
    """

    def __init__(
        self, num_edges: int, in_dim: int, out_dim: int, **geometry: Unpack[KernelOptions]
    ) -> None:
        super().__init__(num_edges, in_dim, out_dim, 1, make_geometry(**geometry))

    def coefficients_of(self, edges: Edges) -> Tensor:
        return self.coefficients.new_ones(len(edges.source), 1)
