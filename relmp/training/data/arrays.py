"""Arrays of images and labels, of NumPy or PyTorch, as a data set in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from relmp.training.data.dataset import fingerprint
from relmp.training.data.image_data import ImageData, channel_statistics

Pair: TypeAlias = tuple[Any, Any]
"""Images and labels."""

HELD_OUT = 0.2
"""Share of every class that becomes the test set where there is none."""


def hold_out(labels: Any, share: float) -> np.ndarray[Any, Any]:
    """Which items become the test set, always the same: this share of every class.

    Raises:
        ValueError: If no class has enough items.
    """
    rng, labels = np.random.RandomState(0), np.asarray(labels)
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        places = rng.permutation(np.flatnonzero(labels == label))
        held[places[: int(len(places) * share + 1e-9)]] = True
    if not held.any():
        raise ValueError(
            f"A share of {share:g} of every class is held out as the test set, but no class has "
            f"{round(1 / share) if share else 'that many'} images; add some, or give the test set "
            f"apart."
        )
    return held


def image_data(
    train: Pair, test: Pair | None = None, validation: Pair | None = None, *,
    name: str | None = None, held_out: float = HELD_OUT,
) -> ImageData:  # fmt: skip
    """A data set of arrays.

    Args:
        train, test, validation: Images and labels; without ``test`` a share of every class is held
            out of ``train``.
        name: Its name; ``"arrays@"`` and a hash of all there is by default.
        held_out: That share.

    Shapes:
        - **images** ``[N, C, H, W]``, ``[N, H, W]`` or ``[N, H, W, C]``, or ``[N, F]`` for vectors;
          bytes, or numbers
        - **labels** ``[N]``, whole numbers from 0

    Raises:
        ValueError: If they do not fit together, or labels are no classes.
    """
    images, labels = _images(train[0]), as_labels(train[1])
    if len(images) != len(labels):
        raise ValueError(f"There are {len(images)} images, but {len(labels)} labels.")
    if test is None:
        held = torch.from_numpy(hold_out(labels.numpy(), held_out))
        test_images, test_labels = images[held], labels[held]
        images, labels = images[~held], labels[~held]
    else:
        test_images, test_labels = _images(test[0]), as_labels(test[1])
    everything = [images, labels, test_images, test_labels]
    if validation is not None:
        everything += [_images(validation[0]), as_labels(validation[1])]
    if len({images.dtype, test_images.dtype}) > 1:
        raise ValueError(
            f"Training and test images must be of one type, but are {images.dtype} and "
            f"{test_images.dtype}."
        )
    classes = 1 + max(int(part.max()) for part in everything[1::2] if len(part))
    mark = fingerprint(part.contiguous().numpy().tobytes() for part in everything)
    statistics = channel_statistics(images)
    data = ImageData(
        name or f"arrays@{mark}", images, labels, test_images, test_labels, max(2, classes),
        *statistics,
    )  # fmt: skip
    if validation is None:
        return data
    return replace(data, val_images=everything[4], val_labels=everything[5])


def as_labels(labels: Any) -> Tensor:
    """Labels as int64 ``[N]``.

    Raises:
        ValueError: If they are no classes.
    """
    found = np.asarray(labels.cpu() if isinstance(labels, Tensor) else labels)
    whole = found.dtype.kind in "biu" or (
        found.dtype.kind == "f" and bool(np.isfinite(found).all() and (found % 1 == 0).all())
    )
    if found.ndim != 1 or not whole or (found.size and found.min() < 0):
        shown = found.ravel()[:3].tolist()
        raise ValueError(
            f"Labels are classes, whole numbers from 0 and one an image, but are "
            f"{found.dtype} {list(found.shape)} such as {', '.join(map(repr, shown))}; number the "
            f"classes."
        )
    return torch.from_numpy(found.astype(np.int64))


def _images(images: Any) -> Tensor:
    found = images.detach().cpu() if isinstance(images, Tensor) else np.asarray(images)
    if not isinstance(found, Tensor):
        if found.dtype.kind not in "biuf":
            raise ValueError(
                f"Images are numbers, but {found.dtype} was given; give arrays of bytes or floats."
            )
        found = torch.from_numpy(np.ascontiguousarray(found))
    if found.dtype != torch.uint8:
        found = found.float()
        if not bool(torch.isfinite(found).all()):
            raise ValueError("Some images hold numbers that are not finite.")
    if found.dim() == 4 and channels_last(found.shape[1:]):
        found = found.movedim(-1, 1)
    elif found.dim() == 3:
        found = found[:, None]
    elif found.dim() == 2:
        found = found[:, None, None]
    if found.dim() != 4:
        raise ValueError(
            f"Images are [N, C, H, W], [N, H, W], [N, H, W, C] or [N, F], but are "
            f"{list(found.shape)}."
        )
    return found.contiguous()


def channels_last(shape: Any) -> bool:
    """Whether the shape of one image reads ``(H, W, C)``."""
    return shape[-1] in (1, 3, 4) and shape[0] not in (1, 3, 4)
