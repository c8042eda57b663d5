"""Weights that are drawn once and not trained."""

from __future__ import annotations

from typing import Literal, Unpack

import torch
from torch import Tensor

from relmp.rounds.form import Edges
from relmp.rounds.geometry import KernelOptions, make_geometry
from relmp.rounds.message import WeightedMessage
from relmp.rounds.names import MESSAGES


@MESSAGES.register("frozen")
class FrozenMessage(WeightedMessage):
    r"""A linear message that is not trained: :math:`m_{ij} = W_{ij} x_j` with W a buffer.

    The entries of W are drawn from a normal distribution, or are one constant with a random
    sign. They travel in the state_dict. What such a network learns, it learns in its norms and
    in what is not relational.

    Cost: the multiply-adds of the linear message; no parameters.

    Args:
        num_edges: Number of edges E, self-loops included.
        in_dim: Largest node size of the input.
        out_dim: Largest node size of the output.
        values: ``"sign"`` for a signed constant, ``"normal"`` for normal numbers.
        **geometry: ``kernel_size``, ``stride``, ``padding``, ``dilation`` of ``nn.Conv2d``
            for images; nothing for vectors.

    Shapes:
        - **weight** ``[E, out_dim, in_dim, *kernel]``
        - **x_j** ``[E, B, in_dim, ...]`` -> ``[E, B, out_dim, ...]``

    Raises:
        ValueError: If ``values`` is something else.

    Reference:
        Ramanujan et al., *What's Hidden in a Randomly Weighted Neural Network?*, CVPR 2020,
        section 4, the signed constant.
    """

    weight: Tensor

    def __init__(
        self,
        num_edges: int,
        in_dim: int,
        out_dim: int,
        *,
        values: Literal["sign", "normal"] = "sign",
        **geometry: Unpack[KernelOptions],
    ) -> None:
        if values not in ("sign", "normal"):
            raise ValueError(f"values must be 'sign' or 'normal', but is {values!r}.")
        super().__init__(make_geometry(**geometry))
        self.values = values
        shape = (num_edges, out_dim, in_dim, *self.geometry.kernel)
        self.register_buffer("weight", torch.zeros(shape))

    def draw(self, edges: Edges, std: Tensor) -> None:
        scale = self.weight_std(edges, std)
        if self.values == "sign":
            self.initialise(edges, lambda weight: weight.normal_().sign_().mul_(scale))
        else:
            self.initialise(edges, lambda weight: weight.normal_().mul_(scale))

    def num_parameters(self, edges: Edges) -> int:
        return 0

    def extra_repr(self) -> str:
        return f"values={self.values!r}"
