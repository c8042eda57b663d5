"""Data sets of sequences that live on the device whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relmp.training.data.dataset import PARTS, WHOLE, Batch, Part, Step, description, fingerprint
from relmp.training.data.objective import IGNORED, Objective, StepClassification, StepRegression

_AT_A_TIME = 1000


@dataclass(frozen=True)
class SequenceData:
    """Sequences of one length, and what is asked at which of their steps.

    Args:
        name: Its name.
        train_inputs, test_inputs: float32 ``[N, T, C]``.
        train_labels, test_labels: Classes, int64 ``[N, T]``, -100 where nothing is asked; or
            numbers, float32 ``[N, T, K]``, NaN where nothing is asked.
        num_classes: Number of classes, or of the numbers K.
        class_names: Names of the classes.
        val_inputs, val_labels: Sequences held out of those to train.

    Raises:
        ValueError: If inputs and labels do not fit together, sequences have length 0, or nothing is
            asked of a part.
    """

    name: str
    train_inputs: Tensor
    train_labels: Tensor
    test_inputs: Tensor
    test_labels: Tensor
    num_classes: int
    class_names: tuple[str, ...] = ()
    val_inputs: Tensor | None = None
    val_labels: Tensor | None = None

    mean = (0.0,)
    std = (1.0,)

    def __post_init__(self) -> None:
        for part in PARTS:
            self._check(part, *self._part(part))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sequence, ``(T, C)``."""
        return tuple(self.train_inputs.shape[1:])

    @property
    def asks_classes(self) -> bool:
        """Whether classes are asked for, not numbers."""
        return self.train_labels.dtype == torch.int64

    @property
    def objective(self) -> Objective:
        """Cross-entropy over the labelled steps, or the squared error."""
        if self.asks_classes:
            return StepClassification()
        asked = self.test_labels[self.asked("test")]
        return StepRegression(float(asked.double().var(correction=0)))

    def asked(self, part: Part) -> Tensor:
        """bool like the labels: where something is asked."""
        labels = self._part(part)[1]
        return labels != IGNORED if self.asks_classes else labels.isnan().logical_not()

    def size(self, part: Part) -> int:
        """How many sequences a part has."""
        return len(self._part(part)[1])

    def to(self, device: torch.device) -> SequenceData:
        """The same data on a device."""
        if self.train_inputs.device == device:
            return self
        moved = {
            f"{part}_{what}": getattr(self, f"{part}_{what}").to(device)
            for part in ("train", "val", "test")
            for what in ("inputs", "labels")
            if getattr(self, f"{part}_{what}") is not None
        }
        return replace(self, **moved)

    def keep(
        self, train: np.ndarray[Any, Any], validation: np.ndarray[Any, Any] | None
    ) -> SequenceData:
        """The same data with these of the training sequences, and those held out."""
        inputs, labels = self.train_inputs, self.train_labels
        kept = replace(self, train_inputs=inputs[train], train_labels=labels[train])
        if validation is None:
            return kept
        return replace(kept, val_inputs=inputs[validation], val_labels=labels[validation])

    def training_batches(self, steps: Iterable[Step], share: slice = WHOLE) -> Iterator[Batch]:
        """The batches of these steps; ``share`` is what a process takes of each."""
        for indices, _ in steps:
            mine = indices[share].to(self.train_labels.device)
            yield self.train_inputs[mine], self.train_labels[mine]

    def batches(self, part: Part, share: slice = WHOLE) -> Iterator[Batch]:
        """A part in order; ``share`` is what a process takes of it."""
        inputs, labels = (tensor[share] for tensor in self._part(part))
        yield from zip(inputs.split(_AT_A_TIME), labels.split(_AT_A_TIME), strict=True)

    def describe(self) -> dict[str, Any]:
        """What a checkpoint says of the data: plain values, compared on resume."""
        return description(
            self,
            fingerprint=fingerprint(
                tensor.cpu().numpy().tobytes() for part in PARTS for tensor in self._part(part)
            ),
        )

    def _part(self, part: Part) -> Batch:
        if part == "train":
            return self.train_inputs, self.train_labels
        if part == "test":
            return self.test_inputs, self.test_labels
        if self.val_inputs is None or self.val_labels is None:
            return self.train_inputs[:0], self.train_labels[:0]
        return self.val_inputs, self.val_labels

    def _check(self, part: Part, inputs: Tensor, labels: Tensor) -> None:
        if inputs.dim() != 3 or inputs.dtype != torch.float32:
            raise ValueError(
                f"The {part} inputs of {self.name} must be float32 [N, T, C], but are "
                f"{str(inputs.dtype).removeprefix('torch.')} {list(inputs.shape)}."
            )
        if inputs.size(1) == 0:
            raise ValueError(f"The sequences of {self.name} have length 0; give them steps.")
        if tuple(inputs.shape[1:]) != self.input_shape or not bool(inputs.isfinite().all()):
            raise ValueError(
                f"The {part} inputs of {self.name} must be finite and all of shape "
                f"{list(self.input_shape)}."
            )
        expected = [*inputs.shape[:2], *([] if self.asks_classes else [self.num_classes])]
        kind = torch.int64 if self.asks_classes else torch.float32
        if list(labels.shape) != expected or labels.dtype != kind:
            raise ValueError(
                f"The {part} labels of {self.name} must be classes, int64 [N, T], or numbers, "
                f"float32 [N, T, {self.num_classes}], for each of {len(inputs)} sequences, but are "
                f"{str(labels.dtype).removeprefix('torch.')} {list(labels.shape)}."
            )
        if part != "validation" and not bool(self.asked(part).any()):
            raise ValueError(
                f"Nothing is asked of the {part} sequences of {self.name}; label some steps."
            )
        if self.asks_classes:
            known = labels[self.asked(part)]
            if bool(((known < 0) | (known >= self.num_classes)).any()):
                raise ValueError(
                    f"The {part} labels of {self.name} must lie between 0 and "
                    f"{self.num_classes - 1}, or be {IGNORED} where nothing is asked."
                )
