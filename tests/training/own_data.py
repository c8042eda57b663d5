"""Data of a user's, as a module that workers can import."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset
from torchvision.transforms import v2


def arrays(count: int = 200) -> tuple[Any, Any]:
    """Digits ``[N, H, W]`` and what they are."""
    found = load_digits()
    return found.images[:count], found.target[:count]


class Pictures(Dataset[Any]):
    """Pictures, shifted at random."""

    def __init__(self, count: int = 200) -> None:
        images, self.targets = arrays(count)
        self.images = (images * 15).astype(np.uint8)
        self.transform = v2.Compose([v2.RandomCrop(8, padding=1), v2.PILToTensor()])

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[place])), int(self.targets[place])


class Endless(IterableDataset[Any]):
    """Has no length."""

    def __iter__(self) -> Any:
        while True:
            yield torch.zeros(1, 8, 8), 0


class Odd(Pictures):
    """Pictures of two sizes."""

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        return torch.zeros(1, 8 + place % 2, 8), 0


class Broken(Pictures):
    """One of its items cannot be read."""

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        if place == 6:
            raise RuntimeError("disk on fire")
        return super().__getitem__(place)


def loaders() -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Two loaders."""
    return DataLoader(Pictures(), batch_size=16), DataLoader(Pictures(50), batch_size=16)
