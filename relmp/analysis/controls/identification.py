"""Cheap identification: how many epochs and graphs would have sufficed, on the sweep at hand."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from relmp.analysis.controls.fits import fit_quadratic
from relmp.analysis.controls.power import measure_noise
from relmp.analysis.controls.transfer import Correlation, correlate
from relmp.analysis.results import Results

ENOUGH = 0.9
"""The correlation with the full sweep that is called enough."""

_DRAWS = 100


@dataclass(frozen=True)
class EarlyEpoch:
    """What an early epoch tells about the last.

    Attributes:
        epoch: The early epoch.
        graphs: Correlation over the graphs without the complete one.
        with_complete: The same with it.
        loss: Final error of the graph that is best at the early epoch, minus the lowest.
    """

    epoch: int
    graphs: Correlation
    with_complete: Correlation | None
    loss: float


@dataclass(frozen=True)
class FewGraphs:
    """What a random few of the graphs tell about the others.

    Attributes:
        graphs: How many were drawn.
        r: Mean correlation between a quadratic's prediction, fitted to the few, and the mean
            errors of the other graphs, over many draws.
        deviation: Its deviation over the draws.
        loss: Mean error of the other graph that is predicted best, minus the lowest of them.
    """

    graphs: int
    r: float
    deviation: float
    loss: float


@dataclass(frozen=True)
class Identification:
    """Advice on a cheaper sweep, measured on this one.

    Attributes:
        epochs: What each early epoch tells.
        graphs: What each number of graphs tells.
        final_epoch: The last epoch.
        reliability: Share of the variance between graphs' means that is not noise.
    """

    epochs: tuple[EarlyEpoch, ...]
    graphs: tuple[FewGraphs, ...]
    final_epoch: int
    reliability: float | None

    def describe(self) -> str:
        """The advice in plain sentences, with its error."""
        return "\n".join([_advise_epochs(self), _advise_graphs(self)])


def identify_cheaply(results: Results, *, draws: int = _DRAWS, seed: int = 0) -> Identification:
    """Measure how early, and from how few graphs, the conclusion can be had.

    Args:
        results: Results of one task, with early epochs for the first part of the answer.
        draws: Random selections of graphs for each number of them.
        seed: Draws them.
    """
    noise = measure_noise(results)
    return Identification(
        tuple(_early_epochs(results)),
        tuple(_few_graphs(results, draws, seed)),
        int(results.runs["epoch"].iloc[0]),
        None if noise is None else noise.reliability(results.block.shape[1]),
    )


def _early_epochs(results: Results) -> list[EarlyEpoch]:
    final = results.graphs["mean"]
    sparse = results.sparse.index
    curves = results.curves.groupby(["epoch", "graph_key"])[results.error].mean().dropna()
    epochs = curves.index.unique("epoch")
    found = []
    for epoch in epochs[epochs < results.runs["epoch"].iloc[0]]:
        early = curves[epoch]
        names = (f"epoch {epoch}", f"epoch {results.runs['epoch'].iloc[0]}")
        shared = early.index.intersection(sparse)
        graphs = correlate(early[shared], final, names)
        if graphs is None:
            continue
        loss = float(final[early[shared].idxmin()] - final[shared].min())
        found.append(EarlyEpoch(int(epoch), graphs, correlate(early, final, names), loss))
    return found


def _few_graphs(results: Results, draws: int, seed: int) -> list[FewGraphs]:
    sparse = results.sparse
    x = sparse[list(results.measures)].to_numpy(dtype=np.float64)
    y = sparse["mean"].to_numpy(dtype=np.float64)
    rng = np.random.default_rng(seed)
    found = []
    for count in (10, 15, 20, 30, 40, 52, 100, 200, 449):
        if count > len(y) - 5:
            break
        rs, losses = [], []
        for _ in range(draws):
            order = rng.permutation(len(y))
            few, others = order[:count], order[count:]
            fit = fit_quadratic(x[few], y[few], results.measures)
            predicted = None if fit is None else fit(x[others, 0], x[others, 1])
            if predicted is None or not np.ptp(predicted) or not np.ptp(y[others]):
                continue
            rs.append(np.corrcoef(predicted, y[others])[0, 1])
            losses.append(y[others][predicted.argmin()] - y[others].min())
        if rs:
            found.append(
                FewGraphs(count, float(np.mean(rs)), float(np.std(rs)), float(np.mean(losses)))
            )
    return found


def _advise_epochs(advice: Identification) -> str:
    if not advice.epochs:
        return "There are no early epochs in the table, so nothing is said about fewer epochs."
    enough = [e for e in advice.epochs if e.graphs.pearson >= ENOUGH]
    if enough:
        first = enough[0]
        return (
            f"{first.epoch} of {advice.final_epoch} epochs would have sufficed: {first.graphs}; "
            f"the graph chosen there ends {first.loss:.2f} above the lowest."
        )
    last = max(advice.epochs, key=lambda e: e.graphs.pearson)
    return (
        f"No early epoch goes with the last at r >= {ENOUGH}; the nearest is epoch "
        f"{last.epoch}: {last.graphs}; the graph chosen there ends {last.loss:.2f} above the "
        f"lowest."
    )


def _advise_graphs(advice: Identification) -> str:
    if not advice.graphs:
        return "There are too few graphs to say how many would have sufficed."
    best = max(few.r for few in advice.graphs)
    first = next(few for few in advice.graphs if few.r >= 0.95 * best or few.r == best)
    limit = (
        ""
        if advice.reliability is None
        else f" (the seeds' noise allows at most {math.sqrt(advice.reliability):.2f})"
    )
    return (
        f"A quadratic fitted to {first.graphs} graphs drawn at random predicts the other graphs "
        f"with r = {first.r:.2f} +- {first.deviation:.2f}{limit}; the graph it predicts to be "
        f"best lies {first.loss:.2f} above the lowest."
    )
