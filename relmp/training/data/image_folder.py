"""Images in files, read and augmented by worker processes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from relmp.machine import cores
from relmp.training.data.arrays import HELD_OUT, hold_out
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
from relmp.training.data.image_files import (
    ImageFiles,
    ReadingPlan,
    Unreadable,
    Wanted,
    fit_image,
    image_size,
    open_image,
    stacked,
)

Files: TypeAlias = tuple[tuple[str, int], ...]
"""Path and label of every image."""

DEFAULT_SIZE = 224
CROP = 0.08
"""Smallest share of its area that a training image is cropped to."""
LOOKED_AT = 20
"""Of so many images the size is looked at."""
MEASURED_IMAGES = 1000
"""So many training images are read to measure mean and deviation."""


@dataclass(frozen=True)
class FolderData:
    """A classification data set whose images are read from files when they are needed.

    Training images are cropped at random to ``crop`` to 100 % of their area, resized and flipped;
    others are resized and cropped at the centre. What is drawn for an image depends on the
    seed of its step and its place there, not on the number of workers.

    Args:
        name: Its name.
        train, test, validation: Path and label of every image.
        class_names: Names of the classes.
        image_size: Height and width that images are brought to.
        mean, std: Of each channel, in units of the pixels; measured on a fixed choice of
            training images if not given.
        workers: Processes that read images; one a core by default, 0 reads in this one.
        device: Where the batches are put.
        crop: Smallest share of its area that a training image is cropped to at random; with 1 it
            is cut at the centre as for evaluation, and flipped.
        is_split: Whether the test set was held out of one list of files.
    """

    name: str
    train: Files
    test: Files
    class_names: tuple[str, ...]
    validation: Files = ()
    image_size: int = DEFAULT_SIZE
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    workers: int = field(default_factory=cores)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    crop: float = CROP
    is_split: bool = False

    def __post_init__(self) -> None:
        if self.image_size < 1:
            raise ValueError(f"image_size must be at least 1, but is {self.image_size}.")
        if self.workers < 0:
            raise ValueError(f"workers must be at least 0, but is {self.workers}.")
        for part, files in (("training", self.train), ("test", self.test)):
            if not files:
                raise ValueError(f"{self.name} has no {part} images.")
        if not self.mean:
            mean, std = self._measured()
            object.__setattr__(self, "mean", mean)
            object.__setattr__(self, "std", std)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one image, ``(C, H, W)``."""
        return (3, self.image_size, self.image_size)

    def size(self, part: Part) -> int:
        """How many images a part has."""
        return len(self._files(part))

    def to(self, device: torch.device) -> FolderData:
        """The same data, giving its batches on a device."""
        return self if device == self.device else replace(self, device=device)

    def keep(
        self, train: np.ndarray[Any, Any], validation: np.ndarray[Any, Any] | None
    ) -> FolderData:
        """The same data with these of the training images, and those held out."""
        held = self.validation if validation is None else [self.train[i] for i in validation]
        return replace(self, train=tuple(self.train[i] for i in train), validation=tuple(held))

    def hold_out(self, share: float) -> FolderData:
        """The same files with this share of every class as the test set.

        Raises:
            ValueError: If the folder has a test set of its own.
        """
        if not self.is_split:
            raise ValueError(f"{self.name} has a test set of its own; leave held_out out.")
        files = tuple(sorted((*self.train, *self.test), key=lambda file: (file[1], file[0])))
        train, test = _split(files, share)
        return replace(self, train=train, test=test, mean=(), std=())

    def training_batches(self, steps: Iterable[Step], share: slice = WHOLE) -> Iterator[Batch]:
        """The batches of these steps, augmented; ``share`` is what a process takes of each."""
        return self._read(self._wanted(step, share) for step in steps)

    def batches(self, part: Part, share: slice = WHOLE) -> Iterator[Batch]:
        """A part in order, not augmented; ``share`` is what a process takes of it."""
        size = evaluation_batch(self.input_shape)
        wanted = [Wanted(path, label, None) for path, label in self._files(part)[share]]
        return self._read(wanted[i : i + size] for i in range(0, len(wanted), size))

    def describe(self) -> dict[str, Any]:
        """What a checkpoint says of the data: plain values, compared on resume."""
        return description(
            self,
            resized=True,
            augmentation={"flip": True, "crop": [self.crop, 1.0]},
            # Names and labels: the folder may have moved, and reading all files takes hours.
            fingerprint=fingerprint(
                f"{Path(path).name} {label}\n".encode()
                for part in PARTS
                for path, label in self._files(part)
            ),
        )

    def _files(self, part: Part) -> Files:
        return {"train": self.train, "validation": self.validation, "test": self.test}[part]

    def _wanted(self, step: Step, share: slice) -> list[Wanted]:
        places = range(len(step.indices))[share]
        wanted = []
        for i, place in zip(step.indices[share].tolist(), places, strict=True):
            path, label = self.train[i]
            wanted.append(Wanted(path, label, step.seed + place))
        return wanted

    def _read(self, planned: Iterable[list[Wanted]]) -> Iterator[Batch]:
        mean, std = (
            torch.tensor(v, device=self.device).view(-1, 1, 1) for v in (self.mean, self.std)
        )
        for images, labels in self._pixels(planned):
            images = images.to(self.device, non_blocking=True)
            yield (images.float() - mean) / std, labels.to(self.device, non_blocking=True)

    def _pixels(self, planned: Iterable[list[Wanted]]) -> Iterator[Batch]:
        self._plan.batches = planned
        for batch in self._loader:
            if isinstance(batch, Unreadable):
                raise ValueError(f"'{batch.path}' is no image that can be read: {batch.reason}.")
            yield batch

    def _measured(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        order = np.random.RandomState(0).permutation(len(self.train))[:MEASURED_IMAGES]

        def moments(i: int) -> Tensor:
            pixels = fit_image(open_image(self.train[i][0], 3), self.image_size).double()
            return torch.stack([pixels.mean((1, 2)), pixels.square().mean((1, 2))])

        with ThreadPoolExecutor(max(1, self.workers)) as pool:
            mean, square = torch.stack(list(pool.map(moments, order))).mean(0)
        std = (square - mean.square()).clamp(min=0).sqrt()
        std = torch.where(std > 0, std, torch.ones_like(std))
        return tuple(mean.tolist()), tuple(std.tolist())

    @cached_property
    def _plan(self) -> ReadingPlan:
        return ReadingPlan()

    @cached_property
    def _loader(self) -> DataLoader[Any]:
        # One loader for all parts and epochs, so that its workers start once: what it reads is
        # written to the plan. Its own generator leaves the global one as it is.
        return DataLoader(
            ImageFiles(self.image_size, self.crop),
            batch_sampler=self._plan,
            num_workers=self.workers,
            collate_fn=stacked,
            pin_memory=self.device.type == "cuda",
            persistent_workers=self.workers > 0,
            generator=torch.Generator(),
        )


def find_images(
    folder: Path,
    name: str = "folder",
    *,
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
) -> FolderData:
    """The images of a folder, one subfolder a class, as torchvision's ``ImageFolder`` reads it.

    Args:
        folder: Either ``train/<class>/*`` beside ``test/<class>/*`` or ``val/<class>/*`` (both:
            ``val`` is the validation set), or ``<class>/*``, of which a fifth of every class,
            always the same, is the test set.
        name: Name of the data set.
        mean, std: See :class:`FolderData`.

    Raises:
        FileNotFoundError: If there is no such folder, or no images in it.
        ValueError: If training and test images have different classes.
    """
    if not (folder / "train").is_dir():
        classes, files = _scan(folder)
        train, test = _split(files, HELD_OUT)
        return FolderData(name, train, test, classes, mean=mean, std=std, is_split=True)
    classes, train = _scan(folder / "train")
    parts: dict[str, Files] = {}
    for part in ("test", "val"):
        if (folder / part).is_dir():
            found, parts[part] = _scan(folder / part)
            if found != classes:
                differing = ", ".join(sorted(set(found) ^ set(classes))[:5])
                raise ValueError(
                    f"'{folder / part}' must have the classes of '{folder / 'train'}', one "
                    f"subfolder each; these are not in both: {differing}."
                )
    if not parts:
        raise FileNotFoundError(f"'{folder}' has a folder 'train', but neither 'test' nor 'val'.")
    validation = parts["val"] if len(parts) == 2 else ()
    test = parts.get("test") or parts["val"]
    return FolderData(name, train, test, classes, validation, mean=mean, std=std)


def _scan(folder: Path) -> tuple[tuple[str, ...], Files]:
    """Classes and files in the order of torchvision's ``ImageFolder``; ordinary files only, and
    every folder once, however many links lead to it."""
    from torchvision.datasets.folder import IMG_EXTENSIONS

    problem = f"'{folder}' is no folder of images with one subfolder a class"
    if not folder.is_dir():
        raise FileNotFoundError(f"{problem}: there is no such folder.")
    classes = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    if not classes:
        raise FileNotFoundError(f"{problem}: it has no subfolders.")
    files = []
    for label, name in enumerate(classes):
        found = [path for path in _walk(folder / name) if path.lower().endswith(IMG_EXTENSIONS)]
        if not found:
            raise FileNotFoundError(f"{problem}: class '{name}' has no images.")
        files += [(path, label) for path in found]
    return tuple(classes), tuple(files)


def _walk(folder: Path) -> Iterator[str]:
    seen: set[str] = set()
    tree = []
    for root, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        tree.append((root, names))
    for root, names in sorted(tree):
        for name in sorted(names):
            path = os.path.join(root, name)  # noqa: PTH118  (a million of them)
            if os.path.isfile(path):  # noqa: PTH113  (no pipe, which would be waited for)
                yield path


def _split(files: Files, share: float) -> tuple[Files, Files]:
    held = hold_out([label for _, label in files], share)
    return (
        tuple(file for file, is_held in zip(files, held, strict=True) if not is_held),
        tuple(file for file, is_held in zip(files, held, strict=True) if is_held),
    )


def warn_of_enlarging(data: FolderData, folder: str | Path) -> None:
    """Say so where images are brought to more than twice their size."""
    some = [data.train[i][0] for i in np.linspace(0, len(data.train) - 1, LOOKED_AT).astype(int)]
    sizes = [found for path in some if (found := image_size(path)) is not None]
    if not sizes:
        return
    width, height = (int(number) for number in np.median(sizes, axis=0))
    size, own = data.image_size, min(width, height)
    if 2 * own < size:
        warnings.warn(
            f"The images of '{folder}' have about {width} x {height} pixels and are brought to "
            f"{size} x {size}; image_size={own} (--image-size) keeps their size.",
            stacklevel=3,
        )
