"""What ``execution="auto"`` takes: tables of measured densities.

The dense product costs the same at every density; the other executions cost as much as the
edges. So for a kind of round and a node size there is one density below which an execution
wins, and a table holds it. Tables belong to families of processors, see
:func:`relmp.machine.processor_family`. They were measured by ``relmp bench rounds --tune``
(``experiments/benchmarks/rounds.md``); on a processor of another family the nearest one is taken,
and ``relmp bench`` says so. The same command measures a table for a machine and writes a file,
which is used where the environment variable ``RELMP_EXECUTION_TABLE`` names it. A table says what
is fast, never what is right.

For GPUs there is a table of its own, by the type of the numbers too; where it has no row,
``"auto"`` takes no kernels there. ``experiments/benchmarks/gpu.py`` measures what a row needs.
"""

from __future__ import annotations

import json
import math
import os
from functools import cache
from pathlib import Path
from typing import NamedTuple, cast

from relmp.machine import processor_family
from relmp.rounds.form import RoundForm
from relmp.rounds.message import WeightedMessage

TABLE_VARIABLE = "RELMP_EXECUTION_TABLE"


class Crossover(NamedTuple):
    """Densities up to which executions beat the dense product.

    Args:
        kind: "linear" (of vectors), "pointwise" (a 1x1 convolution) or "spatial" (a larger kernel).
        size: From which size this row holds, up to the next one: channels of the layer for
            "linear", where calls cost more than small products, and channels a node for others.
        cpu_kernel: Up to this density the compiled loops win.
        gathered: Up to this density gathering wins, where the loops cannot run.
    """

    kind: str
    size: float
    cpu_kernel: float
    gathered: float


class Table(NamedTuple):
    """A measured table.

    Args:
        family: Of the processor, see :func:`relmp.machine.processor_family`.
        processor: What it was measured on.
        rows: What came.
    """

    family: str
    processor: str
    rows: tuple[Crossover, ...]

    @property
    def name(self) -> str:
        """As a run records it."""
        return f"{self.family}: {self.processor}"

    def describe(self) -> str:
        """On what it was measured; where this machine is of another family, that too."""
        here = processor_family()
        told = f"measured on {self.processor} ({self.family})"
        if self.family == here:
            return told
        return (
            f"{told}, which may not be the fastest choice on this one ({here}); relmp bench rounds "
            f"--tune measures a table here"
        )


_ON_EPYC = (
    #         kind       size  cpu_kernel  gathered
    Crossover("linear", 1, 0.00, 0.00),
    Crossover("linear", 96, 0.70, 0.00),
    Crossover("linear", 128, 1.00, 0.00),
    Crossover("linear", 512, 1.00, 0.15),
    Crossover("linear", 768, 1.00, 0.15),
    Crossover("linear", 1024, 1.00, 0.20),
    Crossover("linear", 1536, 1.00, 0.40),
    Crossover("pointwise", 1, 0.00, 0.00),
    Crossover("pointwise", 2, 0.15, 0.00),
    Crossover("pointwise", 3, 0.40, 0.00),
    Crossover("pointwise", 4, 0.60, 0.00),
    Crossover("pointwise", 8, 0.90, 0.00),
    Crossover("spatial", 1, 0.20, 0.00),
    Crossover("spatial", 1.5, 0.33, 0.00),
    Crossover("spatial", 2, 0.50, 0.00),
    Crossover("spatial", 3, 0.70, 0.00),
    Crossover("spatial", 4, 0.90, 0.00),
    Crossover("spatial", 8, 1.00, 0.00),
)
SHIPPED = (Table("AMD AVX-512", "two cores of an AMD EPYC (Zen 4)", _ON_EPYC),)
"""Tables by family; nobody has measured others."""


class GpuCrossover(NamedTuple):
    """The density up to which the kernels of a GPU beat its dense product.

    Args:
        kind, size: See :class:`Crossover`.
        dtype: The type of the numbers, as PyTorch calls it: "float32", "bfloat16".
        gpu_kernel: Up to this density they win.
    """

    kind: str
    size: float
    dtype: str
    gpu_kernel: float


MEASURED_ON_GPU = (
    GpuCrossover("pointwise", 8, "float32", 0.13),
    GpuCrossover("pointwise", 32, "float32", 0.00),  # not measured
    GpuCrossover("pointwise", 8, "bfloat16", 0.13),
)
"""On an NVIDIA H200 with PyTorch 2.11, step by step; see ``experiments/benchmarks/gpu.md``. Where
there is no row, the kernels were slower or were not measured."""


def gpu_crossover(form: RoundForm) -> float:
    """Up to which density the kernels of a GPU win for a round like this; 0 where not measured."""
    kind, size = _kind_and_size(form)
    dtype = str(cast(WeightedMessage, form.message).weight.dtype).removeprefix("torch.")
    rows = [row for row in MEASURED_ON_GPU if (row.kind, row.dtype) == (kind, dtype)]
    rows = [row for row in rows if row.size <= size]
    return max(rows, key=lambda row: row.size).gpu_kernel if rows else 0.0


def crossover(form: RoundForm) -> Crossover:
    """The row of the table for a round of linear maps."""
    kind, size = _kind_and_size(form)
    rows = [row for row in execution_table().rows if row.kind == kind]
    return max((row for row in rows if row.size <= size), key=lambda row: row.size)


def _kind_and_size(form: RoundForm) -> tuple[str, float]:
    """By what a row is found."""
    kind = kind_of(form)
    return kind, mean_channels(form) if kind == "linear" else channels_a_node(form)


def kind_of(form: RoundForm) -> str:
    """Which rows of the table speak of a round of linear maps."""
    kernel = cast(WeightedMessage, form.message).geometry.kernel
    if not kernel:
        return "linear"
    return "pointwise" if math.prod(kernel) == 1 else "spatial"


def mean_channels(form: RoundForm) -> float:
    """The geometric mean of the channels of the input and of the output."""
    return math.sqrt(form.in_channels * form.out_channels)


def channels_a_node(form: RoundForm) -> float:
    """The node size, between that of the input and that of the output."""
    return mean_channels(form) / form.graph.num_nodes


def execution_table() -> Table:
    """The table in use: that of the file in ``RELMP_EXECUTION_TABLE``, or the shipped one of the
    nearest family.

    Raises:
        ValueError: If the file holds no such table.
    """
    return _table(os.environ.get(TABLE_VARIABLE))


@cache
def _table(path: str | None) -> Table:
    if not path:
        return nearest_table(processor_family())
    try:
        document = json.loads(Path(path).read_text())
        rows = tuple(Crossover(**row) for row in document["table"])
        smallest = {row.kind for row in rows if row.size <= 1}
        numbers = [number for row in rows for number in row[1:]]
        if smallest >= {row.kind for row in SHIPPED[0].rows} and all(
            isinstance(number, int | float) for number in numbers
        ):
            machine = {"family": "unknown", "processor": path, **document.get("machine", {})}
            return Table(str(machine["family"]), str(machine["processor"]), rows)
        problem = "it needs a row with size 1 for every kind, and numbers in all columns"
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        problem = str(error)
    raise ValueError(f"{TABLE_VARIABLE} names '{path}', which holds no table: {problem}.")


def nearest_table(family: str) -> Table:
    """The shipped table of this family; where there is none, of one with as wide vectors, else of
    the same maker, else the first."""
    maker, _, vectors = family.partition(" ")

    def distance(table: Table) -> tuple[bool, ...]:
        its_maker, _, its_vectors = table.family.partition(" ")
        return its_vectors != vectors, its_maker != maker

    return min(SHIPPED, key=distance)
