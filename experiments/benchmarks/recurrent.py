"""A training step of rounds in time beside torch.nn.RNN of as many units.

    python experiments/benchmarks/recurrent.py --connectomes FOLDER

20 time steps, batch 128, forward and backward of a sum over all states, float32: the marmoset's
connectome with 4 neurons a region (220 units), and the human one with 18 and 54 (1,026 and 3,078).
Networks take turns, so that other work on the machine meets all alike; the ratio of a turn is that
of its times, and the median over the turns is reported.

Device: two CPU cores, about three minutes. Prints a table in Markdown.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import tyro
from torch import nn

import relmp
from relmp.bench.timing import machine

STEPS, BATCH, INPUTS = 20, 128, 2
NETWORKS = (("bio2art_marmoset", 4), ("bio2art_human", 18), ("bio2art_human", 54))


@dataclass(frozen=True)
class Benchmark:
    """Time training steps.

    Args:
        connectomes: Folder of bio2art's text files.
        threads: Threads of PyTorch.
        seconds: No further turn of a network begins after so long; there are three at least.
    """

    connectomes: str
    threads: int = 2
    seconds: float = 40.0

    def run(self) -> None:
        torch.set_num_threads(self.threads)
        print(machine())
        print("\n| network | units | synapses | density | torch.nn.RNN (ms) |", end="")
        print(" dense | gathered | auto takes |\n|---|---|---|---|---|---|---|---|")
        for name, neurons in NETWORKS:
            brain = relmp.load_connectome(name, root=self.connectomes, self_loops=False)
            graph = relmp.scale_connectome(brain, neurons, partition="uniform")
            self._row(graph, neurons)

    def _row(self, graph: relmp.RelationalGraph, neurons: int) -> None:
        torch.manual_seed(0)
        x = torch.randn(STEPS, BATCH, INPUTS)
        layers: dict[str, nn.Module] = {"torch": nn.RNN(INPUTS, graph.num_nodes)}
        for execution in ("dense", "gathered"):
            layers[execution] = relmp.RelationalRNN(
                graph, INPUTS, regions=neurons, execution=execution
            )
        auto = relmp.RelationalRNN(graph, INPUTS, regions=neurons).execution
        times = turns({name: step(layer, x) for name, layer in layers.items()}, self.seconds)
        ratios = {
            name: statistics.median(
                own / theirs for own, theirs in zip(times[name], times["torch"], strict=True)
            )
            for name in ("dense", "gathered")
        }
        base = 1e3 * statistics.median(times["torch"])
        print(
            f"| {graph.name} | {graph.num_nodes} | {graph.num_edges:,} | {graph.density:.2f} "
            f"| {base:.3g} | {ratios['dense']:.2f}x | {ratios['gathered']:.2f}x | {auto} |",
            flush=True,
        )


def step(layer: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """A training step without the optimiser."""

    def run() -> None:
        layer.zero_grad()
        states, _ = layer(x)
        states.sum().backward()

    return run


def turns(steps: dict[str, Callable[[], None]], seconds: float) -> dict[str, list[float]]:
    """Times of steps that take turns."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for run in steps.values():
        run()
    began = time.perf_counter()
    for turn in range(200):
        if turn >= 3 and time.perf_counter() - began > seconds:
            break
        for name, run in steps.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return times


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
