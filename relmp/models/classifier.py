"""The base of the image classifiers: what a budget asks of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import nn

from relmp.graphs import RelationalGraph
from relmp.models.architecture import Plan, Widths
from relmp.rounds.round import MessageFactory


class Classifier(nn.Module, ABC):
    """Base of the image classifiers whose width can be matched to a budget.

    A subclass takes ``(graph, num_classes, *, width=None, ...)`` and states its plan.
    """

    BASELINE_WIDTHS: ClassVar[Widths]
    """Widths of the relational stages of the published complete-graph model."""
    WIDTH_RESCALES: ClassVar[int]
    """How often the published search rescales: 15 for small images, 9 for large ones."""

    input_shape: tuple[int, ...]
    """Shape of the images that the model is usually given, ``(C, H, W)`` or ``(C,)``."""

    @classmethod
    @abstractmethod
    def plan(cls, widths: Widths, **options: Any) -> Plan:
        """All layers by name: see :mod:`relmp.models.architecture`."""

    @staticmethod
    def input_options(input_shape: Sequence[int]) -> dict[str, int]:
        """The options that images of this shape ask for."""
        return {"in_channels": input_shape[0]}

    @classmethod
    def match_options(cls, graph: RelationalGraph | None, width: int) -> dict[str, Any]:
        """Defaults of the options where a model is matched to a baseline of this first width."""
        return {}

    @classmethod
    def flops(
        cls,
        graph: RelationalGraph | None,
        widths: Widths,
        *,
        message: MessageFactory | None = None,
        **options: Any,
    ) -> int:
        """Multiply-adds of one image, without building the model; options as :meth:`plan`.

        Raises:
            NotImplementedError: If the message does not say what it costs.
        """
        return sum(layer.flops(graph, message) for layer in cls.plan(widths, **options).values())
