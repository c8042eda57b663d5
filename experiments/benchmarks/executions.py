"""Message passing against the dense product: what the rule for ``execution="auto"`` rests on.

    python experiments/benchmarks/executions.py

Times one forward and backward pass of a linear round along both executions, and of
``nn.Linear`` of the same width, interleaved in one process on one thread (as in a sweep), and
prints medians in milliseconds and which execution ``auto`` takes. Device: a CPU, half a minute.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from relmp import RelationalLinear, create_graph

BATCH = 128
REPEATS = 15
SHAPES = [  # nodes, mean degree, width
    (64, 2.2, 128), (64, 8, 128), (64, 20, 128), (64, 64, 128),
    (64, 8, 340), (64, 20, 340), (64, 8, 1539), (64, 20, 800), (64, 64, 512),
    (64, 3, 2048), (16, 4, 512), (16, 8, 512), (256, 4, 2048), (1024, 4, 2048),
]  # fmt: skip


def medians(steps: list[Callable[[], object]]) -> list[float]:
    """Milliseconds of every step; the steps take turns."""
    for step in steps:
        step(), step()
    times: list[list[float]] = [[] for _ in steps]
    for _ in range(REPEATS):
        for record, step in zip(times, steps, strict=True):
            began = time.perf_counter()
            step()
            record.append(1e3 * (time.perf_counter() - began))
    return [statistics.median(record) for record in times]


def step_of(layer: torch.nn.Module, weight: torch.Tensor, x: torch.Tensor) -> Callable[[], object]:
    return lambda: torch.autograd.grad(layer(x).sum(), [x, weight])


def main() -> None:
    torch.set_num_threads(1)
    print(
        "| nodes | channels a node | density | messages | dense product | nn.Linear | auto takes |"
    )
    print("|---|---|---|---|---|---|---|")
    for nodes, degree, width in SHAPES:
        name = "complete" if degree == nodes else "ws_flex"
        settings = {} if degree == nodes else {"k": degree, "p": 0.2, "seed": 1}
        graph = create_graph(name, n=nodes, **settings)
        x = torch.randn(BATCH, width, requires_grad=True)
        layers = [
            RelationalLinear(graph, width, width, bias=False, execution=execution)
            for execution in ("message_passing", "dense")
        ]
        linear = torch.nn.Linear(width, width, bias=False)
        steps = [step_of(layer, layer.weight, x) for layer in [*layers, linear]]
        messages, dense, floor = medians(steps)
        auto = RelationalLinear(graph, width, width).execution
        print(
            f"| {nodes} | {width / nodes:.1f} | {graph.density:.3f} | {messages:.2f} | "
            f"{dense:.2f} | {floor:.2f} | {auto} |"
        )


if __name__ == "__main__":
    main()
