"""Is sparse training faster? RigL on rounds against RigL as a weight times a mask.

Whole steps are timed: forward, backward, optimiser, and every rewiring. Both sides hold the same
number of weights in the same places, train on the same batches, and change their edges by the same
rule once in ``every`` steps; the mask's side is what public implementations do. They take turns,
a few steps each, so that other work on the machine meets both.

    python experiments/benchmarks/rewiring.py --steps 1000
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import relmp
from relmp.rounds import Round
from relmp.rounds.layout import EdgeLayout
from relmp.training.config import TrainConfig
from relmp.training.state import TrainState

Step = Callable[[Tensor, Tensor], float]
CLOCK = time.perf_counter
"""Or ``time.process_time``: seconds of computing, whatever else the machine does."""
BLOCK = 10
"""Steps of one side before the other takes its turn."""


class Masked(nn.Module):
    """A dense layer whose weight is multiplied by a mask in every forward pass."""

    def __init__(self, layer: Round) -> None:
        super().__init__()
        message: Any = layer.message_module
        layout, form = EdgeLayout(layer.form), message.geometry
        self.weight = nn.Parameter(layout(message.weight).detach().clone())
        blocks = torch.ones_like(message.weight)
        self.register_buffer("mask", layout(blocks))
        self.form, self.update = form, layer.update_module
        self.blocks = (layer.out_partition.sizes, layer.in_partition.sizes)

    def forward(self, x: Tensor) -> Tensor:
        self.used = self.weight * self.mask
        if self.used.requires_grad:
            self.used.retain_grad()
        out = self.form.whole(x, self.used)
        return out if self.update is None else self.update(out)

    @torch.no_grad()
    def rewire(self, share: float, momentum: Tensor) -> None:
        """RigL on blocks of the mask."""
        outs, ins = self.blocks
        n = len(outs)

        def norms(values: Tensor) -> Tensor:
            squares = values.square().flatten(2).sum(2) if values.dim() > 2 else values.square()
            rows = torch.arange(n).repeat_interleave(torch.from_numpy(outs))
            columns = torch.arange(n).repeat_interleave(torch.from_numpy(ins))
            summed = squares.new_zeros(n, squares.size(1)).index_add(0, rows, squares)
            return squares.new_zeros(n, n).index_add(1, columns, summed).flatten()

        there = norms(self.mask) > 0
        worth = norms(self.weight).masked_fill(~there, -1)
        count = int(share * int(there.sum()))
        kept = worth.argsort(descending=True)[: int(there.sum()) - count]
        growth = norms(self.used.grad)
        growth[kept] = -1
        after = torch.zeros(n * n, dtype=torch.bool)
        after[kept] = True
        after[growth.argsort(descending=True)[:count]] = True
        rows = torch.repeat_interleave(after.view(n, n), torch.from_numpy(outs), 0)
        mask = torch.repeat_interleave(rows, torch.from_numpy(ins), 1)
        mask = mask.view(*mask.shape, *[1] * (self.weight.dim() - 2)).expand_as(self.weight)
        stays = mask & (self.mask > 0)
        self.weight.mul_(stays)
        momentum.mul_(stays)
        self.mask.copy_(mask)


def masked_twin(model: nn.Module) -> nn.Module:
    """The same network with every round as a masked dense layer."""
    twin = copy.deepcopy(model)
    for parent in list(twin.modules()):
        for name, child in parent._modules.items():
            if isinstance(child, Round):
                parent._modules[name] = Masked(child)
    return twin


def sparse_step(model: nn.Module, every: int, total: int) -> tuple[Step, Any]:
    """A step of training as :func:`relmp.train` makes it."""
    config = TrainConfig(rewiring=f"rigl(every={every}, until=1)")
    state = TrainState(model, config)
    state.begin_epoch(total)
    state.rewirer.total = total
    spent = {"rewiring": 0.0}
    finish = state.rewirer.finish

    def timed_finish(*arguments: Any) -> None:
        began = CLOCK()
        finish(*arguments)
        spent["rewiring"] += CLOCK() - began

    state.rewirer.finish = timed_finish  # type: ignore[method-assign]

    def step(x: Tensor, y: Tensor) -> float:
        began = CLOCK()
        with state.rewirer.watching() as watched:
            loss = F.cross_entropy((state.watched if watched else state.forward)(x), y)
        state.optimizer.zero_grad()
        loss.backward()
        spends = state.rewirer.skips
        state.end_batch(len(x))
        took = CLOCK() - began
        if spends:
            spent["updates"] = spent.get("updates", 0.0) + took
        return took

    return step, spent


def masked_step(model: nn.Module, every: int, total: int) -> Step:
    """The same with masks."""
    config = TrainConfig()
    state = TrainState(model, config)
    state.begin_epoch(total)
    layers = [layer for layer in model.modules() if isinstance(layer, Masked)]
    done = -1

    def step(x: Tensor, y: Tensor) -> float:
        nonlocal done
        began = CLOCK()
        loss = F.cross_entropy(model(x), y)
        state.optimizer.zero_grad()
        loss.backward()
        done += 1
        if done % (every + 1) == 0:
            share = 0.15 * (1 + np.cos(np.pi * done / total))
            for layer in layers:
                held = state.optimizer.state[layer.weight].get("momentum_buffer")
                layer.rewire(share, torch.zeros_like(layer.weight) if held is None else held)
        else:
            state.take_step()
        return CLOCK() - began

    return step


def sparselab_step(width: int, density: float, every: int) -> Step | None:
    """A step of an MLP as wide and dense of the sparse layers of sparselab, with its RigL, where it
    is installed."""
    try:
        import sparselab
    except ImportError:
        return None
    layers: list[nn.Module] = [nn.Linear(3072, 512), nn.BatchNorm1d(512), nn.ReLU()]
    before = 512
    for _ in range(3):
        layers += [
            sparselab.SparseLinear(before, width, sparsity=1 - density, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
        ]
        before = width
    model = nn.Sequential(nn.Flatten(), *layers, nn.Linear(width, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    rule = sparselab.RigL(sparsity=1 - density, drop_fraction=0.3, update_freq=every)
    model.apply(rule)

    def step(x: Tensor, y: Tensor) -> float:
        began = CLOCK()
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rule.step()
        return CLOCK() - began

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="count seconds of computing")
    parser.add_argument("--only", help="the first letters of a case")
    given = parser.parse_args()
    global CLOCK
    if given.cpu_time:
        CLOCK = time.process_time
    torch.set_num_threads(given.threads)
    mlp = relmp.create_graph("ws_flex", n=64, k=6.04, p=0.2, seed=1)
    rng = np.random.default_rng(0)
    places = rng.choice(256, size=38, replace=False)
    sixteen = relmp.RelationalGraph(16, np.stack(np.divmod(places, 16)), self_loops=False)
    cases: list[tuple[str, nn.Module, tuple[int, ...], int]] = [
        ("MLP, width 1,545", relmp.create_model(
            "mlp", graph=mlp, width=1545, stem_width=512), (3072,), 1),
        ("ResNet-20, 16 directed nodes", relmp.match_flops(
            "resnet20", graph=sixteen, input_shape=(3, 32, 32)), (3, 32, 32), 10),
    ]  # fmt: skip
    for name, model, shape, fewer in cases:
        if not name.startswith(given.only or ""):
            continue
        steps = given.steps // fewer
        twin = masked_twin(model)
        sparse, spent = sparse_step(model, given.every, steps)
        sides: dict[str, Step] = {
            "rounds": sparse,
            "weight x mask": masked_step(twin, given.every, steps),
        }
        if shape == (3072,) and (other := sparselab_step(1545, 0.11, given.every)) is not None:
            sides["sparselab"] = other
        batches = torch.randn(128, *shape), torch.randint(10, (128,))
        for side in sides.values():  # compiles, and makes the first update
            side(*batches)
        spent.update(rewiring=0.0, updates=0.0)
        times: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(steps // BLOCK):
            for side, step in sides.items():
                times[side] += [step(*batches) for _ in range(BLOCK)]
        for side, step in sides.items():  # up to the next update
            times[side].append(step(*batches))
        density = next(iter(model.graphs.values())).density
        print(f"{name}, density {density:.3f}, batch 128, {steps} steps, every {given.every}")
        first = sum(times["rounds"])
        for side, took in times.items():
            print(
                f"  {side}: {1000 * np.mean(took):.2f} ms a step (median "
                f"{1000 * np.median(took):.2f}), {sum(took) / first:.2f} of rounds"
            )
        print(
            f"  of the time of rounds, changing edges takes {100 * spent['rewiring'] / first:.1f} "
            f"%, the batches of updates {100 * spent['updates'] / first:.1f} %",
            flush=True,
        )


if __name__ == "__main__":
    main()
