"""The training loop: one page, read from top to bottom."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from relmp.training.config import TrainConfig
from relmp.training.data import DataSet, Part, Step, objective_of, plan_epoch
from relmp.training.device import peak_memory, seed_generators
from relmp.training.population.states import Population
from relmp.training.state import TrainState

Record: TypeAlias = dict[str, Any]
"""One epoch: epoch (from 1), lr, train_loss, train_error, those of validation (val_) and test where
they were evaluated, seconds, images_per_second (of training), peak_memory (MiB); where edges change
in training, train_flops: multiply-adds of training since the start."""

Pause: TypeAlias = Callable[[], None]
"""Called between steps, where everything may be saved and the run be stopped by raising."""

EVALUATED: tuple[tuple[Part, str], ...] = (("validation", "val"), ("test", "test"))


def train_epochs(
    state: TrainState, data: DataSet, *, pause: Pause = lambda: None
) -> Iterator[Record]:
    """Train epoch by epoch and yield a record after each; errors are in percent.

    What a step draws depends on the seed, its epoch and its number alone, so a run that goes on
    from any step is the run that was never stopped.

    Args:
        state: The model in training, at the place from which to go on.
        data: The data, on the device of the state.
        pause: Called after every step and every batch that is evaluated.

    Raises:
        FloatingPointError: If a loss becomes infinite or NaN.
    """
    for records in train_together(Population([state]), data, pause=pause):
        yield records[0]


def train_together(
    population: Population, data: DataSet, *, pause: Pause = lambda: None
) -> Iterator[dict[int, Record]]:
    """:func:`train_epochs` of several models on the same batches; yields the records by the numbers
    of those that go on, whose states have all that is theirs. Seconds are a model's share."""
    whole = population.whole
    config, options, team, device = whole.config, whole.config.loop, whole.team, whole.device
    objective = objective_of(data)
    while population.alive and population.place[0] < config.epochs:
        epoch, done = population.place
        plan = plan_epoch(data.size("train"), config.batch_size, seed=config.seed, epoch=epoch)
        lr = population.begin_epoch(len(plan))
        rest = plan[done:]
        with _own_randomness(device):
            batches = data.training_batches(rest, team.share)
            for step, (images, labels) in zip(rest, batches, strict=True):
                seed_generators(2**62 + step.seed + team.rank, device)
                with whole.autocast(), whole.rewirer.watching() as watched:
                    forward = whole.watched if watched else whole.forward
                    given = forward(images.contiguous(memory_format=whole.layout))
                    scores = population.split(given)
                    losses = [
                        objective.loss(own, labels, options.label_smoothing) for own in scores
                    ]
                whole.optimizer.zero_grad()
                whole.scaler.scale(sum(losses[1:], losses[0])).backward()
                whole.end_batch(len(step.indices))
                with torch.no_grad():
                    wrong = [objective.error(own, labels) for own in scores]
                    population.each(partial(_count, losses, wrong))
                pause()
            population.each(_check_losses)
            if not population.alive:
                return
            trained, seconds = len(plan) * len(plan[0].indices), population.seconds
            ended = epoch + 1
            evaluated = ended % options.evaluate_every == 0 or ended == config.epochs
            if evaluated:
                measure_statistics(whole, data, plan[: options.precise_bn])
        records: dict[int, Record] = {}
        for number in population.alive:
            state = population.states[number]
            records[number] = {
                "epoch": ended,
                "lr": lr,
                "train_loss": float(team.sum(state.losses).double().mean()) / team.size,
                "train_error": 100 * float(team.sum(state.wrong)) / trained,
            }
        population.sync()
        for number, record in records.items():
            for part, prefix in EVALUATED:
                if evaluated and data.size(part):
                    found = evaluate(population.states[number], data, part, pause=pause)
                    record |= {f"{prefix}_{name}": value for name, value in found.items()}
        if evaluated:
            population.each(partial(_check_tested, records))
        for number in population.alive:
            record = records[number]
            record["seconds"] = population.seconds
            record["images_per_second"] = trained / seconds
            record["peak_memory"] = peak_memory(device)
            if config.rewiring is not None:
                record["train_flops"] = whole.rewirer.flops(whole.model, data.input_shape)
        population.end_epoch()
        yield {number: records[number] for number in population.alive}


def measure_statistics(state: TrainState, data: DataSet, steps: list[Step]) -> None:
    """Measure the batch-norm statistics of the evaluated model anew over these steps.

    Without steps they are left as they are, those of the first process.
    """
    team, model = state.team, state.evaluated
    if not steps:
        team.follow_statistics(model)
        return
    seed_generators(steps[0].seed, state.device)
    batches = data.training_batches(steps, team.share)
    with state.autocast():
        update_bn((images for images, _ in batches), model)
    team.average_statistics(model)


@torch.no_grad()
def evaluate(
    state: TrainState, data: DataSet, part: Part, *, pause: Pause = lambda: None
) -> dict[str, float]:
    """Mean loss and the shares that are wrong (in percent) on a part of the data.

    Of classes these are cross-entropy, error and top-5 error; a data set may say otherwise.
    """
    objective = objective_of(data)
    state.model.eval()
    model = state.evaluated.eval()
    sums = torch.zeros(1 + len(objective.shares), dtype=torch.float64, device=state.device)
    for images, labels in data.batches(part, state.team.share):
        with state.autocast():
            scores = model(images.contiguous(memory_format=state.layout)).float()
        sums[0] += objective.total(scores, labels)
        for place, wrong in enumerate(objective.wrong(scores, labels), 1):
            sums[place] += wrong
        pause()
    loss, *wrong_shares = (state.team.sum(sums) / data.size(part)).tolist()
    shares = zip(objective.shares, wrong_shares, strict=True)
    return {"loss": loss, **{name: 100 * share for name, share in shares}}


def predict_scores(model: nn.Module, images: Tensor, batch_size: int = 1000) -> Tensor:
    """Class scores ``[N, num_classes]`` of normalised images, in evaluation mode."""
    model.eval()
    with torch.no_grad():
        return torch.cat([model(batch) for batch in images.split(batch_size)])


def check_batches(config: TrainConfig, images: int, processes: int) -> None:
    """Raise ``ValueError`` unless the processes can share every batch evenly."""
    size = min(config.batch_size, images)
    if images < 2:
        raise ValueError("Batch norm needs at least 2 training images, but there is 1.")
    if size % processes:
        raise ValueError(
            f"A batch of {size} images cannot be shared evenly by {processes} processes; choose "
            f"a batch_size that is a multiple of {processes} and at most {images}, the number "
            f"of training images."
        )


def _count(losses: list[Tensor], wrong: list[Tensor], number: int, state: TrainState) -> None:
    state.count(losses[number], wrong[number])


def _check_losses(number: int, state: TrainState) -> None:
    state.check_losses()


def _check_tested(records: dict[int, Record], number: int, state: TrainState) -> None:
    loss = records[number]["test_loss"]
    if not math.isfinite(loss):
        state.fail(f"The test loss became {loss} after the update", state.step)


def _own_randomness(device: torch.device) -> Any:
    # Names the GPU in use: by default PyTorch would save the state of all there are.
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
