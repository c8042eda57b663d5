"""What the loop asks of a data set, and how an epoch is drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple, Protocol, Self, TypeAlias

import numpy as np
import torch
from torch import Tensor

Part: TypeAlias = Literal["train", "validation", "test"]
Batch: TypeAlias = tuple[Tensor, Tensor]
"""Images, float32 ``[B, C, H, W]`` and normalised, and labels, int64 ``[B]``."""

PARTS: tuple[Part, ...] = ("train", "validation", "test")
WHOLE = slice(None)


class Step(NamedTuple):
    """The images of one step, and the seed of everything that is drawn in it."""

    indices: Tensor
    seed: int


def plan_epoch(images: int, batch_size: int, *, seed: int, epoch: int) -> list[Step]:
    """The steps of an epoch.

    They depend on the seed and the number of the epoch alone. The last, smaller batch is left
    out, unless it is the only one.
    """
    batch_size = min(batch_size, images)
    # Far apart for neighbouring seeds and epochs, and never the seed of the initial weights.
    generator = torch.Generator().manual_seed((seed + 1) * 1_000_003 + epoch)
    steps = images // batch_size
    order = torch.randperm(images, generator=generator)[: steps * batch_size]
    seeds: list[int] = torch.randint(2**62, (steps,), generator=generator).tolist()
    return [Step(*step) for step in zip(order.split(batch_size), seeds, strict=True)]


class DataSet(Protocol):
    """A classification data set: in memory (:class:`ImageData`) or in files
    (:class:`FolderData`)."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def num_classes(self) -> int:
        """Number of classes."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes; empty where they are numbers."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one image, ``(C, H, W)``."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel, in units of the pixels."""

    @property
    def std(self) -> tuple[float, ...]:
        """Deviation of each channel, in units of the pixels."""

    def size(self, part: Part) -> int:
        """How many images a part has."""

    def to(self, device: torch.device) -> Self:
        """The same data, giving its batches on a device."""

    def keep(self, train: np.ndarray[Any, Any], validation: np.ndarray[Any, Any] | None) -> Self:
        """The same data with these of the training images, and those held out."""

    def training_batches(self, steps: Iterable[Step], share: slice = WHOLE) -> Iterator[Batch]:
        """The batches of these steps, augmented; ``share`` is what a process takes of each."""

    def batches(self, part: Part, share: slice = WHOLE) -> Iterator[Batch]:
        """A part in order, not augmented; ``share`` is what a process takes of it."""

    def describe(self) -> dict[str, Any]:
        """What a checkpoint says of the data: plain values, compared on resume."""


def fingerprint(pieces: Iterable[bytes]) -> str:
    """A short hash of what a data set consists of, by which a run knows it again."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()[:16]


def evaluation_batch(input_shape: tuple[int, ...]) -> int:
    """How many images are evaluated at a time: 1,000, fewer where they are large.

    A CPU gives the memory of large activations back after every layer and pays for it page by
    page: ResNet-20 labels images of 28 x 28 pixels 2.5 times faster by 167 than by 1,000.
    """
    return min(1000, max(64, 2**17 // (input_shape[-1] * input_shape[-2])))


def description(data: DataSet, *, resized: bool = False, **more: Any) -> dict[str, Any]:
    """What a checkpoint says of any data; ``more`` is what only this kind has."""
    return {
        "input_shape": list(data.input_shape),
        "mean": list(data.mean),
        "std": list(data.std),
        "class_names": list(data.class_names),
        "resized": resized,
        "images": {part: data.size(part) for part in PARTS},
        **more,
    }
