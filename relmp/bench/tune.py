"""Measures the table of ``execution="auto"`` for a machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from relmp.bench.rounds import Shape, graph_of_density, step_of
from relmp.bench.timing import Step, interleaved
from relmp.rounds.execution import possible_executions
from relmp.rounds.execution.rule import Crossover

NODES = 32
DENSITIES = (0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0)
NODE_SIZES = {"linear": (1, 4, 12), "pointwise": (1, 4, 12), "spatial": (1, 4, 12)}


def measure_table(
    *, repeats: int = 9, seconds: float = 3.0, report: Callable[[Crossover], object]
) -> Iterator[Crossover]:
    """One row after another: the densities up to which executions beat the dense product.

    Args:
        repeats, seconds: Of one measurement; see :func:`interleaved`.
        report: Called with every row as it comes.
    """
    for kind, sizes in NODE_SIZES.items():
        for size in sizes:
            best = dict.fromkeys(("cpu_kernel", "gathered"), 0.0)
            open_ = set(best)
            for density in DENSITIES:
                won = _winners(kind, size, density, repeats, seconds) & open_
                best |= dict.fromkeys(won, density)
                open_ = won
                if not open_:
                    break
            row = Crossover(kind, size, **best)
            report(row)
            yield row


def _winners(kind: str, size: int, density: float, repeats: int, seconds: float) -> set[str]:
    """The executions that beat the dense product here."""
    graph = graph_of_density(NODES, density)
    pixels = 0 if kind == "linear" else 8
    channels = max(NODES, round(size * 1.5 * NODES * graph.density**0.5))
    shape = Shape(kind, channels, 128 if kind == "linear" else 32, pixels, 3, NODES)
    shape = shape if kind != "pointwise" else Shape(kind, channels, 32, pixels, 1, NODES)
    possible = possible_executions(shape.layer(graph))
    names = [name for name in ("dense", "cpu_kernel", "gathered") if name in possible]
    steps: dict[str, Step] = {name: step_of(shape, graph, name) for name in names}
    timings = interleaved(steps, repeats=repeats, seconds=seconds)
    return {name for name in names if timings[name].median < timings["dense"].median}
