"""What is minimised and counted: the loss of a data set, and how wrong scores are."""

from __future__ import annotations

from typing import Any, Protocol

import torch.nn.functional as F
from torch import Tensor

IGNORED = -100
"""The label of a step at which nothing is asked, as ``torch.nn.CrossEntropyLoss`` has it."""


class Objective(Protocol):
    """The loss of a data set, and the shares of a batch that are wrong."""

    @property
    def shares(self) -> tuple[str, ...]:
        """Names of what :meth:`wrong` counts; the first is ``"error"``."""

    def loss(self, scores: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """The mean over a batch."""

    def total(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The loss summed over a batch."""

    def error(self, scores: Tensor, labels: Tensor) -> Tensor:
        """How many of a batch are wrong."""

    def wrong(self, scores: Tensor, labels: Tensor) -> list[Tensor]:
        """The same in each sense of :attr:`shares`."""


class Classification:
    """One class for an image: cross-entropy, the error, and the error among the five best."""

    shares = ("error", "top5_error")

    def loss(self, scores: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy of ``scores [B, K]`` and ``labels [B]``."""
        return F.cross_entropy(scores, labels, label_smoothing=smoothing)

    def total(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy summed over the batch."""
        return F.cross_entropy(scores, labels, reduction="sum")

    def error(self, scores: Tensor, labels: Tensor) -> Tensor:
        """How many labels are not the best."""
        return (scores.argmax(1) != labels).sum()

    def wrong(self, scores: Tensor, labels: Tensor) -> list[Tensor]:
        """How many labels are not the best, and not among the five best."""
        right = scores.topk(min(5, scores.size(1))).indices == labels[:, None]
        return [right[:, 0].logical_not().sum(), right.any(1).logical_not().sum()]


class StepClassification:
    """A class at some steps of a sequence; the others are labelled :data:`IGNORED`."""

    shares = ("error",)

    def loss(self, scores: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy of ``scores [B, T, K]`` over the steps labelled in ``[B, T]``."""
        return F.cross_entropy(
            scores.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, label_smoothing=smoothing
        )

    def total(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The loss, as often as there are sequences."""
        return self.loss(scores, labels) * len(labels)

    def error(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The share of labelled steps that are wrong, as often as there are sequences."""
        asked = labels != IGNORED
        wrong = (scores.argmax(-1) != labels) & asked
        return wrong.sum().double() / asked.sum() * len(labels)

    def wrong(self, scores: Tensor, labels: Tensor) -> list[Tensor]:
        """That error alone."""
        return [self.error(scores, labels)]


class StepRegression:
    """Numbers at some steps of a sequence; the others are NaN.

    Args:
        variance: Of the numbers asked; the error is the mean squared error over it, the share that
            a constant would leave being 100 %.
    """

    shares = ("error",)

    def __init__(self, variance: float) -> None:
        self.variance = variance

    def loss(self, scores: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Mean squared error of ``scores [B, T, K]`` over what is asked in ``[B, T, K]``.

        Raises:
            ValueError: If labels are to be smoothed.
        """
        if smoothing:
            raise ValueError("label_smoothing is for classes, but this task asks for numbers.")
        asked = labels.isnan().logical_not()
        return F.mse_loss(scores[asked], labels[asked])

    def total(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The loss, as often as there are sequences."""
        return self.loss(scores, labels) * len(labels)

    def error(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The squared error over the variance, as often as there are sequences."""
        return self.total(scores, labels).double() / self.variance

    def wrong(self, scores: Tensor, labels: Tensor) -> list[Tensor]:
        """That error alone."""
        return [self.error(scores, labels)]


CLASSIFICATION: Objective = Classification()


def objective_of(data: Any) -> Objective:
    """What a data set asks for: its ``objective`` where it has one, else one class an image."""
    found: Objective = getattr(data, "objective", CLASSIFICATION)
    return found
