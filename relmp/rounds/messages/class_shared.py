"""One matrix for every class of edges."""

from __future__ import annotations

from typing import Unpack

import torch.nn.functional as F
from torch import Tensor

from relmp.checks import check_whole
from relmp.rounds.form import Edges
from relmp.rounds.geometry import KernelOptions, make_geometry
from relmp.rounds.messages.basis import BasisMessage
from relmp.rounds.names import MESSAGES


@MESSAGES.register("class_shared")
class ClassSharedMessage(BasisMessage):
    r"""One matrix for every class of edges: :math:`m_{ij} = W_{\kappa(i,j)} x_j`.

    The class :math:`\kappa(i, j)` of an edge is a whole number from 0 in a column of the edge
    attributes of the graph; self-loops may be a class of their own (``self_loop_attr`` of the
    graph).

    Cost: the multiply-adds of the linear message, counted on every edge;
    ``in_dim * out_dim * k`` parameters for each class that there is, with k taps of the kernel.

    Args:
        num_edges: Number of edges E, self-loops included.
        in_dim: Largest node size of the input.
        out_dim: Largest node size of the output.
        num_classes: Number of classes K.
        column: Which column of the edge attributes holds the class.
        **geometry: ``kernel_size``, ``stride``, ``padding``, ``dilation`` of ``nn.Conv2d``
            for images; nothing for vectors.

    Shapes:
        - **basis** (W) ``[K, out_dim, in_dim, *kernel]``; a smaller node uses the upper left
        - **x_j** ``[E, B, in_dim, ...]`` -> ``[E, B, out_dim, ...]``

    Raises:
        ValueError: If the graph has no such attributes, or a number is none.

    Reference:
        Schlichtkrull et al., *Modeling Relational Data with Graph Convolutional Networks*,
        ESWC 2018, equation 2.
    """

    def __init__(
        self,
        num_edges: int,
        in_dim: int,
        out_dim: int,
        *,
        num_classes: int,
        column: int = 0,
        **geometry: Unpack[KernelOptions],
    ) -> None:
        check_whole("num_classes", num_classes, 1)
        super().__init__(num_edges, in_dim, out_dim, num_classes, make_geometry(**geometry))
        self.num_classes, self.column = num_classes, column

    def coefficients_of(self, edges: Edges) -> Tensor:
        columns = 0 if edges.attr is None else edges.attr.size(1)
        if edges.attr is None or self.column not in range(-columns, columns):
            raise ValueError(
                f"ClassSharedMessage reads the class of an edge from column {self.column} of "
                f"the edge attributes, but the graph has {columns} of them."
            )
        values = edges.attr[:, int(self.column)]
        classes = values.long()
        wrong = values[(classes != values) | (classes < 0) | (classes >= self.num_classes)]
        if len(wrong):
            raise ValueError(
                f"ClassSharedMessage takes classes 0 to {self.num_classes - 1}, but column "
                f"{self.column} of the edge attributes holds {wrong[0]:g}."
            )
        return F.one_hot(classes, self.num_classes)

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, column={self.column}"
