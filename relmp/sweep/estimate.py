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
from relmp.training.loop import evaluate, train_epochs
from relmp.training.population.states import Population
from relmp.training.run_config import RunConfig
from relmp.training.state import TrainState

RUNS = 3
"""How many runs of the plan are tried, spread over it."""
WARM_UP, STEPS = 3, 12


class _EnoughError(Exception):
    """So many steps have been timed."""


def estimate_seconds(
    plan: Sequence[RunConfig], load: Callable[[RunConfig], DataSet], device: torch.device
) -> float:
    """Seconds of work in a plan: steps and evaluations of a few runs, timed and multiplied.

    Divide by the number of processes that share it.

    Args:
        plan: The runs.
        load: Gives the data of a run.
        device: Where they are trained.
    """
    places = np.unique(np.linspace(0, len(plan) - 1, min(RUNS, len(plan))).astype(int))
    with one_thread(), torch.random.fork_rng(devices=[]):
        each = [_seconds(plan[place], load(plan[place]), device) for place in places]
    return float(np.mean(each)) * len(plan)


def _seconds(run: RunConfig, data: DataSet, device: torch.device) -> float:
    state = TrainState(run.model.create(), replace(run.training, epochs=1), device)
    moments: list[float] = []

    def pause() -> None:
        moments.append(time.perf_counter())
        if len(moments) >= WARM_UP + STEPS:
            raise _EnoughError

    with suppress(_EnoughError):
        list(train_epochs(state, data.to(device), pause=pause))
    gaps = np.diff(moments)
    step = float(np.median(gaps[WARM_UP:] if len(gaps) > WARM_UP else gaps)) if len(gaps) else 0.0
    began = time.perf_counter()
    evaluate(Population([state]), data.to(device), "test")
    evaluation = time.perf_counter() - began
    epochs = run.training.epochs
    steps = -(-data.size("train") // run.training.batch_size)
    evaluated = -(-epochs // run.training.loop.evaluate_every)
    return epochs * steps * step + evaluated * evaluation
