"""MNIST-1D: signals of 40 numbers in ten classes, drawn by a program; nothing is downloaded.

The ten templates below are data of the package ``mnist1d`` (Greydanus and others, Apache-2.0);
the program is written from the paper and draws the same signals from the same seed.

Reference:
    Greydanus, Kobak, *Scaling Down Deep Learning with MNIST-1D*, ICML 2024, arXiv 2011.14439,
    section 2 and appendix A.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from relmp.checks import check_whole
from relmp.training.data.image_data import ImageData, channel_statistics
from relmp.training.data.load import DATASETS

Array = npt.NDArray[np.float64]

LENGTH = 40
"""Numbers in a signal."""
SEED = 42
"""Of the published data."""

TEMPLATES = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)
"""The shapes of the ten digits, 12 numbers each."""

_PADDING = (36, 60)  # numbers put behind a template
_STRETCHED = 12 + 60
_SCALE, _SHEAR = 0.4, 0.75
_SHIFTS = 48
_SMOOTH_NOISE, _NOISE = 0.25, 0.02


@DATASETS.register("mnist1d")
def load_mnist1d(folder: Path, download: bool) -> ImageData:
    """MNIST-1D with a larger test set: signals of 40 numbers, 4,000 train, 8,000 test."""
    return mnist1d(4_000, 8_000, name="mnist1d")


@DATASETS.register("mnist1d_published")
def load_published(folder: Path, download: bool) -> ImageData:
    """MNIST-1D as published: 4,000 train, 1,000 test."""
    return mnist1d(4_000, 1_000, name="mnist1d_published")


@DATASETS.register("mnist1d_large")
def load_large(folder: Path, download: bool) -> ImageData:
    """MNIST-1D with ten times the signals to train: 40,000 train, 8,000 test."""
    return mnist1d(40_000, 8_000, name="mnist1d_large")


def mnist1d(train: int, test: int, *, seed: int = SEED, name: str = "mnist1d") -> ImageData:
    """Signals to train and to test, images ``[N, 1, 1, 40]`` of float32.

    Args:
        train, test: How many; together a multiple of ten, as many of every class.
        seed: Decides what is drawn; no global random state is read or changed.
        name: Name of the data set.

    Raises:
        ValueError: If a number is out of its range.
    """
    check_whole("train", train, 1)
    check_whole("test", test, 1)
    check_whole("seed", seed, 0, 2**32 - 1)
    if (train + test) % len(TEMPLATES):
        raise ValueError(
            f"train and test signals are as many of each of the 10 classes, so together a "
            f"multiple of 10, but are {train} + {test}."
        )
    signals, labels = draw_signals(train + test, seed)
    images = torch.from_numpy(signals.astype(np.float32))[:, None, None, :]
    classes = torch.from_numpy(labels)
    mean, std = channel_statistics(images[:train])
    return ImageData(
        name, images[:train], classes[:train], images[train:], classes[train:], 10, mean, std
    )


def draw_signals(count: int, seed: int) -> tuple[Array, npt.NDArray[np.int64]]:
    """Signals ``[count, 40]`` in random order, of mean 0 and deviation 1, and classes ``[count]``.

    Every signal is a template put before zeros, stretched, scaled and shifted; where it is zero,
    smooth noise takes its place; then come noise everywhere, a slope, and 40 of its 72 points.
    """
    random = np.random.RandomState(seed)
    shapes = _shapes()
    labels = np.repeat(np.arange(len(shapes)), count // len(shapes))
    signals = np.stack([_draw(shapes[label], random) for label in labels])
    order = random.permutation(len(labels))
    signals, labels = signals[order], labels[order]
    return (signals - signals.mean()) / signals.std(), labels.astype(np.int64)


def _shapes() -> Array:
    """The templates standardised, to begin at zero, ``[10, 12]``."""
    shapes = np.array(TEMPLATES, dtype=np.float64)
    shapes -= shapes.mean(1, keepdims=True)
    shapes /= shapes.std(1, keepdims=True)
    shapes -= shapes[:, :1]
    return np.asarray(shapes / 6.0)


def _draw(shape: Array, random: np.random.RandomState) -> Array:
    from scipy.ndimage import gaussian_filter1d

    low, high = _PADDING
    zeros = low + int(random.rand() * (high - low + 1))
    # Not quite zero, so that a zero of the template is not taken for one of the padding.
    signal = _resampled(np.concatenate([shape + 1e-8, np.zeros(zeros)]), _STRETCHED)
    signal = signal * (1 + _SCALE * (random.rand() - 0.5))
    signal = np.roll(signal, random.choice(_SHIFTS))
    smooth: Any = gaussian_filter1d(_SMOOTH_NOISE * random.randn(_STRETCHED), 2)
    signal = np.where(signal != 0, signal, smooth)
    signal = signal + _NOISE * random.randn(_STRETCHED)
    slope = _SHEAR * (random.rand() - 0.5)
    return _resampled(signal - slope * np.linspace(-0.5, 0.5, _STRETCHED), LENGTH)


def _resampled(signal: Array, count: int) -> Array:
    places = np.linspace(0, 1, len(signal))
    return np.asarray(np.interp(np.linspace(0, 1, count), places, signal))
