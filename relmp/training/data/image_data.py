"""Image data sets that live on the device whole, and their augmentation by tensor operations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from relmp.training.data.dataset import (
    PARTS,
    WHOLE,
    Batch,
    Part,
    Step,
    description,
    evaluation_batch,
    fingerprint,
)


@dataclass(frozen=True)
class ImageData:
    """A classification data set, in memory.

    Args:
        name: Its name.
        train_images, test_images: uint8 or float32 ``[N, C, H, W]``.
        train_labels, test_labels: int64 ``[N]``, classes from 0.
        num_classes: Number of classes.
        mean, std: Of each channel, in units of the pixels, for normalisation;
            :func:`channel_statistics` measures them.
        flip: Whether training images are flipped left to right at random.
        shift: By up to how many pixels they are shifted at random (pad and crop).
        class_names: Names of the classes.
        val_images, val_labels: Images held out of the training images.

    Raises:
        ValueError: If images and labels do not fit together, or a label is no class.
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool = False
    shift: int = 0
    class_names: tuple[str, ...] = ()
    val_images: Tensor | None = None
    val_labels: Tensor | None = None

    def __post_init__(self) -> None:
        for part in PARTS:
            images, labels = self._part(part)
            _check_part(self, part, images, labels)
        if self.class_names and len(self.class_names) != self.num_classes:
            raise ValueError(
                f"{self.name} has {self.num_classes} classes, but {len(self.class_names)} "
                f"class_names."
            )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one image, ``(C, H, W)``."""
        return tuple(self.train_images.shape[1:])

    def size(self, part: Part) -> int:
        """How many images a part has."""
        return len(self._part(part)[1])

    def to(self, device: torch.device) -> ImageData:
        """The same data on a device."""
        if self.train_images.device == device:
            return self
        names = [f"{part}_{what}" for part in ("train", "val", "test") for what in _WHAT]
        tensors = {name: getattr(self, name) for name in names}
        moved: dict[str, Any] = {
            name: None if tensor is None else tensor.to(device) for name, tensor in tensors.items()
        }
        return replace(self, **moved)

    def keep(
        self, train: np.ndarray[Any, Any], validation: np.ndarray[Any, Any] | None
    ) -> ImageData:
        """The same data with these of the training images, and those held out."""
        changes = {f"train_{what}": getattr(self, f"train_{what}")[train] for what in _WHAT}
        if validation is not None:
            changes |= {f"val_{what}": getattr(self, f"train_{what}")[validation] for what in _WHAT}
        return replace(self, **changes)

    def normalise(self, images: Tensor) -> Tensor:
        """Pixels ``[N, C, H, W]`` -> float32 with the mean and deviation taken out."""
        mean, std = (statistic.to(images.device) for statistic in self._statistics)
        return (images.float() - mean) / std

    def training_batches(self, steps: Iterable[Step], share: slice = WHOLE) -> Iterator[Batch]:
        """The batches of these steps, augmented; ``share`` is what a process takes of each."""
        for indices, seed in steps:
            mine = indices[share].to(self.train_labels.device)
            images = self.normalise(self.train_images[mine])
            if self.flip or self.shift:
                generator = torch.Generator().manual_seed(seed)
                images = augmented(
                    images, generator, self.shift, flip=self.flip, batch_size=len(indices),
                    share=share,
                )  # fmt: skip
            yield images, self.train_labels[mine]

    def batches(self, part: Part, share: slice = WHOLE) -> Iterator[Batch]:
        """A part in order, not augmented; ``share`` is what a process takes of it."""
        images, labels = (tensor[share] for tensor in self._part(part))
        size = evaluation_batch(self.input_shape)
        for some, their_labels in zip(images.split(size), labels.split(size), strict=True):
            yield self.normalise(some), their_labels

    def describe(self) -> dict[str, Any]:
        """What a checkpoint says of the data: plain values, compared on resume."""
        return description(
            self,
            augmentation={"flip": self.flip, "shift": self.shift},
            fingerprint=fingerprint(
                tensor.cpu().numpy().tobytes() for part in PARTS for tensor in self._part(part)
            ),
        )

    @cached_property
    def _statistics(self) -> tuple[Tensor, Tensor]:
        device = self.train_images.device
        mean, std = (torch.tensor(values, device=device) for values in (self.mean, self.std))
        return mean.view(-1, 1, 1), std.view(-1, 1, 1)

    def _part(self, part: Part) -> Batch:
        if part == "train":
            return self.train_images, self.train_labels
        if part == "test":
            return self.test_images, self.test_labels
        if self.val_images is None or self.val_labels is None:
            return self.train_images[:0], self.train_labels[:0]
        return self.val_images, self.val_labels


_WHAT = ("images", "labels")


def augmented(
    images: Tensor,
    generator: torch.Generator,
    padding: int = 4,
    *,
    flip: bool = True,
    batch_size: int | None = None,
    share: slice = WHOLE,
) -> Tensor:
    """Each image shifted by up to ``padding`` pixels, and flipped left to right in half of cases.

    What moves in from outside is zero, the mean of normalised images.

    Args:
        images: float ``[B, C, H, W]``.
        generator: Draws on the CPU, so that a seed gives the same on any device.
        padding: Largest shift.
        flip: Whether images are flipped.
        batch_size, share: The images are this share of a batch of so many, for which the
            draws are made; all of it by default.
    """
    count, channels, height, width = images.shape
    drawn = count if batch_size is None else batch_size
    padded = F.pad(images, (padding,) * 4)
    flips = (torch.rand(drawn, generator=generator) < 0.5)[share]
    shifts = torch.randint(2 * padding + 1, (2, drawn), generator=generator)[:, share]
    rows = shifts[0, :, None] + torch.arange(height)
    columns = shifts[1, :, None] + torch.arange(width)
    if flip:
        columns = torch.where(flips[:, None], columns.flip(1), columns)
    places = (rows[:, :, None] * padded.size(3) + columns[:, None, :]).to(images.device)
    places = places.view(count, 1, height * width).expand(-1, channels, -1)
    return padded.flatten(2).gather(2, places).view_as(images)


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel of images ``[N, C, H, W]``, in units of the pixels.

    A channel that is the same everywhere gets deviation 1.
    """
    pixels = images.float()
    std = pixels.std((0, 2, 3))
    std = torch.where(std > 0, std, torch.ones_like(std))
    return tuple(pixels.mean((0, 2, 3)).tolist()), tuple(std.tolist())


def _check_part(data: ImageData, part: str, images: Tensor, labels: Tensor) -> None:
    is_number = images.dtype in (torch.uint8, torch.float32)
    is_number &= images.dtype == data.train_images.dtype
    if images.dim() != 4 or not is_number or images.shape[1:] != data.input_shape:
        raise ValueError(
            f"The {part} images of {data.name} must be uint8 or float32 [N, C, H, W], all of one "
            f"size and all of one type, but are {str(images.dtype).removeprefix('torch.')} "
            f"{list(images.shape)}."
        )
    if labels.shape != images.shape[:1] or labels.dtype != torch.int64:
        raise ValueError(
            f"{data.name} has {len(images)} {part} images, so their labels must be int64 "
            f"[{len(images)}], but are {str(labels.dtype).removeprefix('torch.')} "
            f"{list(labels.shape)}."
        )
    if images.dtype == torch.float32 and not bool(images.isfinite().all()):
        raise ValueError(f"The {part} images of {data.name} must be finite, but hold NaN.")
    if len(labels) == 0:
        if part == "validation":
            return
        raise ValueError(f"{data.name} has no {part} images.")
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= data.num_classes:
        wrong = lowest if lowest < 0 else highest
        raise ValueError(
            f"The {part} labels of {data.name} hold {wrong}, but its {data.num_classes} classes "
            f"are numbered from 0 to {data.num_classes - 1}."
        )
