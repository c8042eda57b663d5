"""A round as one dense product: the weights of the edges laid out in a matrix of zeros."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from relmp.rounds.execution.base import Execution
from relmp.rounds.execution.linear_maps import map_refusal
from relmp.rounds.form import RoundForm
from relmp.rounds.layout import EdgeLayout
from relmp.rounds.message import WeightedMessage


class DenseExecution(Execution):
    r"""Lays the edge weights out and multiplies once: :math:`y = \mathrm{layout}(W)\, x`.

    It costs as much as the complete graph, whatever the density. :class:`EdgeLayout` says where a
    weight lies.
    """

    name = "dense"
    is_transformable = True

    @staticmethod
    def refusal(form: RoundForm) -> str | None:
        return map_refusal(form)

    def __init__(self, form: RoundForm) -> None:
        super().__init__(form)
        self.layout = EdgeLayout(form)

    def forward(self, message: nn.Module, x: Tensor) -> Tensor:
        linear = cast(WeightedMessage, message)
        return linear.apply_dense(x, self.layout(linear.weight))
