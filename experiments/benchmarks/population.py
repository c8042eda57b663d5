"""Models trained one by one, and as one round over the disjoint union of their graphs.

    python experiments/benchmarks/population.py
    python experiments/benchmarks/population.py --budgets 64 128 256 512 --densities 0.14 0.42
    python experiments/benchmarks/population.py --threads 2

An epoch of the MLP of the main job (MNIST-1D, batch 128) over graphs of its 52 that are nearest to
a density, as a sweep trains it (steps, losses, records, the members' weights at the end), without
evaluation and files. Sizes take turns of an epoch; milliseconds of processor time for one step of
one model, medians.

Device: a CPU, two minutes. Prints tables in Markdown; what came is in ``population.md``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import tyro

import relmp
from relmp.machine import processor
from relmp.sweep import over_graphs
from relmp.training.data import DataSet
from relmp.training.loop import train_together
from relmp.training.population.states import Population
from relmp.training.run_config import RunConfig
from relmp.training.state import TrainState

EPOCHS = 1000  # more than are timed, so that none is evaluated


@dataclass(frozen=True)
class Benchmark:
    """Time populations.

    Args:
        densities: Of the graphs.
        budgets: Widths of the complete graph's MLP, whose FLOPs the models have.
        sizes: Of the populations.
        threads: Threads; with more than one, times are of the clock, times the threads.
        turns: How often the sizes take turns.
    """

    densities: tuple[float, ...] = (0.14, 0.2, 0.3, 0.42, 0.65)
    budgets: tuple[int, ...] = (128,)
    sizes: tuple[int, ...] = (1, 2, 4, 8)
    threads: int = 1
    turns: int = 7

    def run(self) -> None:
        torch.set_num_threads(self.threads)
        clock = time.process_time if self.threads == 1 else time.perf_counter
        kind = "processor time" if self.threads == 1 else f"clock x {self.threads}"
        print(f"{processor()}, {self.threads} threads, milliseconds a model ({kind})\n")
        names = [f"{size} at once" for size in self.sizes]
        heads = ["FLOPs of", "density", "width", *names, "best gain"]
        print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
        data = relmp.load_data("mnist1d")
        for budget in self.budgets:
            for density in self.densities:
                runs = _runs(density, budget, max(self.sizes))
                epochs = [_epochs(runs[:size], data) for size in self.sizes]
                times = self._times(epochs, -(-data.size("train") // 128), clock)
                medians = [statistics.median(kept) for kept in times]
                gain = max(
                    statistics.median(a / b for a, b in zip(times[0], kept, strict=True))
                    for kept in times
                )
                cells = [f"{m:.2f}" for m in medians]
                width = runs[0].model.options["width"]
                row = [str(budget), f"{density:g}", str(width), *cells, f"{gain:.2f}"]
                print(f"| {' | '.join(row)} |", flush=True)

    def _times(
        self, epochs: list[Iterator[object]], steps: int, clock: Callable[[], float]
    ) -> list[list[float]]:
        times: list[list[float]] = [[] for _ in epochs]
        for turn in range(self.turns + 1):
            for size, epoch, kept in zip(self.sizes, epochs, times, strict=True):
                began = clock()
                next(epoch)
                if turn:
                    kept.append(1e3 * (clock() - began) / steps / size * self.threads)
        return times


def _runs(density: float, budget: int, count: int) -> list[RunConfig]:
    known = relmp.sample_graphs(n=64, size=52)
    near = sorted(known, key=lambda graph: abs(graph.density - density))[:count]
    plan = over_graphs(
        "mlp", graphs=near, seeds=1, data="mnist1d", width=budget, epochs=EPOCHS,
        evaluate_every=EPOCHS,
    )  # fmt: skip
    return plan[1:]


def _epochs(runs: list[RunConfig], data: DataSet) -> Iterator[object]:
    states = [TrainState(run.model.create(), run.training) for run in runs]
    return train_together(Population(states), data)


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
