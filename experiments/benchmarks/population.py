"""Models trained one by one, and as one round over the disjoint union of their graphs.

    python experiments/benchmarks/population.py
    python experiments/benchmarks/population.py --threads 2

The MLP of the main job (budget of width 128, batch 128) over the graphs of its 52 that are nearest
to a density. A population shares its batches: one stem as wide as all stems, rounds over the
disjoint union, one head a model, the mean losses added up, one optimiser. That is all that a
population in one process could save, without the loop around it. Sizes take turns; milliseconds of
processor time for one model's step, medians.

Device: a CPU, one to two minutes. Prints tables in Markdown; what came is in ``population.md``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from torch import Tensor, nn

import relmp
from relmp.machine import processor
from relmp.models import match_flops
from relmp.rounds import Round

BATCH, FEATURES, CLASSES, STEM = 128, 40, 10, 128


@dataclass(frozen=True)
class Benchmark:
    """Time populations.

    Args:
        densities: Of the graphs.
        sizes: Of the populations.
        threads: Threads; with more than one, times are of the clock, times the threads.
        turns: How often the sizes take turns.
    """

    densities: tuple[float, ...] = (0.14, 0.2, 0.3, 0.42, 0.65)
    sizes: tuple[int, ...] = (1, 2, 4, 8)
    threads: int = 1
    turns: int = 25

    def run(self) -> None:
        torch.set_num_threads(self.threads)
        clock = time.process_time if self.threads == 1 else time.perf_counter
        kind = "processor time" if self.threads == 1 else f"clock x {self.threads}"
        print(f"{processor()}, {self.threads} threads, milliseconds a model ({kind})\n")
        names = [f"{size} at once" for size in self.sizes]
        heads = ["density", "width", *names, "best gain"]
        print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
        known = relmp.sample_graphs(n=64, size=52)
        for density in self.densities:
            near = sorted(known, key=lambda graph: abs(graph.density - density))
            width = _width(near[0])
            steps = [step_of(near[:size], width) for size in self.sizes]
            times: list[list[float]] = [[] for _ in steps]
            for turn in range(self.turns + 2):
                for size, step, kept in zip(self.sizes, steps, times, strict=True):
                    step()
                    began = clock()
                    step()
                    step()
                    if turn >= 2:
                        kept.append(1e3 * (clock() - began) / 2 / size * self.threads)
            medians = [statistics.median(kept) for kept in times]
            gain = max(
                statistics.median(a / b for a, b in zip(times[0], kept, strict=True))
                for kept in times
            )
            cells = [f"{density:g}", str(width), *(f"{m:.2f}" for m in medians), f"{gain:.2f}"]
            print(f"| {' | '.join(cells)} |", flush=True)


def _width(graph: relmp.RelationalGraph) -> int:
    options = {"graph": graph, "num_classes": CLASSES, "width": STEM}
    return int(match_flops("mlp", input_shape=(FEATURES,), **options).widths[0])


class Population(nn.Module):
    """MLPs of one width over several graphs, as one."""

    def __init__(self, graphs: Sequence[relmp.RelationalGraph], width: int) -> None:
        super().__init__()
        count, union = len(graphs), disjoint_union(graphs)
        self.stem = nn.Sequential(
            nn.Linear(FEATURES, count * STEM, bias=False), nn.BatchNorm1d(count * STEM), nn.ReLU()
        )
        channels = [count * STEM, *[count * width] * 3]
        self.rounds = nn.Sequential(
            *(
                Round(
                    union, channels[i], channels[i + 1], bias=False,
                    update=nn.Sequential(nn.BatchNorm1d(channels[i + 1]), nn.ReLU()),
                )
                for i in range(3)
            )
        )  # fmt: skip
        self.heads = nn.Parameter(0.01 * torch.randn(count, width, CLASSES))
        self.bias = nn.Parameter(torch.zeros(count, 1, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, features]`` -> ``[models, B, classes]``."""
        out = self.rounds(self.stem(x)).view(len(x), len(self.heads), -1).transpose(0, 1)
        return torch.baddbmm(self.bias, out, self.heads)


def disjoint_union(graphs: Sequence[relmp.RelationalGraph]) -> relmp.RelationalGraph:
    """All graphs side by side, no edge between them."""
    nodes = [graph.num_nodes for graph in graphs]
    starts = np.cumsum([0, *nodes[:-1]])
    edges = np.concatenate(
        [graph.edge_index.numpy().T + start for graph, start in zip(graphs, starts, strict=True)]
    )
    pairs = [(int(source), int(target)) for source, target in edges]
    return relmp.RelationalGraph.from_edges(pairs, sum(nodes), directed=True)


def step_of(graphs: Sequence[relmp.RelationalGraph], width: int) -> Callable[[], object]:
    """A training step of a population."""
    torch.manual_seed(0)
    model = Population(graphs, width)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True
    )
    x, labels = torch.randn(BATCH, FEATURES), (torch.arange(BATCH) % CLASSES).repeat(len(graphs))

    def step() -> None:
        loss = F.cross_entropy(model(x).flatten(0, 1), labels, reduction="sum") / BATCH
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
