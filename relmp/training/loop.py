"""The training loop: one page, read from top to bottom."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from relmp.training.config import TrainConfig
from relmp.training.data import ImageData, augmented

Record: TypeAlias = dict[str, Any]
"""One epoch: epoch (from 1), lr, train_loss, train_error, test_loss, test_error, seconds."""


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum over all parameters."""
    return torch.optim.SGD(
        model.parameters(),
        lr=config.lr,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.momentum > 0,
    )


def train_epochs(
    model: nn.Module,
    data: ImageData,
    config: TrainConfig,
    optimizer: torch.optim.Optimizer,
    start: int = 0,
) -> Iterator[Record]:
    """Train epoch by epoch and yield a record after each; errors are in percent.

    What an epoch draws depends on the seed and its number alone, so a run that goes on from
    epoch ``start`` is the run that was never stopped.

    Raises:
        FloatingPointError: If the loss becomes infinite or NaN.
    """
    images, labels = data.normalise(data.train_images), data.train_labels
    test_images = data.normalise(data.test_images)
    # The last, smaller batch of an epoch is left out, unless it is the only one.
    batch_size = min(config.batch_size, len(images))
    for epoch in range(start, config.epochs):
        began = time.perf_counter()
        lr = config.learning_rate(epoch)
        for group in optimizer.param_groups:
            group["lr"] = lr
        loss_sum = torch.zeros((), device=images.device)
        wrong = torch.zeros((), device=images.device, dtype=torch.int64)
        model.train()
        with torch.random.fork_rng():
            torch.manual_seed(_epoch_seed(config.seed, epoch))
            generator = torch.Generator().manual_seed(torch.initial_seed())
            order = torch.randperm(len(images), generator=generator).to(images.device)
            steps = len(order) // batch_size
            for batch in order[: steps * batch_size].split(batch_size):
                x, y = images[batch], labels[batch]
                if data.augment:
                    x = augmented(x, generator)
                scores = model(x)
                loss = F.cross_entropy(scores, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loss_sum += loss.detach()
                wrong += (scores.detach().argmax(1) != y).sum()
        train_loss = float(loss_sum) / steps
        if not torch.isfinite(loss_sum):
            raise FloatingPointError(
                f"The training loss became {train_loss} in epoch {epoch + 1} at learning rate "
                f"{lr:.3g}; lower lr."
            )
        test_loss, test_error = evaluate(model, test_images, data.test_labels)
        yield {
            "epoch": epoch + 1,
            "lr": lr,
            "train_loss": train_loss,
            "train_error": 100 * int(wrong) / (steps * batch_size),
            "test_loss": test_loss,
            "test_error": test_error,
            "seconds": time.perf_counter() - began,
        }


def evaluate(
    model: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 1000
) -> tuple[float, float]:
    """Mean cross-entropy and error in percent, in evaluation mode, on normalised images."""
    scores = predict_scores(model, images, batch_size)
    loss = float(F.cross_entropy(scores, labels))
    return loss, 100 * float((scores.argmax(1) != labels).double().mean())


def predict_scores(model: nn.Module, images: Tensor, batch_size: int = 1000) -> Tensor:
    """Class scores ``[N, num_classes]`` of normalised images, in evaluation mode."""
    model.eval()
    with torch.no_grad():
        return torch.cat([model(batch) for batch in images.split(batch_size)])


def _epoch_seed(seed: int, epoch: int) -> int:
    # Far apart for neighbouring seeds and epochs, and never the seed of the initial weights.
    return (seed + 1) * 1_000_003 + epoch
