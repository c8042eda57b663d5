"""Rounds on a GPU: the complete graph, weight x mask, and every execution.

    python experiments/benchmarks/gpu.py
    python experiments/benchmarks/gpu.py --quick
    python experiments/benchmarks/gpu.py --seconds 600 --literal   # nothing left out

Milliseconds of a forward and backward pass (gradients of input and weights), medians by CUDA
events: replayed as a CUDA graph, so that only the device is timed, and in brackets as PyTorch
runs it step by step, where calls from Python count too. Sparse rounds are as wide as costs the
FLOPs of the complete graph ("dense twin"). PyTorch Geometric adds messages up by PyTorch's own
scatter; "segment" is what it takes under deterministic algorithms, by torch-scatter where that
is installed.

Device: one CUDA GPU, about 90 seconds with the compilation of the kernels, which other
processes do side by side beforehand.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch_geometric.typing
import tyro
from torch import Tensor

from relmp.bench.rounds import FLOOR, MASK, Shape, graph_of_density
from relmp.graphs import RelationalGraph
from relmp.rounds import dense_weight
from relmp.rounds.execution import MESSAGE_PASSING

Step = Callable[[], object]

KERNEL = "gpu_kernel"
SEGMENT = "segment"
SCATTER = "segment, torch-scatter"
METHODS = (FLOOR, MASK, "dense", KERNEL, MESSAGE_PASSING, SEGMENT, SCATTER)
DENSITIES = (0.11, 0.17, 0.30, 0.48)
SHAPES = (
    Shape("linear, 512, batch 128", 512, 128),
    Shape("linear, 512, batch 1024", 512, 1024),
    Shape("linear, 2048, batch 128", 2048, 128),
    Shape("linear, 2048, batch 1024", 2048, 1024),
    Shape("3x3, stage 1", 64, 64, 56),
    Shape("3x3, stage 2", 128, 64, 28),
    Shape("3x3, stage 3", 256, 64, 14),
    Shape("3x3, stage 4", 512, 64, 7),
    Shape("1x1, stage 1", 256, 64, 56, 1),
    Shape("1x1, stage 2", 512, 64, 28, 1),
    Shape("1x1, stage 3", 1024, 64, 14, 1),
    Shape("1x1, stage 4", 2048, 64, 7, 1),
)


@dataclass(frozen=True)
class Numbers:
    """A type of numbers, and whether float32 is multiplied as TF32."""

    name: str
    dtype: torch.dtype
    tf32: bool = False

    def use(self) -> None:
        """Tell PyTorch."""
        torch.backends.cuda.matmul.allow_tf32 = self.tf32
        torch.backends.cudnn.allow_tf32 = self.tf32


NUMBERS = (
    Numbers("float32", torch.float32),
    Numbers("bfloat16", torch.bfloat16),
    Numbers("float32 as TF32", torch.float32, tf32=True),
)


@dataclass(frozen=True)
class Time:
    """Milliseconds as a CUDA graph (None where it cannot be captured) and step by step."""

    replayed: float | None
    eager: float

    @property
    def device(self) -> float:
        """The better of both for what the device does."""
        return self.eager if self.replayed is None else self.replayed

    def __str__(self) -> str:
        return f"{'-' if self.replayed is None else f'{self.replayed:.3g}'} ({self.eager:.3g})"


# Steps ----------------------------------------------------------------------------------------


def step_of(
    shape: Shape, graph: RelationalGraph, method: str, dtype: torch.dtype, device: str
) -> Step:
    """A forward and backward pass of one method."""
    if method == FLOOR:
        kernel = (shape.kernel, shape.kernel) if shape.pixels else ()
        weight = torch.randn(shape.channels, shape.channels, *kernel).to(device, dtype)
        weight.requires_grad_()
        return _pass(partial(_plain, shape, weight), weight, _images(shape, shape.channels, weight))
    with _segments(method in (SEGMENT, SCATTER)):
        layer = shape.layer(graph).to(device, dtype)
    literal = method in (MESSAGE_PASSING, SEGMENT, SCATTER)
    layer.set_execution(MESSAGE_PASSING if literal else "dense" if method == MASK else method)
    if method != MASK:
        weight = next(layer.message_module.parameters())
        step = _pass(layer, weight, _images(shape, layer.in_channels, weight))
        return partial(_with_scatter, step, installed=method != SEGMENT)
    weight = dense_weight(layer).detach().requires_grad_()
    mask = (weight != 0).to(dtype)
    return _pass(
        lambda x: shape.apply(x, weight * mask), weight, _images(shape, layer.in_channels, weight)
    )


def _images(shape: Shape, channels: int, like: Tensor) -> Tensor:
    return shape.images(channels).detach().to(like).requires_grad_()


def _plain(shape: Shape, weight: Tensor, x: Tensor) -> Tensor:
    return shape.apply(x, weight)


def _pass(layer: Callable[[Tensor], Tensor], weight: Tensor, x: Tensor) -> Step:
    direction = torch.randn_like(layer(x))
    return lambda: torch.autograd.grad(layer(x), [x, weight], direction)


@contextmanager
def _segments(wanted: bool) -> Iterator[None]:
    """Aggregations that are built inside reduce by segments."""
    torch.use_deterministic_algorithms(wanted, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def _with_scatter(step: Step, *, installed: bool) -> object:
    """A step as it is where torch-scatter is not installed, if told so."""
    before = torch_geometric.typing.WITH_TORCH_SCATTER
    torch_geometric.typing.WITH_TORCH_SCATTER = before and installed
    try:
        return step()
    finally:
        torch_geometric.typing.WITH_TORCH_SCATTER = before


# Time -----------------------------------------------------------------------------------------


def timed(step: Step, seconds: float) -> Time:
    """Medians of both ways to run a step, about so many seconds each."""
    for _ in range(2):
        step()
    eager = _median(step, seconds)
    try:
        graph = _captured(step)
    except RuntimeError:
        torch.cuda.synchronize()
        return Time(None, eager)
    return Time(_median(graph.replay, seconds), eager)


def _captured(step: Step) -> torch.cuda.CUDAGraph:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    graph.replay()
    torch.cuda.synchronize()
    return graph


def _median(step: Step, seconds: float) -> float:
    repeats, times = 20, []
    began = time.perf_counter()
    while len(times) < repeats and (len(times) < 3 or time.perf_counter() - began < seconds):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        step()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


# All of it ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Benchmark:
    """Measure rounds on a GPU.

    Args:
        quick: Two shapes of each kind, two densities.
        literal: Time the messages of all convolutions, which take long, not only of a few.
        seconds: What does not fit into so many is left out, and named.
    """

    quick: bool = False
    literal: bool = False
    seconds: float = 85.0

    def run(self) -> None:
        """Print a table for every shape and type of numbers."""
        began = time.perf_counter()
        if not torch.cuda.is_available():
            sys.exit("This benchmark needs a CUDA GPU.")
        versions = f"torch {torch.__version__}, CUDA {torch.version.cuda}"
        print(f"{torch.cuda.get_device_name()}, {versions}\n")
        warnings.simplefilter("ignore")
        torch.backends.cudnn.benchmark = True
        shapes = SHAPES[1::2] if self.quick else SHAPES
        densities = DENSITIES[::2] if self.quick else DENSITIES
        tasks = [(shape, numbers, densities) for numbers in NUMBERS for shape in shapes]
        context = multiprocessing.get_context("spawn")
        workers = max(1, min(8, (os.cpu_count() or 2) - 1))
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            for problem in pool.map(compile_kernels, tasks):
                if problem:
                    print(f"A kernel could not run: {problem}\n")
        print(f"Kernels compiled after {time.perf_counter() - began:.0f} s\n", flush=True)
        left_out = []
        for shape, numbers, _ in tasks:
            if time.perf_counter() - began > self.seconds:
                left_out.append(f"{shape.name} in {numbers.name}")
            else:
                self._measure(shape, numbers, densities)
        if left_out:
            print(f"Left out for want of time: {', '.join(left_out)}.")
        print(f"{time.perf_counter() - began:.0f} s in all")

    def _measure(self, shape: Shape, numbers: Numbers, densities: tuple[float, ...]) -> None:
        numbers.use()
        rows: dict[float, dict[str, Time]] = {}
        floor = timed(step_of(shape, graph_of_density(64, 1), FLOOR, numbers.dtype, "cuda"), 0.01)
        for density in densities:
            graph = graph_of_density(shape.nodes, density)
            rows[graph.density] = row = {FLOOR: floor}
            for method in METHODS[1:]:
                if self._is_measured(shape, numbers, density, method):
                    try:
                        step = step_of(shape, graph, method, numbers.dtype, "cuda")
                        row[method] = timed(step, 0.01)
                    except (RuntimeError, ValueError) as error:
                        print(f"{method} at {density}: {str(error).splitlines()[0]}\n")
        print(table(f"{shape.name}, {numbers.name}", rows), flush=True)

    def _is_measured(self, shape: Shape, numbers: Numbers, density: float, method: str) -> bool:
        if method == SCATTER and not torch_geometric.typing.WITH_TORCH_SCATTER:
            return False
        if method in (SEGMENT, SCATTER):
            return shape.pixels == 0 and numbers.name == "float32"
        if method == MESSAGE_PASSING and shape.pixels:
            few = shape.pixels < 28 and density < 0.12 and numbers.name == "float32"
            return few or self.literal
        return True


def compile_kernels(task: tuple[Shape, Numbers, tuple[float, ...]]) -> str:
    """Run the kernels once, so that they lie compiled on disk; what went wrong, or nothing."""
    shape, numbers, densities = task
    numbers.use()
    try:
        for density in densities:
            graph = graph_of_density(shape.nodes, density)
            step_of(shape, graph, KERNEL, numbers.dtype, "cuda")()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    except Exception as error:  # a kernel that fails is one line of the report, not its end
        return f"{shape.name} in {numbers.name}: {type(error).__name__}: {str(error)[:300]}"
    return ""


def table(title: str, rows: dict[float, dict[str, Time]]) -> str:
    """A table in Markdown: times, and how often faster the kernel is; below 1 it is slower."""
    methods = [method for method in METHODS if any(method in row for row in rows.values())]
    names = ["dense twin" if method == FLOOR else method for method in methods]
    against = [FLOOR, MASK, "dense"]
    ratios = [f"{'twin' if method == FLOOR else method} / kernel" for method in against]
    heads = ["density", *names, *ratios]
    lines = [f"**{title}**", "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for density, row in rows.items():
        cells = [f"{density:.2f}", *(str(row.get(method, "")) for method in methods)]
        for method in against:
            both: Any = [row.get(name) for name in (method, KERNEL)]
            cells.append(f"{both[0].device / both[1].device:.2f}" if None not in both else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    tyro.cli(Benchmark, description="How fast rounds are on this GPU.").run()
