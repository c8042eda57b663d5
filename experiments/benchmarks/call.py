"""What a call of a round costs beside its products: four channels, batch norm and ReLU behind them.

    python experiments/benchmarks/call.py

The round beside ``nn.Sequential(nn.Linear, nn.BatchNorm1d, nn.ReLU)``; microseconds of a call, of
which a tenth took less.

Device: one CPU core, some seconds. Prints a table in Markdown; what came is in ``step.md``.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import relmp
from relmp.machine import processor

CHANNELS, IMAGES, CALLS = 4, 128, 5000


def _update() -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm1d(CHANNELS), nn.ReLU())


def _backward(layer: nn.Module, x: Tensor) -> Callable[[], object]:
    out, inputs = layer(x), [x, *layer.parameters()]
    return lambda: torch.autograd.grad(out, inputs, out, retain_graph=True)


def _microseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return 1e6 * (time.perf_counter() - began)


def main() -> None:
    torch.set_num_threads(1)
    graph = relmp.create_graph("complete", n=4)
    options = {"update": _update(), "bias": False, "execution": "cpu_kernel"}
    layers = {
        "round": relmp.Round(graph, CHANNELS, CHANNELS, **options),
        "Sequential": nn.Sequential(nn.Linear(CHANNELS, CHANNELS, bias=False), *_update()),
    }
    x = torch.randn(IMAGES, CHANNELS, requires_grad=True)
    print(f"{processor()}, one thread, microseconds\n")
    print(f"| | {' | '.join(layers)} | more |\n|---|---|---|---|")
    for way in ("forward", "backward"):
        found = []
        for layer in layers.values():
            call = _backward(layer, x) if way == "backward" else lambda layer=layer: layer(x)
            times = sorted(_microseconds(call) for _ in range(CALLS))
            found.append(times[CALLS // 10])
        print(f"| {way} | {found[0]:.0f} | {found[1]:.0f} | {found[0] - found[1]:.0f} |")


if __name__ == "__main__":
    main()
