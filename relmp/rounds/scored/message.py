"""A linear message whose weights are drawn once, and chosen by scores."""

from __future__ import annotations

from functools import partial
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from relmp.rounds.form import Edges
from relmp.rounds.geometry import KernelOptions, make_geometry
from relmp.rounds.message import WeightedMessage, real_weights
from relmp.rounds.names import MESSAGES
from relmp.rounds.scored.selection import Granularity, ScoreOptions, Selection, frozen_size


@MESSAGES.register("scored")
class ScoredMessage(WeightedMessage):
    r"""Frozen random weights of which training chooses some: :math:`m_{ij} = (M_{ij} \odot
    F_{ij})\, x_j`.

    F is a constant with random signs, :math:`\pm \sqrt{2 / (\text{fan in} \cdot keep)}`, and is
    not trained. M keeps, in the whole round, the share ``keep`` of the entries with the highest
    scores :math:`|s|`; the gradient goes straight through to all scores
    (:class:`relmp.rounds.Selection`). With ``granularity="edge"`` an edge has one score, and what
    is chosen is a relational graph: :meth:`relmp.Round.selected`.

    Cost: the multiply-adds of the linear message, zeros included; as many scores as it has weights,
    or one an edge.

    Args:
        num_edges: Number of edges E, self-loops included.
        in_dim: Largest node size of the input.
        out_dim: Largest node size of the output.
        keep: The share of weights, or edges, that count; all but ``int((1 - keep) * n)`` of n.
        granularity: ``"weight"`` or ``"edge"``.
        **geometry: ``kernel_size``, ``stride``, ``padding``, ``dilation`` of ``nn.Conv2d``
            for images; nothing for vectors.

    Shapes:
        - **scores** ``[E, out_dim, in_dim, *kernel]`` or ``[E]``; **weight**
          ``[E, out_dim, in_dim, *kernel]``
        - **x_j** ``[E, B, in_dim, ...]`` -> ``[E, B, out_dim, ...]``

    Raises:
        ValueError: If ``keep`` is not above 0 and at most 1, or leaves nothing.

    Reference:
        Ramanujan et al., *What's Hidden in a Randomly Weighted Neural Network?*, CVPR 2020,
        section 3.2; García-Arias et al., *Hidden-Fold Networks*, BMVC 2021, section 3.
    """

    is_whole = True

    def __init__(
        self,
        num_edges: int,
        in_dim: int,
        out_dim: int,
        *,
        keep: float = 0.3,
        granularity: Granularity = "weight",
        **geometry: Unpack[KernelOptions],
    ) -> None:
        super().__init__(make_geometry(**geometry))
        shape = (num_edges, out_dim, in_dim, *self.geometry.kernel)
        self.selection = Selection(shape, ScoreOptions(keep, granularity))
        self.scores = nn.Parameter(torch.zeros(self.selection.scores_shape))
        self._drawn = False

    @property
    def weight(self) -> Tensor:
        """The weights of the edges, ``[E, out_dim, in_dim, *kernel]``."""
        return self.selection(self.scores)

    def connect(self, edges: Edges) -> None:
        if self._drawn:
            raise ValueError(
                "A scored round chooses among the edges that it was built with, so they stay; "
                "build a new one over the other graph."
            )
        self.selection.count_real(real_weights(edges, self.selection.frozen.dim()))

    def reset_parameters(self, edges: Edges) -> None:
        r"""Scores uniform within :math:`1 / \sqrt{\text{fan in}}`, and F anew.

        The fan in is that of the whole round: its weights over its channels.
        """
        hearing = edges.ptr.diff() > 0
        channels = int(edges.target_mask[edges.ptr[:-1][hearing]].sum())
        fan_in = self.selection.count / max(channels, 1)
        with torch.no_grad():
            self.scores.uniform_(-1, 1).mul_(max(fan_in, 1.0) ** -0.5)
            if self.scores.dim() > 1:
                self.scores.mul_(real_weights(edges, self.scores.dim()))
        self.selection.resize(frozen_size(max(fan_in, 1.0), self.selection.options.keep))
        self._draw()

    def draw(self, edges: Edges, std: Tensor) -> None:
        """Give F the size with which messages have these deviations once weights are chosen."""
        self.selection.resize(self.weight_std(edges, std) / self.selection.options.keep**0.5)
        self._draw()

    def _draw(self) -> None:
        self.selection.draw_alone()
        self._drawn = True

    def num_parameters(self, edges: Edges) -> int:
        return self.selection.entries

    def extra_repr(self) -> str:
        return self.selection.extra_repr()


def score_options(message: Any) -> ScoreOptions | None:
    """How the messages that ``message`` makes are scored; None where they are not."""
    options: dict[str, Any] = {}
    while isinstance(message, partial):
        options, message = {**message.keywords, **options}, message.func
    if message is not ScoredMessage:
        return None
    known = {name: options[name] for name in ("keep", "granularity") if name in options}
    return ScoreOptions(**known)
