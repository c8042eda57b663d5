"""Image files, opened one by one and put together in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from relmp.training.data.dataset import Batch

MAX_PIXELS = 2**26
"""Of an image file: unpacked, it takes three bytes for each."""


def open_image(path: str | Path, channels: int) -> Tensor:
    """An image file as uint8 ``[C, H, W]``, made grey or coloured as asked.

    Raises:
        ValueError: If it cannot be read as an image.
    """
    from PIL import Image
    from torchvision.transforms.v2.functional import pil_to_tensor

    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(
                    f"it has {image.width * image.height / 1e6:.0f} million pixels, and at most "
                    f"{MAX_PIXELS / 1e6:.0f} are read"
                )
            return pil_to_tensor(image.convert("L" if channels == 1 else "RGB"))
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"'{path}' is no image that can be read: {error}.") from error


def image_size(path: str | Path) -> tuple[int, int] | None:
    """Width and height of an image file, None where it cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.width, image.height
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def fit_image(image: Tensor, size: int) -> Tensor:
    """An image for evaluation: the shorter side to 8/7 of the size, and the centre cut out."""
    from torchvision.transforms.v2 import functional as V

    return V.center_crop(V.resize(image, [round(size * 8 / 7)], antialias=True), [size, size])


class Wanted(NamedTuple):
    path: str
    label: int
    seed: int | None  # of its augmentation; None reads it for evaluation


class ReadingPlan:
    """What the loader is to read next: its batch sampler."""

    batches: Iterable[list[Wanted]] = ()

    def __iter__(self) -> Iterator[list[Wanted]]:
        return iter(self.batches)


class Unreadable(NamedTuple):
    path: str
    reason: str


class ImageFiles(Dataset[Any]):
    def __init__(self, size: int, crop: float) -> None:
        from torchvision.transforms import v2

        self.size = size
        cut: Any = v2.RandomResizedCrop(size, scale=(crop, 1.0), antialias=True)
        if crop >= 1:
            cut = v2.Lambda(partial(fit_image, size=size))
        self.augment = v2.Compose([cut, v2.RandomHorizontalFlip()])

    def __getitem__(self, wanted: Wanted) -> tuple[Tensor, int] | Unreadable:
        try:
            image = open_image(wanted.path, 3)
        except (OSError, ValueError) as error:  # raised in the main process, in one sentence
            return Unreadable(wanted.path, str(error.__cause__ or error))
        if wanted.seed is None:
            return fit_image(image, self.size), wanted.label
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(wanted.seed)
            return self.augment(image), wanted.label


def stacked(items: Sequence[tuple[Tensor, int] | Unreadable]) -> Batch | Unreadable:
    images, labels = [], []
    for item in items:
        if isinstance(item, Unreadable):
            return item
        images.append(item[0])
        labels.append(item[1])
    return torch.stack(images), torch.tensor(labels)
