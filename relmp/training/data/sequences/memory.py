"""Tasks of memory whose answers are numbers: sequence memory and recall, memory capacity.

Reference:
    Goulas, Damicelli, Hilgetag, *Bio-instantiated recurrent neural networks*, Neural Networks 2021,
    section 2.4 (sequence memory); Damicelli, Hilgetag, Goulas, *Brain connectivity meets reservoir
    computing*, PLoS Computational Biology 2022, methods (recall and memory capacity); Jaeger,
    *Short term memory in echo state networks*, GMD Report 152, 2001 (capacity).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from relmp.checks import check_whole
from relmp.registry import format_call
from relmp.training.data.load import DATASETS
from relmp.training.data.sequences.sequence_data import SequenceData

Array = npt.NDArray[np.float64]


@DATASETS.register("sequence_memory")
def sequence_memory(
    folder: Path | None = None,
    download: bool = False,
    *,
    length: int = 5,
    trials: int = 500,
    seed: int = 0,
) -> SequenceData:
    r"""Say a sequence of numbers again, in order, after a cue.

    Inputs (cue, value): ``length`` numbers of :math:`U(0, 1)`, then one step with the cue, then
    nothing. At the ``length`` steps behind the cue the numbers are asked; a constant leaves a loss
    of 1/12. Four fifths of the trials are to train.

    Args:
        folder, download: Not used; nothing is read.
        length: Numbers in a sequence; it has twice as many steps and one.
        trials: Sequences.
        seed: Decides the numbers.

    Raises:
        ValueError: If a number is out of its range.
    """
    _check(length, trials, seed)
    inputs = np.zeros((trials, 2 * length + 1, 2))
    labels = np.full((trials, 2 * length + 1, 1), np.nan)
    values = np.random.default_rng(seed).random((trials, length))
    inputs[:, :length, 1] = values
    inputs[:, length, 0] = 1
    labels[:, length + 1 :, 0] = values
    name = _name("sequence_memory", sequence_memory, length=length, trials=trials, seed=seed)
    return _split(name, inputs, labels)


@DATASETS.register("sequence_recall")
def sequence_recall(
    folder: Path | None = None,
    download: bool = False,
    *,
    length: int = 10,
    trials: int = 1000,
    seed: int = 0,
) -> SequenceData:
    r"""Say a sequence of numbers again while a cue is there.

    Inputs (cue, value): ``length`` numbers of :math:`U(0, 1)` without the cue, then as many steps
    with it, at which the numbers are asked in order. Four fifths of the trials are to train.

    Args:
        folder, download: Not used; nothing is read.
        length: Numbers in a sequence; it has twice as many steps.
        trials: Sequences.
        seed: Decides the numbers.

    Raises:
        ValueError: If a number is out of its range.
    """
    _check(length, trials, seed)
    inputs = np.zeros((trials, 2 * length, 2))
    labels = np.full((trials, 2 * length, 1), np.nan)
    values = np.random.default_rng(seed).random((trials, length))
    inputs[:, :length, 1] = values
    inputs[:, length:, 0] = 1
    labels[:, length:, 0] = values
    name = _name("sequence_recall", sequence_recall, length=length, trials=trials, seed=seed)
    return _split(name, inputs, labels)


@DATASETS.register("memory_capacity")
def memory_capacity_data(
    folder: Path | None = None,
    download: bool = False,
    *,
    lags: int = 40,
    steps: int = 5000,
    transient: int = 100,
    seed: int = 0,
) -> SequenceData:
    r"""Say what came k steps ago, for every k from 1 to ``lags``.

    Two streams of :math:`U(-1/2, 1/2)` to train, one to test; answer k at step t is
    :math:`u_{t-k}`. Nothing is asked within the transient.

    Args:
        folder, download: Not used; nothing is read.
        lags: How many steps back are asked.
        steps: Of each stream.
        transient: So many first steps are not asked.
        seed: Decides the numbers.

    Raises:
        ValueError: If a number is out of its range, or there are more lags than steps.
    """
    check_whole("lags", lags, 1)
    check_whole("steps", steps, 1)
    check_whole("transient", transient, 0)
    check_whole("seed", seed, 0)
    if max(lags, transient) >= steps:
        raise ValueError(
            f"lags={lags} and transient={transient} must be below the number of steps, but there "
            f"are {steps}; give more steps, or fewer lags."
        )
    values = np.random.default_rng(seed).uniform(-0.5, 0.5, (3, steps))
    labels = np.full((3, steps, lags), np.nan)
    for lag in range(1, lags + 1):
        labels[:, lag:, lag - 1] = values[:, :-lag]
    labels[:, :transient] = np.nan
    name = _name(
        "memory_capacity", memory_capacity_data,
        lags=lags, steps=steps, transient=transient, seed=seed,
    )  # fmt: skip
    return _split(name, values[:, :, None], labels, train=2)


def _check(length: int, trials: int, seed: int) -> None:
    check_whole("length", length, 1, meaning="numbers in a sequence")
    check_whole("trials", trials, 5, meaning="sequences to train and to test")
    check_whole("seed", seed, 0)


def _name(task: str, loader: Any, **arguments: int) -> str:
    """The call that makes a data set, defaults left out."""
    usual = loader.__kwdefaults__
    return format_call(task, {k: v for k, v in arguments.items() if v != usual[k]})


def _split(name: str, inputs: Array, labels: Array, train: int | None = None) -> SequenceData:
    train = round(0.8 * len(inputs)) if train is None else train
    x = torch.from_numpy(inputs.astype(np.float32))
    y = torch.from_numpy(labels.astype(np.float32))
    return SequenceData(name, x[:train], y[:train], x[train:], y[train:], y.size(2))
