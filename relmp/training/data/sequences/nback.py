"""n-back: is what comes last the same as what came n steps before it?

Reference:
    Goulas, Damicelli, Hilgetag, *Bio-instantiated recurrent neural networks*, Neural Networks 2021,
    section 2.4.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from relmp.checks import check_whole
from relmp.registry import format_call
from relmp.training.data.load import DATASETS
from relmp.training.data.objective import IGNORED
from relmp.training.data.sequences.sequence_data import SequenceData

Array = npt.NDArray[np.float64]

SHOWN = 5
"""How many numbers or pictures a sequence shows."""


@DATASETS.register("nback")
def nback(
    folder: Path | None = None,
    download: bool = False,
    *,
    n: int = 2,
    trials: int = 1000,
    seed: int = 0,
) -> SequenceData:
    r"""Five numbers: is the last the one of n steps before?

    Inputs (cue, value): five numbers of :math:`U(0, 1)`, with the cue at the last, then one step
    with nothing, at which the class is asked: 0 no, 1 yes. Half of the trials match. Four fifths of
    either half are to train.

    Args:
        folder, download: Not used; nothing is read.
        n: Steps between the two, 1 to 4.
        trials: Sequences, an even number.
        seed: Decides the numbers.

    Raises:
        ValueError: If a number is out of its range.
    """
    rng = _checked(n, trials, seed)
    values = rng.random((trials, SHOWN))
    match = np.arange(trials) % 2
    values[match == 1, -1] = values[match == 1, SHOWN - 1 - n]
    inputs = np.zeros((trials, SHOWN + 1, 2))
    inputs[:, :SHOWN, 1] = values
    inputs[:, SHOWN - 1, 0] = 1
    return _made("nback", nback, inputs, match, {"n": n, "trials": trials, "seed": seed})


@DATASETS.register("digit_nback")
def digit_nback(
    folder: Path | None = None,
    download: bool = False,
    *,
    n: int = 2,
    trials: int = 1000,
    seed: int = 0,
) -> SequenceData:
    """Five pictures of digits: is the last the one of n steps before?

    A picture is 50 numbers: the first principal components of scikit-learn's digits (8 x 8
    pixels), over the deviation of the first, and the cue is the 51st. Five pictures, then the cue
    alone, then a step with nothing, at which the class is asked. A match shows the same picture
    again; all other pictures are of different digits. Half of the trials match. (The study took the
    latents of a network trained on MNIST.)

    Args:
        folder, download, n, trials, seed: As :func:`nback`.

    Raises:
        ValueError: If a number is out of its range.
    """
    rng = _checked(n, trials, seed)
    latents, digits = _latents()
    match = np.arange(trials) % 2
    inputs = np.zeros((trials, SHOWN + 2, latents.shape[1] + 1))
    for trial in range(trials):
        shown = [
            latents[rng.choice(np.flatnonzero(digits == digit))]
            for digit in rng.permutation(10)[:SHOWN]
        ]
        if match[trial]:
            shown[-1] = shown[SHOWN - 1 - n]
        inputs[trial, :SHOWN, :-1] = shown
    inputs[:, SHOWN, -1] = 1
    arguments = {"n": n, "trials": trials, "seed": seed}
    return _made("digit_nback", digit_nback, inputs, match, arguments)


def _checked(n: int, trials: int, seed: int) -> np.random.Generator:
    check_whole("n", n, 1, SHOWN - 1, meaning=f"steps back among {SHOWN}")
    check_whole("trials", trials, 10)
    check_whole("seed", seed, 0)
    if trials % 2:
        raise ValueError(f"Half of the trials match, so they must be even, but are {trials}.")
    return np.random.default_rng(seed)


def _made(
    task: str, loader: Any, inputs: Array, match: Any, arguments: dict[str, int]
) -> SequenceData:
    x = torch.from_numpy(inputs.astype(np.float32))
    y = torch.full(x.shape[:2], IGNORED, dtype=torch.int64)
    y[:, -1] = torch.from_numpy(match)
    # Matches and others take turns, so every part has as many of both.
    train = 2 * round(0.4 * len(x))
    usual = loader.__kwdefaults__
    name = format_call(task, {k: v for k, v in arguments.items() if v != usual[k]})
    return SequenceData(name, x[:train], y[:train], x[train:], y[train:], 2, ("no", "yes"))


@cache
def _latents() -> tuple[Array, npt.NDArray[np.int64]]:
    """``[1797, 50]`` numbers for every digit, and which it is."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = found.data - found.data.mean(0)
    _, _, axes = np.linalg.svd(pixels, full_matrices=False)
    # The sign of an axis is the machine's; the largest entry is made positive.
    axes = axes[:50] * np.sign(axes[np.arange(50), np.abs(axes[:50]).argmax(1)])[:, None]
    latents = pixels @ axes.T
    return latents / latents[:, 0].std(), found.target.astype(np.int64)
