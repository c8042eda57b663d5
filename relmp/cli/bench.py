"""The command ``relmp bench rounds | model | design-space``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from relmp.checks import check_whole


@dataclass(frozen=True)
class BenchRounds:
    """Time rounds: the complete graph, a weight times a mask, messages, and every execution.

    Prints the processor, of which machines the table of execution="auto" is, and a table a shape;
    writes rounds.json and rounds.png.

    Args:
        out: Folder to write to.
        quick: Two shapes and three densities, within a minute.
        tune: Measure the table of execution="auto" for this machine, and write it to table.json
            in that folder; name that file in RELMP_EXECUTION_TABLE to use it.
        shapes: Only shapes whose name contains this.
        literal: Also time the literal messages of convolutions, which takes seconds a step.
        repeats: Turns a measurement.
        threads: Threads; PyTorch's choice by default.
    """

    out: str = "runs/bench"
    quick: bool = False
    tune: bool = False
    shapes: str = ""
    literal: bool = False
    repeats: int = 15
    threads: int | None = None

    def run(self) -> None:
        from relmp.bench import rounds
        from relmp.bench.figure import plot_rounds
        from relmp.bench.timing import machine, text_of_machine, use_threads

        use_threads(self.threads)
        folder = Path(self.out)
        folder.mkdir(parents=True, exist_ok=True)
        if self.tune:
            self._tune(folder / "table.json")
            return
        shapes = [
            shape
            for shape in (rounds.QUICK_SHAPES if self.quick else rounds.SHAPES)
            if self.shapes in shape.name
        ]
        if not shapes:
            names = ", ".join(f"'{shape.name}'" for shape in rounds.SHAPES)
            raise ValueError(f"No shape is called '{self.shapes}'; there are {names}.")
        print(f"{text_of_machine()}\n", flush=True)
        rows = rounds.measure_rounds(
            shapes,
            rounds.QUICK_DENSITIES if self.quick else rounds.DENSITIES,
            repeats=5 if self.quick else self.repeats,
            seconds=3 if self.quick else 20,
            literal=self.literal,
            report=lambda row: print(
                f"{row.shape}, density {row.density:.3f}, {row.method}: {row.median:.3g} ms "
                f"({row.low:.3g} to {row.high:.3g})",
                flush=True,
            ),
        )
        print()
        for table in rounds.tables(rows):
            print(table)
        document = {"machine": machine(), "rows": [asdict(row) for row in rows]}
        (folder / "rounds.json").write_text(json.dumps(document, indent=1))
        plot_rounds(rows, folder / "rounds.png")
        print(f"Written: {folder / 'rounds.json'}, {folder / 'rounds.png'}")

    def _tune(self, path: Path) -> None:
        from relmp.bench.timing import machine
        from relmp.bench.tune import measure_table
        from relmp.machine import processor
        from relmp.rounds.execution.rule import TABLE_VARIABLE

        print(f"Processor: {processor()}", flush=True)
        table = list(measure_table(repeats=self.repeats, report=lambda row: print(row, flush=True)))
        rows = [row._asdict() for row in table]
        path.write_text(json.dumps({"machine": machine(), "table": rows}, indent=1))
        print(f"Written: {path}. To use it: export {TABLE_VARIABLE}={path.resolve()}")


@dataclass(frozen=True)
class BenchModel:
    """Time a training step of a model, and its peak memory: complete graph, masks, executions.

    Args:
        model: Name of the model.
        graph: The call that makes the graph of its rounds.
        image_size: Height and width of the images.
        batch_size: Images a step.
        repeats: Turns.
        threads: Threads; PyTorch's choice by default.
        out: Folder to write model.json to.
    """

    model: str = "resnet34"
    graph: str = "ws_flex(n=64, k=8.192, p=0.128, seed=4)"
    image_size: int = 64
    batch_size: int = 32
    repeats: int = 7
    threads: int | None = None
    out: str = "runs/bench"

    def run(self) -> None:
        from relmp.bench.model import measure_model
        from relmp.bench.rounds import MASK
        from relmp.bench.timing import machine, text_of_machine, use_threads
        from relmp.graphs.parse import parse_graph

        use_threads(self.threads)
        graph = parse_graph(self.graph)
        check_whole("image_size", self.image_size, 1)
        check_whole("batch_size", self.batch_size, 2)
        image = (3, self.image_size, self.image_size)
        print(f"{text_of_machine()}\n", flush=True)
        found = measure_model(self.model, graph, image, self.batch_size, repeats=self.repeats)
        print(f"{self.model} over {graph}, batch {self.batch_size}, images {list(image)}\n")
        print("| method | ms a step | mask / it | peak MB |\n|---|---|---|---|")
        for method, (timing, memory) in found.items():
            ratio = found[MASK][0].median / timing.median
            print(f"| {method} | {timing} | {ratio:.2f} | {memory:.0f} |")
        document: dict[str, Any] = {"machine": machine(), "options": asdict(self)}
        document["methods"] = {m: asdict(t) | {"peak_mb": mb} for m, (t, mb) in found.items()}
        folder = Path(self.out)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.json").write_text(json.dumps(document, indent=1))


@dataclass(frozen=True)
class BenchDesignSpace:
    """Time the measuring of graphs of the design space.

    Args:
        nodes: Nodes of the graphs.
        size: How many graphs of the published selection.
    """

    nodes: int = 64
    size: int = 52

    def run(self) -> None:
        import time

        from relmp.graphs import sample_graphs
        from relmp.machine import processor

        print(f"Processor: {processor()}")
        began = time.perf_counter()
        graphs = sample_graphs(self.nodes, self.size)
        made = time.perf_counter()
        for graph in graphs:
            _ = (graph.clustering, graph.path_length)
        measured = time.perf_counter()
        for what, seconds in (("generating", made - began), ("measuring", measured - made)):
            print(f"{what}: {1e3 * seconds / len(graphs):.3g} ms a graph, {len(graphs)} graphs")


BenchCommand = (
    Annotated[BenchRounds, tyro.conf.subcommand("rounds")]
    | Annotated[BenchModel, tyro.conf.subcommand("model")]
    | Annotated[BenchDesignSpace, tyro.conf.subcommand("design-space")]
)

__all__ = ["BenchCommand", "BenchDesignSpace", "BenchModel", "BenchRounds"]
