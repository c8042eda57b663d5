"""What an execution is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from relmp.rounds.form import RoundForm


class Execution(nn.Module, ABC):
    """One way to compute messages and aggregation of a round; PyG's fused hook calls it.

    It gives the values and gradients of message passing, bias and update left out. It owns no
    parameters, reads those of the message at every call, and holds what it needs to know of the
    graph as buffers that are not saved, so that a state_dict does not depend on it. It is made
    anew when device or type of the weights change.

    Args:
        form: The round; :meth:`refusal` of it is None.

    Shapes:
        - **x** ``[B, C_in]`` or ``[B, C_in, H, W]`` -> ``[B, C_out]`` or ``[B, C_out, H', W']``
    """

    name: ClassVar[str]
    """What ``execution=`` calls it."""
    is_transformable: ClassVar[bool] = False
    """Whether ``torch.func`` and forward-mode differentiation go through it: whether it consists
    of PyTorch's own operators. Inside of them, messages are passed where it does not."""

    def __init__(self, form: RoundForm) -> None:
        super().__init__()

    @staticmethod
    @abstractmethod
    def refusal(form: RoundForm) -> str | None:
        """Why the round cannot be executed so, or None."""

    @abstractmethod
    def forward(self, message: nn.Module, x: Tensor) -> Tensor:
        """The aggregated messages of the round, in the channels of its output."""

    def updated(self, message: nn.Module, x: Tensor, update: nn.Module) -> Tensor | None:
        """The same with the update of the round behind it, where they are computed together; None
        where they are not, so that one follows the other."""
        return None
