"""Convolutions as messages: one small kernel for every edge."""

from __future__ import annotations

from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from relmp.rounds.message import Edges, WeightedMessage, with_parameters

Pair: TypeAlias = int | tuple[int, int]


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
        super().__init__()
        self.kernel_size = _pair("kernel_size", kernel_size, 1)
        self.stride = _pair("stride", stride, 1)
        self.dilation = _pair("dilation", dilation, 1)
        self.padding = _padding(padding, self.stride)
        self.weight = nn.Parameter(torch.zeros(num_edges, out_dim, in_dim, *self.kernel_size))

    def forward(self, x_i: Tensor | None, x_j: Tensor) -> Tensor:
        self.check_input(x_j.shape[1:], 4)
        num_edges, images = x_j.shape[:2]
        groups = x_j.transpose(0, 1).flatten(1, 2)
        out = self._convolve(groups, self.weight.flatten(0, 1), groups=num_edges)
        return out.view(images, num_edges, -1, *out.shape[2:]).transpose(0, 1)

    def apply_dense(self, x: Tensor, weight: Tensor) -> Tensor:
        self.check_input(x.shape, 4)
        return self._convolve(x, weight)

    def to_dense(self, weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
        layer = nn.Conv2d(
            weight.size(1),
            weight.size(0),
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            bias=bias is not None,
            device="meta",
        )
        return with_parameters(layer, weight, bias)

    def reset_parameters(self, edges: Edges) -> None:
        r"""Normal with variance :math:`2 / (k_h k_w C_{out} \cdot density)`.

        The density is that of the weights: a channel is heard by :math:`C_{out} \cdot density`
        others on average.
        """
        loops = edges.source == edges.target  # every node has one
        in_channels = int(edges.source_mask[loops].sum())
        fan_out = self.num_parameters(edges) / in_channels
        self.initialise(edges, lambda weight: weight.normal_(0, (2 / fan_out) ** 0.5))

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}"
        )

    def _convolve(self, x: Tensor, weight: Tensor, groups: int = 1) -> Tensor:
        return F.conv2d(x, weight, None, self.stride, self.padding, self.dilation, groups)


def _pair(name: str, value: Pair, low: int) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or not all(isinstance(v, int) and v >= low for v in pair):
        raise ValueError(
            f"{name} must be a whole number of at least {low}, or a pair of them, but is {value!r}."
        )
    return pair


def _padding(padding: Pair | str, stride: tuple[int, int]) -> tuple[int, int] | str:
    if not isinstance(padding, str):
        return _pair("padding", padding, 0)
    if padding not in ("same", "valid") or (padding == "same" and stride != (1, 1)):
        raise ValueError(
            f"padding must be numbers, 'valid', or with stride 1 'same', but is '{padding}' with "
            f"stride {stride}."
        )
    return padding
