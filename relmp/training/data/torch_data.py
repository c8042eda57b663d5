"""PyTorch data sets, read item by item as their own transforms give them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from relmp.training.data.arrays import HELD_OUT, as_labels, channels_last, hold_out
from relmp.training.data.dataset import (
    WHOLE,
    Batch,
    Part,
    Step,
    description,
    evaluation_batch,
    fingerprint,
)
from relmp.training.data.image_data import channel_statistics
from relmp.training.data.image_files import ReadingPlan

LOOKED_AT = 64
"""So many items, spread over a part, are in the fingerprint."""
MEASURED = 1000
"""Of so many training items of bytes mean and deviation are measured."""


class _Wanted(NamedTuple):
    part: str
    place: int
    seed: int


@dataclass(frozen=True)
class TorchData:
    """A classification data set of PyTorch's: items ``(image, label)`` that its transforms make.

    What a transform draws for an item depends on the seed of its step and its place there. Pictures
    and bytes are normalised by measured mean and deviation, floats are taken as they are.

    Args:
        name: Its name.
        parts: The data sets by ``"train"``, ``"test"`` and ``"validation"``.
        labels: Their labels, int64 ``[N]``.
        class_names: Names of the classes; empty where they are numbers.
        workers: Processes that read items; 0 reads in this one.
        device: Where the batches are put.

    Raises:
        ValueError: If an item is no image with a class, or images differ in size.
    """

    name: str
    parts: dict[str, Dataset[Any]]
    labels: dict[str, Tensor]
    class_names: tuple[str, ...] = ()
    workers: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    input_shape: tuple[int, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.input_shape:
            return
        some = _some(self, "train", MEASURED)
        shapes = {tuple(image.shape) for image in some}
        if len(shapes) > 1:
            raise ValueError(
                f"The images of {self.name} have several sizes ({sorted(shapes)[:2]}); give the "
                f"data set a transform that brings them to one."
            )
        if not all(bool(torch.isfinite(image).all()) for image in some):
            raise ValueError(f"Some images of {self.name} hold numbers that are not finite.")
        shape = shapes.pop()
        mean, std = (0.0,) * shape[0], (1.0,) * shape[0]
        if some[0].dtype == torch.uint8:
            mean, std = channel_statistics(torch.stack(some))
        for name, value in (("input_shape", shape), ("mean", mean), ("std", std)):
            object.__setattr__(self, name, value)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        found = [int(labels.max()) + 1 for labels in self.labels.values() if len(labels)]
        return max(2, len(self.class_names), *found)

    def size(self, part: Part) -> int:
        """How many items a part has."""
        return len(self.labels.get(part, ()))

    def to(self, device: torch.device) -> TorchData:
        """The same data, giving its batches on a device."""
        return self if device == self.device else replace(self, device=device)

    def keep(
        self, train: np.ndarray[Any, Any], validation: np.ndarray[Any, Any] | None
    ) -> TorchData:
        """The same data with these of the training items, and those held out."""
        whole, labels = self.parts["train"], self.labels["train"]
        parts = {**self.parts, "train": Subset(whole, train.tolist())}
        known = {**self.labels, "train": labels[train]}
        if validation is not None:
            parts["validation"] = Subset(whole, validation.tolist())
            known["validation"] = labels[validation]
        return replace(self, parts=parts, labels=known)

    def training_batches(self, steps: Iterable[Step], share: slice = WHOLE) -> Iterator[Batch]:
        """The batches of these steps; ``share`` is what a process takes of each."""

        def wanted(step: Step) -> list[_Wanted]:
            places = range(len(step.indices))[share]
            found = zip(step.indices[share].tolist(), places, strict=True)
            return [_Wanted("train", index, step.seed + place) for index, place in found]

        return self._read(wanted(step) for step in steps)

    def batches(self, part: Part, share: slice = WHOLE) -> Iterator[Batch]:
        """A part in order; ``share`` is what a process takes of it."""
        size = evaluation_batch(self.input_shape)
        wanted = [_Wanted(part, place, place) for place in range(self.size(part))][share]
        return self._read(wanted[i : i + size] for i in range(0, len(wanted), size))

    def describe(self) -> dict[str, Any]:
        """What a checkpoint says of the data: plain values, compared on resume."""
        return description(
            self,
            augmentation="its own",
            fingerprint=self.fingerprint(),
        )

    def fingerprint(self) -> str:
        """A hash of all labels and of some images of every part."""
        pieces = [self.labels[part].numpy().tobytes() for part in self.parts]
        pieces += [
            image.contiguous().numpy().tobytes()
            for part in self.parts
            for image in _some(self, part, LOOKED_AT)
        ]
        return fingerprint(pieces)

    def _read(self, planned: Iterable[list[_Wanted]]) -> Iterator[Batch]:
        mean, std = (
            torch.tensor(v, device=self.device).view(-1, 1, 1) for v in (self.mean, self.std)
        )
        plan = ReadingPlan()
        plan.batches = planned  # type: ignore[assignment]
        loader: DataLoader[Any] = DataLoader(
            _Items(self.name, self.parts), batch_sampler=plan, num_workers=self.workers,
            generator=torch.Generator(),
        )  # fmt: skip
        for images, labels in loader:
            images = images.to(self.device, non_blocking=True)
            yield (images.float() - mean) / std, labels.to(self.device, non_blocking=True)


class _Items(Dataset[Any]):
    def __init__(self, name: str, parts: dict[str, Dataset[Any]]) -> None:
        self.name, self.parts = name, parts

    def __getitem__(self, wanted: _Wanted) -> tuple[Tensor, int]:
        with _seeded(wanted.seed):
            item = _item(self.parts[wanted.part], wanted.place, self.name)
        image, label = _pair(item, self.name)
        return as_image(image), int(label)


def torch_data(
    train: Any, test: Any = None, validation: Any = None, *,
    name: str | None = None, held_out: float = HELD_OUT,
) -> TorchData:  # fmt: skip
    """PyTorch data sets, or loaders of them, as a data set that is trained on.

    Of a loader its data set and workers are taken; the order is that of the training.

    Args:
        train, test, validation: Data sets with a length; without ``test`` a share of every class
            is held out of ``train``.
        name: Its name; that of its class and a hash of it by default.
        held_out: That share.

    Raises:
        ValueError: If one has no length, or labels that are no classes.
    """
    workers = max(getattr(loader, "num_workers", 0) for loader in (train, test, validation))
    given = {"train": train, "test": test, "validation": validation}
    parts = {part: _data_set(data) for part, data in given.items() if data is not None}
    for part, found in parts.items():
        if not len(found):  # type: ignore[arg-type]
            raise ValueError(f"{type(found).__name__} holds no images for '{part}'.")
    labels = {part: labels_of(data) for part, data in parts.items()}
    if test is None:
        held = hold_out(labels["train"].numpy(), held_out)
        whole, known = parts["train"], labels["train"]
        for part, chosen in (("test", held), ("train", ~held)):
            places = np.flatnonzero(chosen)
            parts[part], labels[part] = Subset(whole, places.tolist()), known[places]
    whole = parts["train"]
    while isinstance(whole, Subset):
        whole = whole.dataset
    names = tuple(map(str, getattr(whole, "classes", ())))
    label = name or type(whole).__name__
    data = TorchData(label, parts, labels, names, workers)
    return data if name else replace(data, name=f"{label}@{data.fingerprint()}")


def labels_of(data: Any) -> Tensor:
    """The labels of a PyTorch data set: as it lists them, else read with its items.

    Raises:
        ValueError: If they are no classes.
    """
    if isinstance(data, Subset):
        return labels_of(data.dataset)[torch.as_tensor(list(data.indices), dtype=torch.int64)]
    if getattr(data, "target_transform", None) is None:
        for name in ("targets", "labels"):
            listed = getattr(data, name, None)
            if listed is not None and len(listed) == len(data):
                return as_labels(listed)
    name = type(data).__name__
    places = range(len(data))
    return as_labels([_plain(_pair(_item(data, place, name), name)[1]) for place in places])


def as_image(image: Any) -> Tensor:
    """An item's image as ``[C, H, W]``: a tensor, a picture, or an array (also ``[H, W, C]``)."""
    if isinstance(image, Tensor):
        found = image.detach()
    elif hasattr(image, "getbands"):
        from torchvision.transforms.v2.functional import pil_to_tensor

        found = pil_to_tensor(image)
    else:
        found = torch.as_tensor(np.asarray(image))
    if found.dtype != torch.uint8:
        found = found.float()
    if found.dim() == 3 and channels_last(found.shape):
        found = found.movedim(-1, 0)
    if found.dim() > 3 or found.dim() < 1:
        raise ValueError(f"An image is [C, H, W], but {list(found.shape)} was given.")
    return found[(None,) * (3 - found.dim())]


def _data_set(data: Any) -> Dataset[Any]:
    if isinstance(data, DataLoader):
        sampler = type(data.sampler).__name__
        if sampler not in ("RandomSampler", "SequentialSampler", "_InfiniteConstantSampler"):
            raise ValueError(
                f"The loader draws by a {sampler} of its own, which training would not follow; "
                f"give the data set."
            )
        data = data.dataset
    if not hasattr(data, "__len__") or not hasattr(data, "__getitem__"):
        raise ValueError(
            f"{type(data).__name__} has no length or cannot be indexed, so an epoch cannot be "
            f"drawn from it; give a data set with __len__ and __getitem__, or arrays."
        )
    found: Dataset[Any] = data
    return found


def _item(data: Any, place: int, name: str) -> Any:
    try:
        return data[place]
    except Exception as error:
        raise ValueError(
            f"Item {place} of {name} cannot be read ({type(error).__name__}: {error})."
        ) from error


def _pair(item: Any, name: str) -> tuple[Any, Any]:
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise ValueError(
            f"An item of {name} is an image and its label, but {type(item).__name__} was given."
        )
    return item[0], item[1]


def _plain(label: Any) -> Any:
    return label.tolist() if hasattr(label, "tolist") else label


def _some(data: TorchData, part: str, count: int) -> list[Tensor]:
    items, size = _Items(data.name, data.parts), len(data.labels[part])
    places = np.unique(np.linspace(0, size - 1, min(count, size)).astype(int)).tolist()
    return [items[_Wanted(part, place, 0)][0] for place in places]


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Whatever a transform draws by follows from the seed, and is left as it was found."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
