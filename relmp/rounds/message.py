"""Messages: what node j says to node i along the edge between them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Edges(NamedTuple):
    """The edges of a round, as a message sees them.

    Shapes:
        - **source**, **target** ``[E]``: node numbers, sorted by target.
        - **ptr** ``[n + 1]``: the edges into node i are ``ptr[i]:ptr[i + 1]``.
        - **attr** ``[E, D]`` or None: the edge attributes of the graph.
        - **source_mask** ``[E, in_dim]``, **target_mask** ``[E, out_dim]``: which channels
          are real; the others are padding, zero in ``x`` and set to zero in the message.
    """

    source: Tensor
    target: Tensor
    ptr: Tensor
    attr: Tensor | None
    source_mask: Tensor
    target_mask: Tensor


class Message(nn.Module):
    r"""What node j says to node i: :math:`m_{ij} = f_{ij}(x_i, x_j)` for every edge at once.

    Subclass it, take ``(num_edges, in_dim, out_dim)`` in ``__init__``, and write ``forward``.
    Any ``nn.Module`` with such a ``forward`` serves as well; the methods below are optional.

    Shapes:
        - **x_i**, **x_j**: ``[E, B, in_dim]`` or ``[E, B, in_dim, H, W]``, the states of
          the listening and of the speaking node.
        - **output**: ``[E, B, out_dim]`` or ``[E, B, out_dim, H', W']``.
        - A third parameter named ``edges`` receives :class:`Edges`.
    """

    listens: bool = True
    """Whether ``forward`` reads ``x_i``; where it is False, None is passed and memory saved."""

    def reset_parameters(self, edges: Edges) -> None:
        """Draw the parameters anew; called by the round, which knows the edges."""

    def fan_in(self, edges: Edges) -> Tensor:
        """``[n]``: how many numbers of the input a number of each node depends on."""
        return channels_heard(edges)

    def flops(self, edges: Edges, positions: int = 1) -> int:
        """Multiply-adds of one image, over real channels, at ``positions`` output pixels."""
        raise NotImplementedError(
            f"{type(self).__name__} does not say what it costs; give it a method "
            f"flops(edges, positions) -> int to count the FLOPs of a model that uses it."
        )

    def num_parameters(self, edges: Edges) -> int:
        """Parameters over real channels; all of them unless a subclass knows of padding."""
        return sum(parameter.numel() for parameter in self.parameters())


class WeightedMessage(Message):
    """Base of the messages that are one linear map an edge: they hold its weights.

    A subclass sets ``weight``, and defines ``forward``, ``apply_dense`` and ``to_dense``.

    Shapes:
        - **weight** ``[E, out_dim, in_dim, *kernel]``, edges in the order of ``edge_index``;
          slots of padded channels are zero and stay so.
    """

    listens = False
    weight: nn.Parameter

    def apply_dense(self, x: Tensor, weight: Tensor) -> Tensor:
        """The whole round as one product with ``weight [C_out, C_in, *kernel]``."""
        raise NotImplementedError

    def to_dense(self, weight: Tensor, bias: Tensor | None) -> nn.Module:
        """An ordinary layer that holds ``weight [C_out, C_in, *kernel]`` and ``bias``."""
        raise NotImplementedError

    def check_input(self, shape: Sequence[int], dims: int) -> None:
        """Raise ``ValueError`` unless a batch of this shape has as many dimensions."""
        if len(shape) != dims:
            form = "[B, C]" if dims == 2 else "[B, C, H, W]"
            raise ValueError(
                f"{type(self).__name__} takes a batch of shape {form}, but was given "
                f"{len(shape)} dimensions; use LinearMessage for vectors and Conv2dMessage for "
                f"images."
            )

    def initialise(self, edges: Edges, draw: Callable[[Tensor], object]) -> None:
        """Let ``draw`` fill the weights in place, then clear the slots of padded channels."""
        real = edges.target_mask[:, :, None] & edges.source_mask[:, None, :]
        with torch.no_grad():
            draw(self.weight)
            self.weight.mul_(real.view(*real.shape, *[1] * (self.weight.dim() - 3)))

    def fan_in(self, edges: Edges) -> Tensor:
        return super().fan_in(edges) * math.prod(self.weight.shape[3:])

    def flops(self, edges: Edges, positions: int = 1) -> int:
        return self.num_parameters(edges) * positions

    def num_parameters(self, edges: Edges) -> int:
        pairs = int((edges.source_mask.sum(1) * edges.target_mask.sum(1)).sum())
        return pairs * math.prod(self.weight.shape[3:])


class LinearMessage(WeightedMessage):
    r"""One matrix for every edge: :math:`m_{ij} = W_{ij} x_j`.

    Args:
        num_edges: Number of edges E, self-loops included.
        in_dim: Largest node size of the input.
        out_dim: Largest node size of the output.

    Shapes:
        - **weight** ``[E, out_dim, in_dim]``
        - **x_j** ``[E, B, in_dim]`` -> ``[E, B, out_dim]``

    Reference:
        You, Leskovec, He, Xie, *Graph Structure of Neural Networks*, ICML 2020, table 1.
    """

    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_edges, out_dim, in_dim))

    def forward(self, x_i: Tensor | None, x_j: Tensor) -> Tensor:
        self.check_input(x_j.shape[1:], 2)
        return torch.bmm(x_j, self.weight.transpose(1, 2))

    def apply_dense(self, x: Tensor, weight: Tensor) -> Tensor:
        self.check_input(x.shape, 2)
        return F.linear(x, weight)

    def to_dense(self, weight: Tensor, bias: Tensor | None) -> nn.Linear:
        layer = nn.Linear(weight.size(1), weight.size(0), bias is not None, device="meta")
        return with_parameters(layer, weight, bias)

    def reset_parameters(self, edges: Edges) -> None:
        r"""Uniform within :math:`\pm 1 / \sqrt{\text{channels that the target hears}}`.

        On the complete graph this is the initialisation of ``nn.Linear``.
        """
        bound = self.fan_in(edges)[edges.target].to(self.weight).rsqrt()[:, None, None]
        self.initialise(edges, lambda weight: weight.uniform_(-1, 1).mul_(bound))


L = TypeVar("L", bound=nn.Module)


def with_parameters(layer: L, weight: Tensor, bias: Tensor | None) -> L:
    """Give a layer that was made without storage its own copy of these parameters."""
    layer.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone())
    return layer


def channels_heard(edges: Edges) -> Tensor:
    """``[n]``: how many real channels every node hears, its own included."""
    heard = edges.source_mask.sum(1)
    return heard.new_zeros(edges.ptr.numel() - 1).index_add(0, edges.target, heard)


def wants_edges(message: nn.Module) -> bool:
    """Whether the ``forward`` of a message has the third parameter ``edges``."""
    parameters: dict[str, Any] = dict(inspect.signature(message.forward).parameters)
    return "edges" in parameters
