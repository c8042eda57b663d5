"""How long a plan takes, from a few steps of a few of its runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch

from relmp.sweep.engines.here import one_thread
from relmp.training.data import DataSet
from relmp.training.loop import evaluate, train_together
from relmp.training.population.states import Population, population_refusal
from relmp.training.run_config import RunConfig
from relmp.training.state import TrainState

UNITS = 3
"""How many units of the plan are tried, spread over it."""
WARM_UP, STEPS = 3, 12


class _EnoughError(Exception):
    """So many steps have been timed."""


def estimate_seconds(
    units: Sequence[Sequence[RunConfig]],
    load: Callable[[RunConfig], DataSet],
    device: torch.device,
) -> float:
    """Seconds of work in a plan: steps and evaluations of a few runs, timed and multiplied.

    Divide by the number of processes that share it.

    Args:
        units: The runs, in groups of those that are trained as one.
        load: Gives the data of a run.
        device: Where they are trained.
    """
    places = np.unique(np.linspace(0, len(units) - 1, min(UNITS, len(units))).astype(int))
    with one_thread(), torch.random.fork_rng(devices=[]):
        each = [_seconds_of_one(units[place], load(units[place][0]), device) for place in places]
    weights = [len(units[place]) for place in places]
    return float(np.average(each, weights=weights)) * sum(map(len, units))


def _seconds_of_one(unit: Sequence[RunConfig], data: DataSet, device: torch.device) -> float:
    """Seconds that a run of such a unit takes."""
    training = replace(unit[0].training, epochs=1)
    models = [run.model.create() for run in unit]
    if len(models) > 1 and population_refusal(models, training) is not None:
        models = models[:1]
    states = [TrainState(model, training, device) for model in models]
    moments: list[float] = []

    def pause() -> None:
        moments.append(time.perf_counter())
        if len(moments) >= WARM_UP + STEPS:
            raise _EnoughError

    with suppress(_EnoughError):
        list(train_together(Population(states), data.to(device), pause=pause))
    gaps = np.diff(moments)
    step = float(np.median(gaps[WARM_UP:] if len(gaps) > WARM_UP else gaps)) if len(gaps) else 0.0
    began = time.perf_counter()
    evaluate(states[0], data.to(device), "test")
    evaluation = time.perf_counter() - began
    epochs = unit[0].training.epochs
    steps = -(-data.size("train") // training.batch_size)
    evaluated = -(-epochs // training.loop.evaluate_every)
    return epochs * steps * step / len(states) + evaluated * evaluation
