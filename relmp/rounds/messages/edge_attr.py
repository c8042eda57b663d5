"""Weights that follow from what is known of an edge: its length, its strength."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from relmp.checks import check_whole
from relmp.rounds.form import Edges
from relmp.rounds.geometry import KernelOptions, make_geometry
from relmp.rounds.messages.basis import BasisMessage
from relmp.rounds.names import MESSAGES


@MESSAGES.register("edge_attr")
class EdgeAttrMessage(BasisMessage):
    r"""A matrix that is linear in the attributes of the edge:
    :math:`m_{ij} = \big( V_0 + \sum_d e_{ijd} V_d \big) x_j`.

    The attributes e (a distance, the weight of a connectome) are those of the graph.

    Cost: the multiply-adds of the linear message, counted on every edge;
    ``(attr_dim + 1) * in_dim * out_dim * k`` parameters in all, with k taps of the kernel.

    Args:
        num_edges: Number of edges E, self-loops included.
        in_dim: Largest node size of the input.
        out_dim: Largest node size of the output.
        attr_dim: Number of edge attributes.
        **geometry: ``kernel_size``, ``stride``, ``padding``, ``dilation`` of ``nn.Conv2d``
            for images; nothing for vectors.

    Shapes:
        - **basis** (V) ``[attr_dim + 1, out_dim, in_dim, *kernel]``; a smaller node uses the
          upper left
        - **x_j** ``[E, B, in_dim, ...]`` -> ``[E, B, out_dim, ...]``

    Raises:
        ValueError: If the graph has another number of attributes, or ``attr_dim`` is none.

    Reference:
        Simonovsky, Komodakis, *Dynamic Edge-Conditioned Filters in Convolutional Neural
        Networks on Graphs*, CVPR 2017, equation 1, with a linear filter network.
    """

    def __init__(
        self,
        num_edges: int,
        in_dim: int,
        out_dim: int,
        *,
        attr_dim: int = 1,
        **geometry: Unpack[KernelOptions],
    ) -> None:
        check_whole("attr_dim", attr_dim, 0)
        super().__init__(num_edges, in_dim, out_dim, attr_dim + 1, make_geometry(**geometry))
        self.attr_dim = attr_dim

    def coefficients_of(self, edges: Edges) -> Tensor:
        columns = 0 if edges.attr is None else edges.attr.size(1)
        if edges.attr is None or columns != self.attr_dim:
            raise ValueError(
                f"EdgeAttrMessage was made for {self.attr_dim} edge attributes, but the graph "
                f"has {columns}; state attr_dim, and give the graph an edge_attr."
            )
        return torch.cat([torch.ones_like(edges.attr[:, :1]), edges.attr], dim=1)

    def extra_repr(self) -> str:
        return f"attr_dim={self.attr_dim}"
