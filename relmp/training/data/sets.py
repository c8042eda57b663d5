"""The data sets that come with a name."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from relmp.training.data.image_data import ImageData, channel_statistics
from relmp.training.data.image_folder import FolderData, find_images
from relmp.training.data.load import DATASETS

Parts: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]
"""Images and labels to train, and to test."""


@DATASETS.register("digits")
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
    statistics = channel_statistics(images[train])
    return ImageData(
        "digits", images[train], labels[train], images[test], labels[test], 10, *statistics
    )


@DATASETS.register("noise")
def load_noise(folder: Path, download: bool) -> ImageData:
    """Random pixels, 3 x 64 x 64, in 10 classes: 256 train, 64 test; to try or time large models.

    Always the same. There is nothing in them to be learned.
    """
    draw = np.random.RandomState(0)
    images = torch.from_numpy(draw.randint(256, size=(320, 3, 64, 64), dtype=np.uint8))
    labels = torch.from_numpy(draw.randint(10, size=320))
    statistics = channel_statistics(images[:256])
    return ImageData(
        "noise", images[:256], labels[:256], images[256:], labels[256:], 10, *statistics
    )


@DATASETS.register("fashion_mnist")
def load_fashion_mnist(folder: Path, download: bool) -> ImageData:
    """70,000 pictures of clothes, 28 x 28 grey pixels: 60,000 train, 10,000 test.

    ``folder`` may hold the four idx files as published (``train-images-idx3-ubyte.gz``, ...),
    or what torchvision makes of them.
    """
    parts = _idx_parts("FashionMNIST", folder, download)
    names = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker",
             "bag", "ankle boot")  # fmt: skip
    return ImageData("fashion_mnist", *parts, 10, (72.94,), (90.02,), class_names=names)


@DATASETS.register("mnist")
def load_mnist(folder: Path, download: bool) -> ImageData:
    """70,000 handwritten digits, 28 x 28 grey pixels: 60,000 train, 10,000 test.

    ``folder`` may hold the four idx files as published, or what torchvision makes of them.
    """
    parts = _idx_parts("MNIST", folder, download)
    return ImageData("mnist", *parts, 10, (33.32,), (78.57,))


@DATASETS.register("cifar10")
def load_cifar10(folder: Path, download: bool) -> ImageData:
    """60,000 colour photographs of 32 x 32 pixels in 10 classes: 50,000 train, 10,000 test.

    Training images are flipped and shifted at random; mean and deviation are the paper's.
    """
    mean, std = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)
    return _cifar("cifar10", "CIFAR10", folder, download, mean, std)


@DATASETS.register("cifar100")
def load_cifar100(folder: Path, download: bool) -> ImageData:
    """60,000 colour photographs of 32 x 32 pixels in 100 classes: 50,000 train, 10,000 test.

    Training images are flipped and shifted at random.
    """
    mean, std = (129.3, 124.1, 112.4), (68.2, 65.4, 70.4)
    return _cifar("cifar100", "CIFAR100", folder, download, mean, std)


@DATASETS.register("svhn")
def load_svhn(folder: Path, download: bool) -> ImageData:
    """99,289 house numbers, 32 x 32 colour pixels: 73,257 train, 26,032 test.

    Training images are shifted at random, not flipped.
    """
    train, test = (
        _torchvision("SVHN", folder, download, split=split) for split in ("train", "test")
    )
    parts: Parts = (*_svhn_half(train), *_svhn_half(test))
    mean, std = (111.6, 113.2, 120.6), (50.5, 51.3, 50.2)
    return ImageData("svhn", *parts, 10, mean, std, shift=4)


@DATASETS.register("folder")
def load_folder(folder: Path, download: bool) -> FolderData:
    """Any folder of images, one subfolder a class; see :func:`find_images`."""
    return find_images(folder)


@DATASETS.register("imagenet")
def load_imagenet(folder: Path, download: bool) -> FolderData:
    """ImageNet-1k: 1,281,167 photographs in 1,000 classes, and 50,000 to test.

    ``folder`` holds ``train/<class>/*.JPEG`` and ``val/<class>/*.JPEG``, as
    ``torchvision.datasets.ImageNet`` unpacks the archives of its publishers; it cannot be
    downloaded.
    """
    if not (folder / "train").is_dir() or not (folder / "val").is_dir():
        raise FileNotFoundError(
            f"ImageNet needs the folders 'train' and 'val' in '{folder}', and cannot be "
            f"downloaded; get the archives from image-net.org and unpack them with "
            f"torchvision.datasets.ImageNet."
        )
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    return find_images(folder, "imagenet", mean=mean, std=std)


def _cifar(
    name: str,
    torchvision_name: str,
    folder: Path,
    download: bool,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> ImageData:
    train, test = (
        _torchvision(torchvision_name, folder, download, train=train) for train in (True, False)
    )
    parts: Parts = (*_cifar_half(train), *_cifar_half(test))
    names = tuple(train.classes)
    return ImageData(name, *parts, len(names), mean, std, flip=True, shift=4, class_names=names)


def _cifar_half(half: Any) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(half.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(half.targets)


def _svhn_half(half: Any) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(half.data), torch.from_numpy(half.labels.astype(np.int64))


def _idx_parts(name: str, folder: Path, download: bool) -> Parts:
    if not (folder / f"{_IDX_FILES[0]}.gz").exists():
        _torchvision(name, folder, download)
        folder = folder / name / "raw"
    images, labels, test_images, test_labels = (
        _read_idx(folder / f"{file}.gz") for file in _IDX_FILES
    )
    return images[:, None], labels, test_images[:, None], test_labels


_IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def _torchvision(name: str, folder: Path, download: bool, **options: Any) -> Any:
    """torchvision's data set, its files found in the folder or fetched into it.

    torchvision compares the files of CIFAR and SVHN, and every download, with their checksums.
    """
    import torchvision

    try:
        return getattr(torchvision.datasets, name)(str(folder), download=download, **options)
    except RuntimeError as error:
        raise FileNotFoundError(
            f"The files of {name} are not in '{folder}', or not whole "
            f"({str(error).splitlines()[0]}); name the folder that holds them, or allow a "
            f"download (--download)."
        ) from error


def _read_idx(path: Path) -> Tensor:
    """An idx file of bytes: two zeros, a type, the number of dimensions, their sizes, data."""
    if not path.exists():
        raise FileNotFoundError(f"'{path.name}' is missing in '{path.parent}'.")
    try:
        raw = gzip.decompress(path.read_bytes())
        dims = raw[3]
        shape = np.frombuffer(raw, ">u4", dims, 4).astype(int)
        values = np.frombuffer(raw, np.uint8, offset=4 + 4 * dims).reshape(shape)
    except (EOFError, OSError, IndexError, ValueError, zlib.error) as error:
        raise ValueError(f"'{path}' is damaged or no gzipped idx file: {error}.") from error
    return torch.from_numpy(values.astype(np.int64) if dims == 1 else values.copy())
