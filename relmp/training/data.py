"""Image data sets that live on the device whole, and their augmentation by tensor operations."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from relmp.registry import Registry


@dataclass(frozen=True)
class ImageData:
    """A classification data set, in memory.

    Args:
        name: Its name.
        train_images, test_images: uint8 ``[N, C, H, W]``.
        train_labels, test_labels: int64 ``[N]``, classes from 0.
        num_classes: Number of classes.
        mean, std: Of each channel, in units of the pixels, for normalisation.
        augment: Whether training images are flipped and shifted at random (pad 4 and crop).
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: bool = False

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one image, ``(C, H, W)``."""
        return tuple(self.train_images.shape[1:])

    def to(self, device: torch.device) -> ImageData:
        """The same data on a device."""
        return replace(
            self,
            train_images=self.train_images.to(device),
            train_labels=self.train_labels.to(device),
            test_images=self.test_images.to(device),
            test_labels=self.test_labels.to(device),
        )

    def normalise(self, images: Tensor) -> Tensor:
        """Pixels ``[N, C, H, W]`` -> float32 with the mean and deviation taken out."""
        mean = torch.tensor(self.mean, device=images.device).view(-1, 1, 1)
        std = torch.tensor(self.std, device=images.device).view(-1, 1, 1)
        return (images.float() - mean) / std


def augmented(images: Tensor, generator: torch.Generator, padding: int = 4) -> Tensor:
    """Flip every other image left to right and shift each by up to ``padding`` pixels.

    What moves in from outside is zero, the mean of normalised images.

    Args:
        images: float ``[B, C, H, W]``.
        generator: Draws on the CPU, so that a seed gives the same on any device.
        padding: Largest shift.
    """
    count, channels, height, width = images.shape
    padded = F.pad(images, (padding,) * 4)
    flips = torch.rand(count, generator=generator) < 0.5
    shifts = torch.randint(2 * padding + 1, (2, count), generator=generator)
    rows = shifts[0, :, None] + torch.arange(height)
    columns = shifts[1, :, None] + torch.arange(width)
    columns = torch.where(flips[:, None], columns.flip(1), columns)
    places = (rows[:, :, None] * padded.size(3) + columns[:, None, :]).to(images.device)
    places = places.view(count, 1, height * width).expand(-1, channels, -1)
    return padded.flatten(2).gather(2, places).view_as(images)


Loader: TypeAlias = Callable[[Path, bool], ImageData]
"""``(folder, download) -> ImageData``."""

datasets: Registry[Loader] = Registry("data set")


def load_data(
    data: str | ImageData,
    *,
    folder: str | Path = "data",
    download: bool = False,
    train_size: int | None = None,
) -> ImageData:
    """A data set by name.

    Args:
        data: A registered name (``digits`` needs no files), or an :class:`ImageData`.
        folder: Where the files of the other data sets lie.
        download: Whether missing files are fetched into ``folder``.
        train_size: Keep only so many training images: a fixed random choice, the same in
            every run.

    Raises:
        ValueError: If the name is unknown or there are fewer than ``train_size`` images.
        FileNotFoundError: If the files are not there and ``download`` is False.
    """
    loaded = data if isinstance(data, ImageData) else datasets[data](Path(folder), download)
    if train_size is None:
        return loaded
    available = len(loaded.train_images)
    if not 1 <= train_size <= available:
        raise ValueError(
            f"train_size must lie between 1 and {available}, the training images of "
            f"{loaded.name}, but is {train_size}."
        )
    chosen = np.sort(np.random.RandomState(0).permutation(available)[:train_size])
    return replace(
        loaded,
        train_images=loaded.train_images[chosen],
        train_labels=loaded.train_labels[chosen],
    )


@datasets.register("digits")
def load_digits(folder: Path, download: bool) -> ImageData:
    """1,797 handwritten digits of 8 x 8 pixels, from scikit-learn: 1,437 train, 360 test."""
    from sklearn.datasets import load_digits as load
    from sklearn.model_selection import train_test_split

    found = load()
    images = torch.from_numpy(found.images.astype(np.uint8))[:, None]
    labels = torch.from_numpy(found.target.astype(np.int64))
    train, test = train_test_split(
        np.arange(len(labels)), test_size=360, random_state=0, stratify=found.target
    )
    pixels = images[train].float()
    return ImageData(
        "digits",
        images[train],
        labels[train],
        images[test],
        labels[test],
        10,
        (float(pixels.mean()),),
        (float(pixels.std()),),
    )


@datasets.register("fashion_mnist")
def load_fashion_mnist(folder: Path, download: bool) -> ImageData:
    """70,000 pictures of clothes, 28 x 28 grey pixels: 60,000 train, 10,000 test.

    ``folder`` may hold the four idx files as published (``train-images-idx3-ubyte.gz``, ...),
    or what torchvision makes of them.
    """
    if not (folder / "train-images-idx3-ubyte.gz").exists():
        folder = _torchvision_folder("FashionMNIST", folder, download) / "FashionMNIST" / "raw"
    parts = [_read_idx(folder / f"{name}.gz") for name in _IDX_FILES]
    return ImageData("fashion_mnist", parts[0][:, None], parts[1], parts[2][:, None], parts[3],
                     10, (72.94,), (90.02,))  # fmt: skip


@datasets.register("cifar10")
def load_cifar10(folder: Path, download: bool) -> ImageData:
    """60,000 colour photographs of 32 x 32 pixels in 10 classes: 50,000 train, 10,000 test.

    Training images are flipped and shifted at random; mean and deviation are the paper's.
    """
    from torchvision.datasets import CIFAR10

    folder = _torchvision_folder("CIFAR10", folder, download)
    halves = []
    for train in (True, False):
        half = CIFAR10(str(folder), train=train)
        halves.append(torch.from_numpy(half.data).permute(0, 3, 1, 2).contiguous())
        halves.append(torch.tensor(half.targets))
    mean, std = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)
    return ImageData(
        "cifar10", halves[0], halves[1], halves[2], halves[3], 10, mean, std, augment=True
    )


_IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def _torchvision_folder(name: str, folder: Path, download: bool) -> Path:
    """The folder, once torchvision finds its files in it or has fetched them."""
    import torchvision

    try:
        getattr(torchvision.datasets, name)(str(folder), download=download)
    except RuntimeError as error:
        raise FileNotFoundError(
            f"The files of {name} are not in '{folder}' ({str(error).splitlines()[0]}); "
            f"name the folder that holds them, or allow a download (--data.download)."
        ) from error
    return folder


def _read_idx(path: Path) -> Tensor:
    """An idx file of bytes: two zeros, a type, the number of dimensions, their sizes, data."""
    if not path.exists():
        raise FileNotFoundError(f"'{path.name}' is missing in '{path.parent}'.")
    try:
        raw = gzip.decompress(path.read_bytes())
        dims = raw[3]
        shape = np.frombuffer(raw, ">u4", dims, 4).astype(int)
        values = np.frombuffer(raw, np.uint8, offset=4 + 4 * dims).reshape(shape)
    except (EOFError, OSError, IndexError, ValueError) as error:
        raise ValueError(f"'{path}' is damaged or no gzipped idx file: {error}.") from error
    return torch.from_numpy(values.astype(np.int64) if dims == 1 else values.copy())
