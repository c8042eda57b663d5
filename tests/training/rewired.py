"""The papers' loop over dense masks, written out: what rewiring is compared with."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from relmp.rounds import Round
from relmp.training import ImageData, TrainConfig
from relmp.training.data import plan_epoch


class ToDouble(nn.Module):
    """Float64, so that the order of additions decides nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).double()


@dataclass
class DenseLayer:
    """A dense weight, its mask, where edges are, and the channels of every node on both sides."""

    weight: Tensor
    mask: Tensor
    room: Tensor
    bias: Tensor | None
    outs: list[range]
    ins: list[range]
    momentum: Tensor = field(init=False)
    bias_momentum: Tensor | None = field(init=False)
    tried: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.momentum, self.tried = torch.zeros_like(self.weight), self.mask.clone()
        self.bias_momentum = None if self.bias is None else torch.zeros_like(self.bias)

    def blocks(self, granularity: str) -> list[tuple[list[int], list[int]]]:
        """Rows and columns of every place, in order."""
        if granularity == "edge":
            return [(list(o), list(i)) for o in self.outs for i in self.ins]
        found = []
        for o in self.outs:  # a weight is numbered by its target, its source, row and column
            for i in self.ins:
                found += [([row], [column]) for row in o for column in i if self.room[row, column]]
        return found


def node_channels(sizes: Any) -> list[range]:
    ends = np.cumsum([0, *sizes]).tolist()
    return [range(a, b) for a, b in itertools.pairwise(ends)]


def dense_layers(model: nn.Module) -> list[DenseLayer]:
    """Dense twins of the rounds, in order; masks as laid out now."""
    found = []
    for layer in model.modules():
        if not isinstance(layer, Round):
            continue
        outs = node_channels(layer.out_partition.sizes)
        ins = node_channels(layer.in_partition.sizes)
        own = layer.message_module.weight.detach()
        weight = own.new_zeros(layer.out_channels, layer.in_channels)
        mask, room = (torch.zeros_like(weight, dtype=torch.bool) for _ in range(2))
        there = getattr(layer, "weight_mask", torch.ones_like(own, dtype=torch.bool))
        for e, (source, target) in enumerate(layer.edge_index.T.tolist()):
            for o, row in enumerate(outs[target]):
                for i, column in enumerate(ins[source]):
                    weight[row, column], mask[row, column] = own[e, o, i], there[e, o, i]
                    room[row, column] = True
        bias = None if layer.bias is None else layer.bias.detach().clone()
        found.append(DenseLayer(weight, mask, room, bias, outs, ins))
    return found


def reference(
    layers: list[DenseLayer],
    head: nn.Linear,
    data: ImageData,
    config: TrainConfig,
    rule: Any,
    drawn: Any,
) -> list[int]:
    """Train the dense twins in place; returns the steps of the optimiser at each update."""
    weights = [head.weight.detach().clone(), head.bias.detach().clone()]
    momenta = [torch.zeros_like(w) for w in weights]
    plans = [
        plan_epoch(data.size("train"), config.batch_size, seed=config.seed, epoch=epoch)
        for epoch in range(config.epochs)
    ]
    end = round(rule.until * sum(map(len, plans)))
    step, last, updates = 0, None, []
    for epoch, plan in enumerate(plans):
        lr = config.learning_rate(epoch)
        for images, labels in data.training_batches(plan, slice(0, None)):
            masked = [(layer.weight * layer.mask).requires_grad_() for layer in layers]
            biases = [None if d.bias is None else d.bias.clone().requires_grad_() for d in layers]
            ends = [w.clone().requires_grad_() for w in weights]
            x = images.flatten(1).double()
            for w, b in zip(masked, biases, strict=True):
                x = F.linear(x, w, b).relu()
            F.cross_entropy(F.linear(x, *ends), labels).backward()
            due = (last is None or step >= last + rule.every) and step <= end
            now = step
            if not (due and rule.needs_gradient):
                for layer, w, b in zip(layers, masked, biases, strict=True):
                    sgd(layer.weight, w.grad * layer.mask, layer.momentum, lr, config, layer.mask)
                    if b is not None:
                        sgd(layer.bias, b.grad, layer.bias_momentum, lr, config)
                for w, given, momentum in zip(weights, ends, momenta, strict=True):
                    sgd(w, given.grad, momentum, lr, config)
                step += 1
            if due:
                share = np.float32(0.5) * (1 + np.cos(np.float32(math.pi) * np.float32(now / end)))
                for number, (layer, w) in enumerate(zip(layers, masked, strict=True)):
                    scores = drawn(number, now)
                    update(layer, w.grad, rule, np.float32(rule.fraction) * share, scores)
                last = now
                updates.append(now)
    return updates


def sgd(
    weight: Any, grad: Any, momentum: Any, lr: float, config: TrainConfig, mask: Any = None
) -> None:
    """One step of SGD with Nesterov momentum."""
    grad = grad + config.weight_decay * (weight if mask is None else weight * mask)
    momentum.mul_(config.momentum).add_(grad)
    weight.sub_(lr * (grad + config.momentum * momentum))


def update(layer: DenseLayer, grad: Any, rule: Any, share: Any, scores: Any) -> None:
    """Drop and grow, place by place."""
    blocks = layer.blocks(rule.granularity)
    places = [np.ix_(*block) for block in blocks]
    active = [p for p, place in enumerate(places) if layer.mask[place].all()]
    count = int(np.float32(len(active)) * share)
    worth = {p: float(layer.weight[places[p]].norm()) for p in active}
    order = sorted(active, key=lambda p: (-worth[p], p))
    kept = order[: len(order) - count]
    if scores is None:
        scores = [float(grad[place].norm()) for place in places]
    free = [p for p in range(len(places)) if p not in set(kept)]
    grown = sorted(free, key=lambda p: (-scores[p], p))[:count]
    after = set(kept) | set(grown)
    for p, place in enumerate(places):
        if p not in after or p not in set(active):
            layer.weight[place] = 0
            layer.momentum[place] = 0
        layer.mask[place] = p in after
    layer.tried |= layer.mask
