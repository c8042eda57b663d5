"""Linear rounds on one thread, in processor time: beside the dense floor and weight x mask.

    python experiments/benchmarks/linear.py
    PYTHONPATH=../before python experiments/benchmarks/linear.py   # another checkout

As ``relmp bench rounds --shapes MLP``, but fit for a machine that others work on: methods take
turns, and what counts is the processor's time. Forward and backward, float32, batch 128.

Device: one CPU core, a minute. Prints a table in Markdown; what came is in ``rounds.md``.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch
import tyro

from relmp.bench.rounds import FLOOR, MASK, Shape, graph_of_density, step_of
from relmp.machine import processor

METHODS = (FLOOR, MASK, "dense", "cpu_kernel")


@dataclass(frozen=True)
class Benchmark:
    """Time linear rounds.

    Args:
        widths: Of the complete graph's rounds, whose FLOPs all have.
        densities: Of the graphs.
        turns: How often the methods take turns.
    """

    widths: tuple[int, ...] = (512, 128)
    densities: tuple[float, ...] = (0.11, 0.14, 0.17, 0.3, 1.0)
    turns: int = 25

    def run(self) -> None:
        torch.set_num_threads(1)
        print(f"{processor()}, one thread, milliseconds of processor time\n")
        heads = ["FLOPs of", "density", "width", *METHODS, "mask / kernel", "kernel / floor"]
        print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
        for width in self.widths:
            shape = Shape(f"{width}", width, 128)
            for density in self.densities:
                graph = graph_of_density(64, density)
                steps = {method: step_of(shape, graph, method) for method in METHODS}
                times: dict[str, list[float]] = {method: [] for method in METHODS}
                for _ in range(self.turns):
                    for method, step in steps.items():
                        step()
                        began = time.process_time()
                        step()
                        step()
                        times[method].append(1e3 * (time.process_time() - began) / 2)
                least = {method: min(kept) for method, kept in times.items()}
                median = {method: statistics.median(kept) for method, kept in times.items()}
                cells = [shape.name, f"{graph.density:.3f}", str(shape.width(graph.density))]
                cells += [f"{median[method]:.2f} ({least[method]:.2f})" for method in METHODS]
                cells.append(f"{least[MASK] / least['cpu_kernel']:.2f}")
                cells.append(f"{least['cpu_kernel'] / least[FLOOR]:.2f}")
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
