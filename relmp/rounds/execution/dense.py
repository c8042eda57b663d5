"""A round as one dense product: the weights of the edges laid out in a matrix of zeros."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from relmp.rounds.execution.linear_maps import divided, map_refusal, mean_degrees
from relmp.rounds.form import RoundForm


class DenseExecution(nn.Module):
    r"""Lays the edge weights out and multiplies once: :math:`y = \mathrm{layout}(W)\, x`.

    The layout holds :math:`W_{ij}` in the rows of node i and the columns of node j and zeros
    elsewhere; for the mean it also divides by the in-degree of i. It costs as much as the
    complete graph, whatever the density.
    """

    name = "dense"
    is_transformable = True
    """It consists of PyTorch's own operators, which ``torch.func`` transforms."""

    @staticmethod
    def refusal(form: RoundForm) -> str | None:
        """Why this round cannot be executed so, or None."""
        return map_refusal(form)

    def __init__(self, form: RoundForm) -> None:
        super().__init__()
        self.shape = (form.out_channels, form.in_channels)
        self.nodes = form.graph.num_nodes
        self.register_buffer("degrees", mean_degrees(form), persistent=False)
        self.degrees: Tensor | None
        # Where all blocks are there and equal, laying out is a transposition: no table.
        even = form.in_partition.is_even and form.out_partition.is_even
        places = None if form.graph.is_complete and even else self._places(form)
        self.register_buffer("places", places, persistent=False)
        self.places: Tensor | None

    def _places(self, form: RoundForm) -> Tensor:
        """``[E, out_dim, in_dim]``: where every weight lies in the flat matrix."""
        edges = form.edge_index
        rows = torch.from_numpy(form.out_partition.slots)[edges[1]]
        columns = torch.from_numpy(form.in_partition.slots)[edges[0]]
        places = rows[:, :, None] * form.in_channels + columns[:, None, :]
        # All padding goes to one place behind the matrix, which is cut off.
        padded = (rows == form.out_channels)[:, :, None] | (columns == form.in_channels)[:, None]
        places[padded] = form.out_channels * form.in_channels
        return places

    def layout(self, weight: Tensor) -> Tensor:
        """``[E, out_dim, in_dim, *kernel]`` -> ``[C_out, C_in, *kernel]``."""
        kernel = weight.shape[3:]
        weight = divided(weight, self.degrees)
        if self.places is None:
            blocks = weight.reshape(self.nodes, self.nodes, *weight.shape[1:])
            return blocks.transpose(1, 2).reshape(*self.shape, *kernel)
        values = weight.flatten(0, 2)
        matrix = weight.new_zeros(self.shape[0] * self.shape[1] + 1, *kernel)
        places = self.places.view(-1, *[1] * len(kernel)).expand_as(values)
        return matrix.scatter_(0, places, values)[:-1].view(*self.shape, *kernel)

    def gather(self, matrix: Tensor) -> Tensor:
        """``[C_out, C_in, *kernel]`` -> ``[E, out_dim, in_dim, *kernel]``: what is on the edges.

        The inverse of :meth:`layout` on the edges; what is off the graph is left behind.
        """
        kernel = matrix.shape[2:]
        if self.places is None:
            blocks = matrix.reshape(
                self.nodes, self.shape[0] // self.nodes, self.nodes, -1, *kernel
            )
            weight = blocks.transpose(1, 2).flatten(0, 1)
        else:
            padded = torch.cat([matrix.flatten(0, 1), matrix.new_zeros(1, *kernel)])
            weight = padded[self.places]
        if self.degrees is not None:
            weight = weight * self.degrees.view(-1, *[1] * (weight.dim() - 1))
        return weight

    def forward(self, message: nn.Module, x: Tensor) -> Tensor:
        form = cast(Any, message)
        return cast(Tensor, form.apply_dense(x, self.layout(form.weight)))
