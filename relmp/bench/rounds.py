"""Rounds side by side: the complete graph, a weight times a mask, and every execution."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from relmp.bench.timing import Step, interleaved
from relmp.graphs import RelationalGraph, create_graph
from relmp.rounds import RelationalConv2d, RelationalLinear, Round, dense_weight
from relmp.rounds.execution import MESSAGE_PASSING, possible_executions

FLOOR = "complete graph"
MASK = "weight x mask"


@dataclass(frozen=True)
class Shape:
    """A layer of a published model, over the complete graph.

    Args:
        name: What it is called in tables.
        channels: Its width; sparse rounds are as wide as costs the same.
        batch: Images a step.
        pixels: Height and width of the images; 0 for a linear layer.
        kernel: Size of the kernel.
        nodes: Nodes of the graphs.
    """

    name: str
    channels: int
    batch: int
    pixels: int = 0
    kernel: int = 3
    nodes: int = 64

    def width(self, density: float) -> int:
        """How wide a round of this density is at equal cost."""
        return max(self.nodes, round(self.channels / math.sqrt(density)))

    def layer(self, graph: RelationalGraph, execution: str = "auto") -> Round:
        """The round over a graph, at equal cost."""
        width = self.width(graph.density)
        if not self.pixels:
            return RelationalLinear(graph, width, width, bias=False, execution=execution)
        options: dict[str, Any] = {"padding": self.kernel // 2, "bias": False}
        return RelationalConv2d(graph, width, width, self.kernel, execution=execution, **options)

    def images(self, channels: int) -> Tensor:
        """A batch of noise."""
        sides = (self.pixels, self.pixels) if self.pixels else ()
        return torch.randn(self.batch, channels, *sides, requires_grad=True)

    def apply(self, x: Tensor, weight: Tensor) -> Tensor:
        """The ordinary layer."""
        if not self.pixels:
            return F.linear(x, weight)
        return F.conv2d(x, weight, padding=self.kernel // 2)


SHAPES = (
    Shape("MLP, 512", 512, 128),
    Shape("MLP, 128", 128, 128),
    Shape("ResNet-34 at 64, stage 1", 64, 64, 16),
    Shape("ResNet-34 at 64, stage 2", 128, 64, 8),
    Shape("ResNet-34 at 64, stage 3", 256, 64, 4),
    Shape("ResNet-34 at 64, stage 4", 512, 64, 2),
    Shape("ResNet-34 at 224, stage 2", 128, 16, 28),
    Shape("ResNet-34 at 224, stage 3", 256, 16, 14),
    Shape("ResNet-34 at 224, stage 4", 512, 16, 7),
    Shape("CNN at 32, stage 3", 256, 64, 8),
    Shape("ResNet-50 at 64, stage 2, 1x1", 512, 64, 8, 1),
)
QUICK_SHAPES = (SHAPES[0], SHAPES[3])
DENSITIES = (0.11, 0.17, 0.30, 0.48, 1.0)
QUICK_DENSITIES = (0.11, 0.30, 1.0)


@dataclass(frozen=True)
class Row:
    """One method at one shape and density, in milliseconds of a forward and backward pass."""

    shape: str
    density: float
    width: int
    method: str
    median: float
    low: float
    high: float
    auto: str


def graph_of_density(nodes: int, density: float) -> RelationalGraph:
    """A small-world graph of about this density; the complete one for 1."""
    if density >= 1:
        return create_graph("complete", n=nodes)
    return create_graph("ws_flex", n=nodes, k=max(2.0, density * nodes - 1), p=0.2, seed=1)


def measure_rounds(
    shapes: Iterable[Shape],
    densities: Iterable[float],
    *,
    repeats: int = 15,
    seconds: float = 20.0,
    literal: bool = False,
    report: Callable[[Row], object] = lambda row: None,
) -> list[Row]:
    """Time every method at every shape and density, methods interleaved.

    Args:
        shapes, densities: What to measure.
        repeats, seconds: Of one shape and density; see :func:`interleaved`.
        literal: Also time the literal messages of convolutions, which takes seconds a step.
        report: Called with every row as it comes.
    """
    rows = []
    for shape in shapes:
        for density in densities:
            graph = graph_of_density(shape.nodes, density)
            width = shape.width(graph.density)
            auto = shape.layer(graph).execution
            steps = steps_of(shape, graph)
            if shape.pixels and not literal:
                del steps[MESSAGE_PASSING]
            timings = interleaved(steps, repeats=repeats, seconds=seconds)
            for method, timing in timings.items():
                place = (shape.name, round(graph.density, 3), width, method)
                rows.append(Row(*place, **asdict(timing), auto=auto))
                report(rows[-1])
    return rows


def steps_of(shape: Shape, graph: RelationalGraph) -> dict[str, Step]:
    """A forward and backward pass of every method, by name."""
    layer = shape.layer(graph)
    names = [FLOOR, MASK, *possible_executions(layer)]
    return {name: step_of(shape, graph, name) for name in names}


def step_of(shape: Shape, graph: RelationalGraph, method: str) -> Step:
    """A forward and backward pass of one method."""
    if method == FLOOR:
        weight = torch.randn(shape.channels, shape.channels, *_kernel(shape), requires_grad=True)
        return _pass(partial(_plain, shape, weight), weight, shape.images(shape.channels))
    layer = shape.layer(graph, "dense" if method == MASK else method)
    x = shape.images(layer.in_channels)
    if method != MASK:
        weight = next(layer.message_module.parameters())
        return _pass(layer, weight, x)
    weight = dense_weight(layer).detach().requires_grad_()
    mask = (weight != 0).float()
    return _pass(lambda x: shape.apply(x, weight * mask), weight, x)


def _plain(shape: Shape, weight: Tensor, x: Tensor) -> Tensor:
    return shape.apply(x, weight)


def _kernel(shape: Shape) -> tuple[int, ...]:
    return (shape.kernel, shape.kernel) if shape.pixels else ()


def _pass(layer: Callable[[Tensor], Tensor], weight: Tensor, x: Tensor) -> Step:
    direction = torch.randn_like(layer(x))
    return lambda: torch.autograd.grad(layer(x), [x, weight], direction)


def tables(rows: list[Row]) -> Iterator[str]:
    """A table in Markdown for every shape: milliseconds, and ratios to the mask and the floor."""
    for shape in dict.fromkeys(row.shape for row in rows):
        ours = [row for row in rows if row.shape == shape]
        methods = list(dict.fromkeys(row.method for row in ours))
        heads = ["density", "width", *methods, "auto takes", "mask / auto", "auto / floor"]
        lines = [f"**{shape}**", "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        for density in dict.fromkeys(row.density for row in ours):
            at = {row.method: row for row in ours if row.density == density}
            one = next(iter(at.values()))
            auto = at[one.auto].median
            cells = [f"{density:.3f}", str(one.width)]
            cells += [f"{at[m].median:.3g}" if m in at else "" for m in methods]
            ratios = (at[MASK].median / auto, auto / at[FLOOR].median)
            cells += [one.auto, *(f"{ratio:.2f}" for ratio in ratios)]
            lines.append(f"| {' | '.join(cells)} |")
        yield "\n".join([*lines, ""])
