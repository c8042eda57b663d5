"""Where the weight of an edge lies in the matrix of the dense layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from relmp.rounds.form import RoundForm


class EdgeLayout(nn.Module):
    r"""Lays weights of edges out in the dense matrix, and reads them back.

    :math:`W_{ij}` lies in the rows of node i and the columns of node j, zeros lie elsewhere. For
    the mean, laying out also divides by the in-degree of i.

    Args:
        form: The round that the weights belong to.

    Shapes:
        - **weight** ``[E, out_dim, in_dim, *kernel]``; **matrix** ``[C_out, C_in, *kernel]``
    """

    def __init__(self, form: RoundForm) -> None:
        super().__init__()
        self.shape = (form.out_channels, form.in_channels)
        self.nodes = form.graph.num_nodes
        self.register_buffer("degrees", mean_degrees(form), persistent=False)
        self.degrees: Tensor | None
        # Where all blocks are there and equal, laying out is a transposition: no table.
        even = form.in_partition.is_even and form.out_partition.is_even
        places = None if form.graph.is_complete and even else _places(form)
        self.register_buffer("places", places, persistent=False)
        self.places: Tensor | None

    def forward(self, weight: Tensor) -> Tensor:
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

        The inverse of laying out; what is off the graph is left behind.
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


def _places(form: RoundForm) -> Tensor:
    """``[E, out_dim, in_dim]``: where every weight lies in the flat matrix."""
    edges = form.edge_index
    rows = torch.from_numpy(form.out_partition.slots)[edges[1]]
    columns = torch.from_numpy(form.in_partition.slots)[edges[0]]
    places = rows[:, :, None] * form.in_channels + columns[:, None, :]
    # All padding goes to one place behind the matrix, which is cut off.
    padded = (rows == form.out_channels)[:, :, None] | (columns == form.in_channels)[:, None]
    places[padded] = form.out_channels * form.in_channels
    return places


def mean_degrees(form: RoundForm) -> Tensor | None:
    """``[E]``: by what the mean divides the weights of every edge; None for the sum.

    Whole numbers, so that they stay exact when the round moves to another type.
    """
    if form.aggr != "mean":
        return None
    return torch.from_numpy(form.graph.in_degrees)[form.edge_index[1]]


def divided(weight: Tensor, degrees: Tensor | None) -> Tensor:
    """``weight [E, ...]`` by :func:`mean_degrees`."""
    return weight if degrees is None else weight / degrees.view(-1, *[1] * (weight.dim() - 1))
