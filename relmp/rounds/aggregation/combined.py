"""Several aggregations of the same messages, as one."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch_geometric.nn.aggr import Aggregation

MODES = ("sum", "mean", "max", "min", "logsumexp", "std", "var", "proj")
"""How several aggregations are combined; "proj" learns a matrix."""


class CombinedAggregation(Aggregation):  # type: ignore[misc]
    r"""Several aggregations of the same messages, combined to as many channels as one has.

    Args:
        aggr: An aggregation that returns k times as many channels as it was given.
        channels: Channels c of a message.
        mode: One of ``"sum"``, ``"mean"``, ``"max"``, ``"min"``, ``"logsumexp"``, ``"std"``,
            ``"var"`` over the k results, or ``"proj"``, a learned matrix
            :math:`\mathbb{R}^{kc} \to \mathbb{R}^c`.

    Shapes:
        - **messages** ``[E, M, c]`` -> ``[n, M, c]``

    Raises:
        ValueError: If the mode is unknown, or ``aggr`` returns a broken number of channels.
    """

    def __init__(self, aggr: Aggregation, channels: int, mode: str) -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"Unknown mode '{mode}'; choose one of {', '.join(MODES)}.")
        out = trial(aggr, channels).size(-1)
        if out % channels:
            raise ValueError(
                f"{type(aggr).__name__} turns {channels} channels into {out}, which is no "
                f"multiple and cannot be combined."
            )
        self.inner, self.channels, self.mode = aggr, channels, mode
        self.proj = nn.Linear(out, channels, bias=False) if mode == "proj" else None

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self.inner.reset_parameters()
        if self.proj is not None:
            self.proj.reset_parameters()

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
    ) -> Tensor:
        out = self.inner(x, index, ptr, dim_size, dim)
        if self.proj is not None:
            return self.proj(out)
        results = out.unflatten(-1, (-1, self.channels))
        combined = getattr(torch, self.mode)(results, dim=-2)
        return combined if isinstance(combined, Tensor) else combined.values

    def extra_repr(self) -> str:
        return f"mode={self.mode}"


def trial(module: nn.Module, channels: int) -> Tensor:
    """What a copy of it makes of five messages to two nodes; its state stays as it is."""
    index = torch.tensor([0, 0, 0, 1, 1])
    messages = torch.linspace(-1, 1, 5 * 3 * channels).reshape(5, 3, channels)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            trial = copy.deepcopy(module).cpu().float()
            out = trial(messages, index=index, ptr=torch.tensor([0, 3, 5]), dim_size=2, dim=0)
    except Exception as error:
        raise ValueError(
            f"{type(module).__name__} cannot aggregate messages of shape [E, M, c], which a "
            f"round needs (it says: {str(error).strip() or type(error).__name__})."
        ) from error
    if not isinstance(out, Tensor):
        raise ValueError(
            f"{type(module).__name__} must return a tensor, but returned {type(out).__name__}."
        )
    return out
