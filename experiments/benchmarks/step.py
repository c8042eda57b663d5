"""A training step of the main job by density, beside the same step of another checkout.

    python experiments/benchmarks/step.py
    git worktree add ../before 2a57572
    python experiments/benchmarks/step.py --before ../before

Every checkout trains in a process of its own, on one thread as a worker of a sweep does; all take
turns of an epoch each, so that other work on the machine meets them alike. Milliseconds are of
processor time; ratios are those of a turn. Beside them, the ordinary network without a graph.

Device: one CPU core, half a minute. Prints a table in Markdown; what came is in ``step.md``.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

HERE = Path(__file__).resolve().parents[2]
NO_GRAPH = "no graph"


@dataclass(frozen=True)
class Benchmark:
    """Time steps of the main job.

    Args:
        before: Another checkout of relmp.
        densities: Of the graphs, the nearest of the main job's 52; 1 is the complete graph.
        width: Width of the complete graph's rounds.
        turns: How often the checkouts take turns.
        serve: Be one of the processes.
    """

    before: str | None = None
    densities: tuple[float, ...] = (1.0, 0.14, 0.2, 0.3, 0.42, 0.65)
    width: int = 128
    turns: int = 9
    serve: bool = False

    def run(self) -> None:
        if self.serve:
            serve(self.densities, self.width)
            return
        checkouts = [HERE] if self.before is None else [HERE, Path(self.before).resolve()]
        sides = [_start(checkout, self) for checkout in checkouts]
        names = [NO_GRAPH, *(f"{density:g}" for density in self.densities)]
        times: dict[str, list[list[float]]] = {name: [[] for _ in sides] for name in names}
        for turn in range(self.turns + 1):
            for name in names:
                for side, kept in zip(sides, times[name], strict=True):
                    milliseconds = _ask(side, name)
                    if turn:  # the first one warms up
                        kept.append(milliseconds)
        what = [_ask_text(sides[0], f"what {name}") for name in names]
        for side in sides:
            _ask_text(side, "end")
            side.wait()
        print(_ask_machine())
        heads = ["graph", "width", "execution", "ms a step"]
        heads += ["ms before", "before / now"] * (len(sides) - 1)
        print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
        for name, told in zip(names, what, strict=True):
            now, *before = times[name]
            cells = [name, *told.split(), f"{statistics.median(now):.2f}"]
            for other in before:
                ratio = statistics.median(b / a for a, b in zip(now, other, strict=True))
                cells += [f"{statistics.median(other):.2f}", f"{ratio:.2f}"]
            print(f"| {' | '.join(cells)} |")


def _start(checkout: Path, options: Benchmark) -> subprocess.Popen[str]:
    words = [sys.executable, str(Path(__file__).resolve()), "--serve", "--width"]
    words += [str(options.width), "--densities", *(str(d) for d in options.densities)]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(words, env=environment, text=True, bufsize=1, **pipes)  # type: ignore[call-overload,no-any-return]


def _ask_text(side: subprocess.Popen[str], word: str) -> str:
    assert side.stdin is not None
    assert side.stdout is not None
    print(word, file=side.stdin, flush=True)
    return side.stdout.readline().strip()


def _ask(side: subprocess.Popen[str], name: str) -> float:
    return float(_ask_text(side, f"epoch {name}"))


def _ask_machine() -> str:
    from relmp.machine import processor

    return f"{processor()}, one thread\n"


def serve(densities: tuple[float, ...], width: int) -> None:
    """Train an epoch of one of the models whenever it is asked for; told by the standard input."""
    import torch

    import relmp
    from relmp.rounds import Round
    from relmp.training import TrainConfig
    from relmp.training.config import DataConfig, LoopOptions
    from relmp.training.loop import train_epochs
    from relmp.training.run import data_of
    from relmp.training.state import TrainState

    torch.set_num_threads(1)
    data = data_of(DataConfig(name="mnist1d"), "mnist1d", "data", download=False)
    known = relmp.sample_graphs(n=64, size=52)
    graphs = {NO_GRAPH: None}
    for density in densities:
        nearest = min(known, key=lambda graph: abs(graph.density - density))
        complete = density >= 1
        graphs[f"{density:g}"] = relmp.create_graph("complete", n=64) if complete else nearest
    config = TrainConfig(epochs=10_000, loop=LoopOptions(evaluate_every=10_000))
    models, records = {}, {}
    for name, graph in graphs.items():
        options = {"graph": graph, "num_classes": 10, "width": width}
        models[name] = relmp.match_flops("mlp", input_shape=data.input_shape, **options)
        records[name] = train_epochs(TrainState(models[name], config, torch.device("cpu")), data)
    steps = data.size("train") // config.batch_size
    while True:
        word, _, name = sys.stdin.readline().strip().partition(" ")
        if word == "epoch":
            began = time.process_time()
            next(records[name])
            print(1e3 * (time.process_time() - began) / steps, flush=True)
        elif word == "what":
            rounds = [layer for layer in models[name].modules() if isinstance(layer, Round)]
            execution = rounds[-1].execution if rounds else "-"
            print(models[name].widths[0], execution, flush=True)
        else:
            print("ended", flush=True)
            return


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
