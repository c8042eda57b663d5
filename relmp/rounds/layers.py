"""Drop-in layers: rounds that take and give what torch's own layers do."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from relmp.graphs import RelationalGraph
from relmp.rounds.execution.dense import DenseExecution
from relmp.rounds.message import LinearMessage
from relmp.rounds.round import Round


class RelationalLinear(Round):
    r"""``nn.Linear`` over a relational graph: :math:`y_i = b_i + \sum_{j \in N(i)} W_{ij} x_j`.

    On the complete graph it is ``nn.Linear``; on any other it is ``nn.Linear`` with zeros
    where there is no edge, and has only the weights of the edges.

    Args:
        graph: Who listens to whom.
        in_features: Channels of the input, at least one a node.
        out_features: Channels of the output.
        bias: Whether a bias is learned.
        execution: See :class:`Round`.

    Shapes:
        - **input** ``[..., in_features]`` -> **output** ``[..., out_features]``
        - **weight** ``[E, out_dim, in_dim]``, **bias** ``[out_features]``
    """

    def __init__(
        self,
        graph: RelationalGraph,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        execution: str = "auto",
    ) -> None:
        super().__init__(graph, in_features, out_features, bias=bias, execution=execution)

    @property
    def weight(self) -> nn.Parameter:
        """The weights of the edges, ``[E, out_dim, in_dim]``."""
        return cast(nn.Parameter, self.message_module.weight)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 0 or x.size(-1) != self.in_channels:
            raise ValueError(
                f"This layer takes [..., {self.in_channels}], but was given {list(x.shape)}."
            )
        out = super().forward(x.reshape(-1, self.in_channels))
        return out.view(*x.shape[:-1], self.out_channels)

    def to_dense(self) -> nn.Linear:
        """An ``nn.Linear`` with the same function, zeros where there is no edge."""
        linear = nn.Linear(
            self.in_channels,
            self.out_channels,
            bias=self.bias is not None,
            device=self.weight.device,
            dtype=self.weight.dtype,
        )
        with torch.no_grad():
            linear.weight.copy_(dense_weight(self))
            if self.bias is not None:
                linear.bias.copy_(self.bias)
        return linear


def dense_weight(layer: Round) -> Tensor:
    """The weights of a linear or convolutional round as ``[C_out, C_in, *kernel]``.

    Raises:
        ValueError: If the round is not one linear map.
    """
    refusal = DenseExecution.refusal(layer)
    if refusal is not None:
        raise ValueError(f"This round has no dense form: {refusal}.")
    weight = cast(LinearMessage, layer.message_module).weight
    return DenseExecution(layer).to(weight.device).layout(weight)
