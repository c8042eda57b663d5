"""Measures the table of ``execution="auto"`` for a machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from relmp.bench.rounds import Shape, graph_of_density, step_of
from relmp.bench.timing import Step, interleaved
from relmp.rounds.execution import possible_executions
from relmp.rounds.execution.rule import Crossover

NODES = 64
BATCH = {"linear": 128, "pointwise": 32, "spatial": 32}
DENSITIES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
PIXELS = {1: 28, 2: 14, 3: 14, 4: 10, 8: 7, 16: 7}
"""Usual heights of images by channels a node: the wider a layer, the smaller its images."""
SIZES: dict[str, tuple[int, ...]] = {
    "linear": (64, 96, 128, 256, 512, 768, 1024, 1536),
    "pointwise": tuple(PIXELS),
    "spatial": tuple(PIXELS),
}


def measure_table(
    *, repeats: int = 9, seconds: float = 3.0, report: Callable[[Crossover], object]
) -> Iterator[Crossover]:
    """One row after another: the densities up to which executions beat the dense product.

    Args:
        repeats, seconds: Of one measurement; see :func:`interleaved`.
        report: Called with every row as it comes.
    """
    for kind, sizes in SIZES.items():
        for size in sizes:
            best = dict.fromkeys(("cpu_kernel", "gathered"), 0.0)
            open_ = set(best)
            for density in DENSITIES:
                won = _winners(kind, size, density, repeats, seconds) & open_
                best |= dict.fromkeys(won, density)
                open_ = won
                if not open_:
                    break
            row = Crossover(kind, 1 if size == sizes[0] else size, **best)
            report(row)
            yield row


def _winners(kind: str, size: int, density: float, repeats: int, seconds: float) -> set[str]:
    """The executions that beat the dense product here."""
    graph = graph_of_density(NODES, density)
    width = max(NODES, size if kind == "linear" else size * NODES)
    channels = round(width * graph.density**0.5)  # of the complete graph at equal cost
    pixels = 0 if kind == "linear" else PIXELS[size]
    shape = Shape(kind, channels, BATCH[kind], pixels, 3 if kind == "spatial" else 1, NODES)
    possible = possible_executions(shape.layer(graph))
    names = [name for name in ("dense", "cpu_kernel", "gathered") if name in possible]
    steps: dict[str, Step] = {name: step_of(shape, graph, name) for name in names}
    timings = interleaved(steps, repeats=repeats, seconds=seconds)
    return {name for name in names if timings[name].median < timings["dense"].median}
