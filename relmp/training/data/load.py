"""Data sets by name, whole or in part."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial, update_wrapper
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from relmp.registry import OpenRegistry, parse_call
from relmp.training.data.arrays import HELD_OUT
from relmp.training.data.dataset import DataSet
from relmp.training.data.given import GIVEN, as_data_set, call_loader
from relmp.training.data.image_folder import CROP, FolderData, warn_of_enlarging

Loader: TypeAlias = Callable[..., DataSet]
"""``(folder, download) -> data``; what else it takes by name is written behind its own name."""


class _Loaders(OpenRegistry[Loader]):
    """Loaders by name, or by a name and what it takes: ``"sequence_memory(length=3)"``."""

    def __getitem__(self, name: str) -> Loader:
        if name in self or not isinstance(name, str) or "(" not in name:
            return super().__getitem__(name)
        task, arguments = parse_call(name)
        loader = super().__getitem__(task)
        parameters = list(inspect.signature(loader).parameters)
        options = [name for name in parameters if name not in ("folder", "download")]
        if unknown := set(arguments) - set(options):
            raise ValueError(
                f"Data set '{task}' has no option '{min(unknown)}'; its options are "
                f"{', '.join(options) or 'none'}."
            )
        bound = partial(loader, **arguments)
        return bound if self.is_foreign(name) else update_wrapper(bound, loader)

    def is_foreign(self, name: str) -> bool:
        """Whether finding it imports what is not registered; whatever it takes."""
        return super().is_foreign(name.partition("(")[0])


DATASETS: OpenRegistry[Loader] = _Loaders("data set")


def load_data(
    data: Any,
    *,
    folder: str | Path = "data",
    download: bool = False,
    image_size: int | None = None,
    crop: float = CROP,
    held_out: float = HELD_OUT,
    train_size: int | float | None = None,
    validation: float = 0.0,
    subset_seed: int = 0,
) -> DataSet:
    """A data set by name.

    Args:
        data: A registered name (``digits`` needs no files, ``folder`` reads any folder of
            images; ``"sequence_memory(length=3)"`` says how), ``"package.module:Name"`` of what
            gives a data set, or data as of
            :func:`relmp.training.data.as_data_set`.
        folder: Where the files lie.
        download: Whether missing files are fetched into ``folder``; their checksums are
            verified.
        image_size: Height and width that the images of a folder are brought to; 224 by default.
        crop: Smallest share of its area that a training image of a folder is cropped to.
        held_out: Share of every class that becomes the test set where there is none.
        train_size: Keep only so many training images, or this share of them if it is a
            fraction.
        validation: Share of the kept images that are held out for validation.
        subset_seed: Decides which are kept and held out; the same choice in every run.

    Raises:
        ValueError: If the name is unknown or a number out of its range.
        FileNotFoundError: If the files are not there and ``download`` is False.
    """
    if isinstance(data, str):
        loaded = _by_name(data, Path(folder), download, held_out)
    else:
        loaded = as_data_set(data, held_out=held_out)
    if image_size is not None:
        if not isinstance(loaded, FolderData):
            raise ValueError(
                f"image_size is for folders of images; those of {loaded.name} are "
                f"{list(loaded.input_shape)} and stay so."
            )
        loaded = replace(loaded, image_size=image_size)
    elif data == "folder" and isinstance(loaded, FolderData):
        warn_of_enlarging(loaded, folder)
    if crop != CROP:
        if not isinstance(loaded, FolderData):
            raise ValueError(f"crop is for folders of images, and {loaded.name} is none.")
        loaded = replace(loaded, crop=crop)
    if held_out != HELD_OUT and isinstance(loaded, FolderData):
        loaded = loaded.hold_out(held_out)
    if train_size is None and not validation:
        return loaded
    kept = _kept(loaded, train_size)
    held = round(validation * kept)
    if validation and not 1 <= held < kept:
        raise ValueError(
            f"A validation share of {validation} of {kept} training images is {held} images; "
            f"it must leave some on both sides."
        )
    if held and loaded.size("validation"):
        raise ValueError(
            f"{loaded.name} has {loaded.size('validation')} validation images of its own; leave "
            f"validation out."
        )
    order = np.random.RandomState(subset_seed).permutation(loaded.size("train"))
    train, validated = np.sort(order[: kept - held]), np.sort(order[kept - held : kept])
    return loaded.keep(train, validated if held else None)


def _by_name(name: str, folder: Path, download: bool, held_out: float) -> DataSet:
    if name in GIVEN:
        return GIVEN[name]
    if "@" in name and ":" not in name:
        raise ValueError(
            f"The data '{name}' were given from Python and are not kept; give them again "
            f"(data=...)."
        )
    loader = DATASETS[name]
    if DATASETS.is_foreign(name):
        return call_loader(loader, name, folder, download, held_out)
    return loader(folder, download)


def _kept(data: DataSet, train_size: int | float | None) -> int:
    available = data.size("train")
    if train_size is None:
        return available
    kept = round(train_size * available) if isinstance(train_size, float) else train_size
    if not 1 <= kept <= available:
        raise ValueError(
            f"train_size must lie between 1 and {available}, the training images of "
            f"{data.name}, or be a fraction (0.1) of them, but is {train_size}."
        )
    return kept
