"""What the training loop costs beside a plain PyTorch loop, on a CIFAR-shaped ResNet-18.

    python experiments/benchmarks/training.py

Both loops train torchvision's ResNet-18 (dense; its first convolution 3 x 3 without pooling, as
is usual for 32 x 32 pixels) on the same synthetic images with the same batches, SGD and learning
rate. They take turns, an epoch of a few steps each, so that other work on the machine meets both
alike; the ratio of a turn is that of its two times, and the median over the turns is reported.

Device: two CPU cores, about a minute; a GPU where there is one. Prints one line.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
import torchvision
import tyro
from torch import nn

from relmp.training import ImageData, TrainConfig
from relmp.training.data import plan_epoch
from relmp.training.loop import train_epochs
from relmp.training.state import TrainState


@dataclass(frozen=True)
class Benchmark:
    """Time both loops.

    Args:
        turns: How often they take turns.
        steps: Steps an epoch.
        batch_size: Images a step.
        device: cpu, cuda, ...; a GPU where there is one by default.
    """

    turns: int = 15
    steps: int = 2
    batch_size: int = 16
    device: str = "cuda" if torch.cuda.is_available() else "cpu"

    def run(self) -> None:
        device = torch.device(self.device)
        data = synthetic(self.steps * self.batch_size).to(device)
        config = TrainConfig(epochs=self.turns + 1, batch_size=self.batch_size, lr=0.01)
        plain_model, model = resnet18().to(device), resnet18()
        optimizer = torch.optim.SGD(
            plain_model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, nesterov=True
        )
        records = train_epochs(TrainState(model, config, device), data)
        images = self.steps * self.batch_size
        ours, plain = [], []
        for epoch in range(self.turns + 1):
            # The speed of a record is that of training alone, without the evaluation.
            ours.append(images / next(records)["images_per_second"])
            plain.append(plain_epoch(plain_model, data, config, optimizer, epoch))
        ours, plain = ours[1:], plain[1:]  # the first turn warms up
        ratios = [a / b for a, b in zip(ours, plain, strict=True)]
        print(
            f"{device}, {torch.get_num_threads()} threads, batch {self.batch_size}: relmp "
            f"{images / statistics.median(ours):.1f} images/s, plain loop "
            f"{images / statistics.median(plain):.1f} images/s; time of relmp over that of the "
            f"plain loop: median {statistics.median(ratios):.3f}, {min(ratios):.3f} to "
            f"{max(ratios):.3f} in {self.turns} turns of {self.steps} steps"
        )


def plain_epoch(
    model: nn.Module,
    data: ImageData,
    config: TrainConfig,
    optimizer: torch.optim.Optimizer,
    epoch: int,
) -> float:
    """An epoch as a tutorial writes it, images normalised beforehand; returns its seconds."""
    images, labels = data.normalise(data.train_images), data.train_labels
    steps = plan_epoch(len(labels), config.batch_size, seed=config.seed, epoch=epoch)
    batches = [step.indices.to(labels.device) for step in steps]
    model.train()
    synchronise(labels.device)
    began = time.perf_counter()
    for batch in batches:
        loss = F.cross_entropy(model(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    synchronise(labels.device)
    return time.perf_counter() - began


def resnet18() -> nn.Module:
    """torchvision's ResNet-18 for images of 32 x 32 pixels in 10 classes."""
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=10)
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model


def synthetic(count: int) -> ImageData:
    """Noise in the shape of CIFAR-10, shifted and flipped in training as CIFAR-10 is."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.arange(count) % 10
    return ImageData(
        "noise", images, labels, images[:10], labels[:10], 10, (127.5,) * 3, (73.9,) * 3,
        flip=True, shift=4,
    )  # fmt: skip


def synchronise(device: torch.device) -> None:
    """Wait for the GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
