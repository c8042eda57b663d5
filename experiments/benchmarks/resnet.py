"""Where each millisecond of a residual network's training step goes, beside its dense twin.

    python experiments/benchmarks/resnet.py
    python experiments/benchmarks/resnet.py --model resnet50

Both take turns: forward and backward pass, no optimiser. Then some steps of the rounds' model are
taken apart: into the kernels (by the clock, around each), and what PyTorch's profiler says of the
operators beside them. Last, a few images at a time.

Device: two CPU cores, one minute. Prints tables in Markdown; what came is in ``resnet.md``.
"""

from __future__ import annotations

import resource
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import tyro
from torch import Tensor, nn
from torch.profiler import profile

import relmp
from relmp.bench.timing import interleaved, machine
from relmp.rounds.execution.cpu import lanes, packed


@dataclass(frozen=True)
class Benchmark:
    """Take a training step apart.

    Args:
        model: "resnet34" or "resnet50".
        size: Pixels of a side of the images.
        batch: Images of a step.
        few: Batches of a few images that are timed as well.
        repeats: Turns of a timing.
        threads: Threads of PyTorch and of the kernels.
    """

    model: str = "resnet34"
    size: int = 64
    batch: int = 32
    few: tuple[int, ...] = (1, 2, 4, 8)
    repeats: int = 7
    threads: int = 2

    def run(self) -> None:
        torch.set_num_threads(self.threads)
        torch.manual_seed(0)
        graph = relmp.create_graph("ws_flex", n=64, k=8.192, p=0.128, seed=4)
        dense = relmp.create_model(self.model, num_classes=10)
        sparse = relmp.match_flops(self.model, graph=graph, num_classes=10)
        print(machine(), f"density {graph.density:.3f}, widths {sparse.widths}\n")
        print("| images | dense twin | rounds | ratio | page faults |\n|---|---|---|---|---|")
        for images in (self.batch, *self.few):
            x = torch.randn(images, 3, self.size, self.size)
            steps = {"dense": lambda x=x: step(dense, x), "rounds": lambda x=x: step(sparse, x)}
            times = interleaved(steps, repeats=self.repeats, seconds=60)
            one, other = times["dense"], times["rounds"]
            faults = _faults(steps["rounds"])
            print(f"| {images} | {one} | {other} | {other.median / one.median:.2f} | {faults} |")
        x = torch.randn(self.batch, 3, self.size, self.size)
        print("\n| part of the rounds' step | calls | ms |\n|---|---|---|")
        for name, (calls, milliseconds) in _kernels(lambda: step(sparse, x), 4).items():
            print(f"| {name} | {calls} | {milliseconds:.1f} |")
        for title, model in (("dense twin", dense), ("rounds", sparse)):
            print(f"\n| operator of the {title} | calls | ms |\n|---|---|---|")
            for name, calls, milliseconds in _operators(lambda m=model: step(m, x), 4):
                print(f"| {name} | {calls} | {milliseconds:.1f} |")


def step(model: nn.Module, x: Tensor) -> None:
    """A forward and a backward pass."""
    model.zero_grad()
    nn.functional.cross_entropy(model(x), torch.arange(len(x)) % 10).backward()


def _faults(one: Callable[[], None]) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    one()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def _kernels(one: Callable[[], None], times: int) -> dict[str, tuple[int, float]]:
    """Calls and milliseconds of every kernel in a step."""
    found: dict[str, list[float]] = defaultdict(list)
    before = lanes.share

    def timed(kernel: Any, tasks: int, *arguments: Any) -> None:
        start = time.perf_counter()
        before(kernel, tasks, *arguments)
        found[kernel.__name__].append(1e3 * (time.perf_counter() - start))

    lanes.share = packed.share = timed
    try:
        for _ in range(times):
            one()
    finally:
        lanes.share = packed.share = before
    return {name: (len(each) // times, sum(each) / times) for name, each in found.items()}


def _operators(one: Callable[[], None], times: int) -> list[tuple[str, int, float]]:
    """The operators of a step that take longest by themselves."""
    with profile() as seen:
        for _ in range(times):
            one()
    rows = sorted(seen.key_averages(), key=lambda row: -row.self_cpu_time_total)[:9]
    return [(row.key, row.count // times, row.self_cpu_time_total / 1e3 / times) for row in rows]


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
