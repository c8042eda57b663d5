"""Convolutions as messages: one small kernel for every edge."""

from __future__ import annotations

import torch
from torch import nn

from relmp.rounds.form import Edges
from relmp.rounds.geometry import Images, Pair, make_geometry
from relmp.rounds.message import WeightedMessage


class Conv2dMessage(WeightedMessage):
    r"""One convolution for every edge: :math:`m_{ij} = W_{ij} * x_j`.

    Used with the geometry filled in: ``partial(Conv2dMessage, kernel_size=3, padding=1)``.

    Literal messages are computed by one grouped convolution with a group an edge. Together
    they are ``density * n`` times as large as the images, at the input and again at the output
    (and are kept for the backward pass): ``E * B * (in_dim * H * W + out_dim * H' * W')``
    numbers. The ``chunk_size`` of the round bounds B.

    Args:
        num_edges: Number of edges E, self-loops included.
        in_dim: Largest node size of the input.
        out_dim: Largest node size of the output.
        kernel_size, stride, padding, dilation: As in ``nn.Conv2d``, a number or a pair;
            ``padding`` may also be ``"same"`` or ``"valid"``.

    Shapes:
        - **weight** ``[E, out_dim, in_dim, kh, kw]``
        - **x_j** ``[E, B, in_dim, H, W]`` -> ``[E, B, out_dim, H', W']``

    Raises:
        ValueError: If the geometry is out of range.

    Reference:
        You, Leskovec, He, Xie, *Graph Structure of Neural Networks*, ICML 2020, table 1.
    """

    weight: nn.Parameter
    is_whole = True

    def __init__(
        self,
        num_edges: int,
        in_dim: int,
        out_dim: int,
        *,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair | str = 0,
        dilation: Pair = 1,
    ) -> None:
        geometry = make_geometry(kernel_size, stride, padding, dilation)
        assert isinstance(geometry, Images)
        super().__init__(geometry)
        self.kernel_size, self.stride = geometry.kernel, geometry.stride
        self.padding, self.dilation = geometry.padding, geometry.dilation
        self.weight = nn.Parameter(torch.zeros(num_edges, out_dim, in_dim, *self.kernel_size))

    def reset_parameters(self, edges: Edges) -> None:
        r"""Normal with variance :math:`2 / (k_h k_w C_{out} \cdot density)`.

        The density is that of the weights: a channel is heard by :math:`C_{out} \cdot density`
        others on average.
        """
        fan_out = max(self.num_parameters(edges), 1) / int(edges.node_mask.sum())
        self.initialise(edges, lambda weight: weight.normal_(0, (2 / fan_out) ** 0.5))

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}"
        )
