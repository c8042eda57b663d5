"""Linear rounds beside the dense floor and weight x mask: forward and backward, float32, batch 128.

    python experiments/benchmarks/linear.py
    python experiments/benchmarks/linear.py --threads 2
    PYTHONPATH=../before python experiments/benchmarks/linear.py   # another checkout

Methods take turns. On one thread the processor's time counts, so that this is fit for a machine
that others work on; on several it is the clock's, with nothing else running.

Device: one or two CPU cores, a minute. Prints a table in Markdown; what came is in ``rounds.md``.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch
import tyro

from relmp.bench.rounds import FLOOR, MASK, Shape, graph_of_density, step_of
from relmp.bench.timing import WARM_SECONDS
from relmp.machine import processor

METHODS = (FLOOR, MASK, "dense", "cpu_kernel")


@dataclass(frozen=True)
class Benchmark:
    """Time linear rounds.

    Args:
        widths: Of the complete graph's rounds, whose FLOPs all have.
        densities: Of the graphs.
        turns: How often the methods take turns.
        threads: Threads.
    """

    widths: tuple[int, ...] = (512, 128)
    densities: tuple[float, ...] = (0.11, 0.14, 0.17, 0.3, 1.0)
    turns: int = 25
    threads: int = 1

    def run(self) -> None:
        torch.set_num_threads(self.threads)
        clock = time.process_time if self.threads == 1 else time.perf_counter
        kind = "processor time" if self.threads == 1 else "time"
        print(f"{processor()}, threads: {self.threads}, milliseconds of {kind}\n")
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
                        warm = time.perf_counter() + WARM_SECONDS
                        step()
                        while time.perf_counter() < warm:
                            step()
                        began = clock()
                        step()
                        step()
                        times[method].append(1e3 * (clock() - began) / 2)
                least = {method: min(kept) for method, kept in times.items()}
                median = {method: statistics.median(kept) for method, kept in times.items()}
                cells = [shape.name, f"{graph.density:.3f}", str(shape.width(graph.density))]
                cells += [f"{median[method]:.2f} ({least[method]:.2f})" for method in METHODS]
                cells.append(f"{least[MASK] / least['cpu_kernel']:.2f}")
                cells.append(f"{least['cpu_kernel'] / least[FLOOR]:.2f}")
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
