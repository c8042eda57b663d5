"""Measures the table of ``execution="auto"`` for a machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from relmp.bench.rounds import Shape, graph_of_density, step_of
from relmp.bench.timing import Step, interleaved
from relmp.rounds.execution import possible_executions
from relmp.rounds.execution.rule import Crossover

NODES = 32
DENSITIES = (0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0)
SIZES = {
    "linear": (1, 256, 384, 512, 1024, 1536),
    "pointwise": (1, 2, 4, 12),
    "spatial": (1, 2, 4, 12),
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
            row = Crossover(kind, size, **best)
            report(row)
            yield row


def _winners(kind: str, size: int, density: float, repeats: int, seconds: float) -> set[str]:
    """The executions that beat the dense product here."""
    graph = graph_of_density(NODES, density)
    width = max(NODES, size if kind == "linear" else size * NODES)
    channels = round(width * graph.density**0.5)  # of the complete graph at equal cost
    shape = {
        "linear": Shape(kind, channels, 128, nodes=NODES),
        "pointwise": Shape(kind, channels, 32, 8, 1, NODES),
        "spatial": Shape(kind, channels, 32, 8, 3, NODES),
    }[kind]
    possible = possible_executions(shape.layer(graph))
    names = [name for name in ("dense", "cpu_kernel", "gathered") if name in possible]
    steps: dict[str, Step] = {name: step_of(shape, graph, name) for name in names}
    timings = interleaved(steps, repeats=repeats, seconds=seconds)
    return {name for name in names if timings[name].median < timings["dense"].median}
