"""Data sets of the user's: given as objects, or named by what gives them."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from relmp.training.data.arrays import HELD_OUT, image_data
from relmp.training.data.dataset import DataSet
from relmp.training.data.torch_data import torch_data

GIVEN: dict[str, DataSet] = {}
"""The data sets that this process was given as objects, by the names that runs have of them."""


def as_data_set(data: Any, *, name: str | None = None, held_out: float = HELD_OUT) -> DataSet:
    """Whatever can be trained on, as a data set.

    Args:
        data: A data set of relmp; a PyTorch data set or loader; arrays ``(images, labels)``; two
            of these, ``(train, test)``; four arrays, ``(images, labels, test images, test
            labels)``; or a mapping with ``"train"``, ``"test"`` and ``"validation"``.
        name: Its name; a hash of it by default.
        held_out: Share of every class that becomes the test set where there is none.

    Raises:
        ValueError: If it is none of these, or labels are no classes.
    """
    if hasattr(data, "training_batches"):
        found: DataSet = data
        return found
    parts = _parts(data)
    kinds = {_is_torch(part) for part in parts if part is not None}
    if kinds == {True} and not all(_tensors(part) for part in parts if part is not None):
        return torch_data(*parts, name=name, held_out=held_out)
    if True in kinds and False in kinds:
        raise ValueError("Training and test data must be both arrays or both data sets.")
    pairs = [None if part is None else _pair(part) for part in parts]
    return image_data(pairs[0], *pairs[1:], name=name, held_out=held_out)  # type: ignore[arg-type]


def name_data(data: Any, *, held_out: float = HELD_OUT) -> str:
    """The name by which runs and sweeps of this process take a data set that is given as an object.

    It holds a hash of the data, so that other data are another run; the data are not kept on disk.

    Args:
        data: As of :func:`as_data_set`.
        held_out: Likewise.
    """
    found = as_data_set(data, held_out=held_out)
    name = found.name
    if "@" not in name:
        name = f"{name}@{found.describe()['fingerprint']}"
    GIVEN[name] = found
    return name


def call_loader(loader: Any, name: str, folder: Path, download: bool, held_out: float) -> DataSet:
    """The data set that a class or function of the user's gives.

    It is called with ``folder`` and ``download`` where it has arguments of these names.
    """
    known = {"folder": folder, "download": download}
    parameters = inspect.signature(loader).parameters
    wanted = {key: value for key, value in known.items() if key in parameters}
    try:
        made = loader(**wanted)
    except TypeError as error:
        raise ValueError(
            f"Data set '{name}' cannot be made: {error}; it is called without arguments, or with "
            f"folder and download."
        ) from error
    if batch_size_of(made) is not None:
        warnings.warn(
            f"The loaders of '{name}' have batches of {batch_size_of(made)}, which a run that "
            f"names its data does not take; set batch_size, or give the data sets.",
            stacklevel=2,
        )
    found = as_data_set(made, name=name, held_out=held_out)
    return replace(found, name=name) if hasattr(found, "__dataclass_fields__") else found  # type: ignore[type-var]


def batch_size_of(data: Any) -> int | None:
    """The batch size of a loader, where data are given by one."""
    first = data[0] if isinstance(data, tuple | list) and data else data
    first = first.get("train") if isinstance(first, Mapping) else first
    return first.batch_size if isinstance(first, DataLoader) else None


def _parts(data: Any) -> list[Any]:
    """Train, test and validation; None where there is none."""
    if isinstance(data, type):
        raise ValueError(f"{data.__name__} is a class; give an object of it, {data.__name__}(...).")
    if isinstance(data, Mapping):
        unknown = [key for key in data if key not in ("train", "test", "validation")]
        if unknown or "train" not in data:
            raise ValueError(
                f"Data are given by 'train', 'test' and 'validation', but "
                f"{unknown[0] if unknown else 'train'!r} is {'unknown' if unknown else 'missing'}."
            )
        return [data["train"], data.get("test"), data.get("validation")]
    if isinstance(data, tuple | list):
        if len(data) == 4:
            return [(data[0], data[1]), (data[2], data[3]), None]
        if len(data) == 2 and all(_is_torch(p) or isinstance(p, tuple | list) for p in data):
            inner = [p for p in data if not _is_torch(p)]
            if all(len(p) == 2 and np.ndim(p[0]) > 1 for p in inner):
                return [data[0], data[1], None]
        if len(data) == 2:
            return [data, None, None]
    elif _is_torch(data):
        return [data, None, None]
    raise ValueError(
        f"data must be the name of a data set, a data set of relmp's or PyTorch's, or arrays "
        f"(images, labels), but is {_shown(data)}."
    )


def _is_torch(data: Any) -> bool:
    """Whether these are items to be read one by one, rather than a pair of arrays."""
    if isinstance(data, Dataset | DataLoader):
        return True
    is_plain = isinstance(data, tuple | list | Mapping | str | np.ndarray | Tensor)
    return not is_plain and hasattr(data, "__getitem__")


def _tensors(data: Any) -> bool:
    return type(data) is TensorDataset and len(data.tensors) == 2


def _pair(part: Any) -> tuple[Any, Any]:
    images, labels = part.tensors if _tensors(part) else part
    return images, labels


def _shown(data: Any) -> str:
    text = repr(data)
    return text if len(text) < 60 else f"a {type(data).__name__}"
