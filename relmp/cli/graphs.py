"""``relmp graphs``: list, show, draw, measure, sweep and find graphs."""

from __future__ import annotations

import inspect
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from relmp.graphs.relational_graph import RelationalGraph

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

Graph = Annotated[str, tyro.conf.Positional]


@dataclass(frozen=True)
class List:
    """List generators, connectomes, measures and graph sets."""

    def run(self) -> None:
        from relmp.graphs.connectome import CONNECTOMES
        from relmp.graphs.generators import GENERATORS
        from relmp.graphs.measures import GRAPH_MEASURES, describe
        from relmp.graphs.space.graph_sets import PAPER_SETS

        tables = [_table("Generators", "name", "arguments", "what it is")]
        for name in GENERATORS:
            arguments = ", ".join(inspect.signature(GENERATORS[name]).parameters)
            tables[-1].add_row(name, arguments, _first_line(GENERATORS[name]))
        tables.append(_table("Connectomes", "name", "n", "what it is"))
        for name in CONNECTOMES:
            tables[-1].add_row(name, str(CONNECTOMES[name].n), CONNECTOMES[name].title)
        tables.append(_table("Measures", "name", "what it is"))
        for name in GRAPH_MEASURES:
            tables[-1].add_row(name, describe(name))
        tables.append(_table("Graph sets of the paper", "n", "size"))
        for chosen in PAPER_SETS:
            tables[-1].add_row(str(chosen.n), str(chosen.size))
        _print(*tables)


@dataclass(frozen=True)
class Show:
    """Describe a generator or a connectome, or say where one graph lies.

    relmp graphs show ws_flex
    relmp graphs show "ws_flex(n=64, k=8.5, p=0.2, seed=3)"
    """

    name: Graph
    """Name of a generator or connectome, a generator with its arguments, or a file."""
    root: Path | None = None
    """Folder of the text files of connectomes."""
    download: bool = False
    """Download a connectome that is not there."""

    def run(self) -> None:
        from relmp.graphs.connectome import CONNECTOMES
        from relmp.graphs.generators import GENERATORS
        from relmp.graphs.generators.gallery import EXAMPLES
        from relmp.graphs.parse import parse_graph

        if self.name in GENERATORS:
            call = ", ".join(f"{key}={value}" for key, value in EXAMPLES[self.name].items())
            print(f"{self.name}({_parameters(GENERATORS[self.name])})\n")
            print(_plain(inspect.getdoc(GENERATORS[self.name]) or ""))
            print(f"\nExample: {self.name}({call})")
            return
        if self.name in CONNECTOMES:
            about = CONNECTOMES[self.name]
            print(f"{about.title}\nCite: {about.citation}\nLicence: {about.licence}\n")
        _print(_measure_table([parse_graph(self.name, root=self.root, download=self.download)]))


@dataclass(frozen=True)
class Draw:
    """Draw a graph, or the gallery of all generators, into a picture."""

    name: Graph = ""
    """A generator with its arguments, a connectome, or a file."""
    all: bool = False
    """Draw an example of every generator instead."""
    out: Path = Path("graph.png")
    """The picture; .png, .svg or .pdf."""
    views: tuple[str, ...] = ()
    """Of circular, spring, matrix, plane; all by default."""
    root: Path | None = None
    """Folder of the text files of connectomes."""

    def run(self) -> None:
        from relmp.graphs.draw import draw_gallery, draw_graph
        from relmp.graphs.parse import parse_graph

        if self.all == bool(self.name):
            raise ValueError("Give either the name of a graph to draw, or --all.")
        figure = (
            draw_gallery()
            if self.all
            else draw_graph(parse_graph(self.name, root=self.root), self.views)
        )
        _save(figure, self.out)
        print(f"Drawn into {self.out}.")


@dataclass(frozen=True)
class Measure:
    """Measure graphs; one table for all of them."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Files, connectomes, or generators with their arguments."""
    measures: tuple[str, ...] = ()
    """Which measures; all by default."""
    out: Path | None = None
    """Write the table to this .csv too."""
    root: Path | None = None
    """Folder of the text files of connectomes."""

    def run(self) -> None:
        from relmp.graphs.parse import parse_graph

        graphs = [parse_graph(name, root=self.root) for name in self.names]
        if not graphs:
            raise ValueError("Give at least one graph to measure.")
        if self.out is not None:
            from relmp.files import write_csv
            from relmp.graphs.measures import measure_graphs

            write_csv(self.out, measure_graphs(graphs, self.measures))
        _print(_measure_table(graphs, self.measures))


@dataclass(frozen=True)
class Sweep:
    """Draw and measure the design space: every WS-flex graph of the paper's grid."""

    n: int = 64
    """Number of nodes."""
    seeds: int = 30
    """How many seeds for every pair of k and p."""
    out: Path | None = None
    """Write all settings with C and L to this .parquet or .csv."""
    cache: bool = True
    """Keep the result, and use one that is kept."""

    def run(self) -> None:
        import time

        from relmp.graphs.space.design_space import sweep_design_space

        if self.out is not None and self.out.suffix not in (".parquet", ".csv"):
            raise ValueError(f"A table is written to .parquet or .csv, not '{self.out.name}'.")
        start = time.perf_counter()
        space = sweep_design_space(self.n, seeds=self.seeds, cache=self.cache)
        seconds = time.perf_counter() - start
        print(f"{len(space)} graphs of {self.n} nodes in {seconds:.1f} s")
        connected = space.L[math.inf > space.L]
        print(f"C from {_nan_least(space.C):.3f} to {-_nan_least(-space.C):.3f}")
        print(f"L from {connected.min():.3f} to {connected.max():.3f}")
        if self.out is not None:
            frame = space.to_frame()
            if self.out.suffix == ".csv":
                frame.to_csv(self.out, index=False)
            else:
                frame.to_parquet(self.out, index=False)
            print(f"Written to {self.out}.")


@dataclass(frozen=True)
class Find:
    """Find a connected graph with given clustering, path length and density."""

    n: int = 64
    """Number of nodes."""
    clustering: float | None = None
    """C to reach."""
    path_length: float | None = None
    """L to reach."""
    density: float | None = None
    """Edges with self-loops over n squared."""
    tolerance: float = 0.01
    """How far C and L may be off."""
    seed: int = 0
    """Seed of the search."""
    out: Path | None = None
    """Write the graph to this .npy, .txt, .csv or .graphml."""

    def run(self) -> None:
        from relmp.graphs.saving import save_graph
        from relmp.graphs.space.targets import find_graph

        graph = find_graph(
            self.n,
            self.clustering,
            self.path_length,
            self.density,
            tolerance=self.tolerance,
            seed=self.seed,
        )
        print(f"C = {graph.clustering:.4f}, L = {graph.path_length:.4f}")
        print(f"density = {graph.density:.4f}, {graph.num_edges} edges")
        if self.out is not None:
            save_graph(graph, self.out)
            print(f"Written to {self.out}.")


@dataclass(frozen=True)
class Trained:
    """What the trained weights of a dense network look like as graphs, beside shuffled ones.

    Channels are dealt out to nodes; the strongest pairs of nodes are the edges.
    """

    folder: Graph
    """Folder of the run, of a network without a graph (relmp train none)."""
    nodes: int = 64
    """Number of nodes."""
    densities: tuple[float, ...] = (0.15, 0.2, 0.3)
    """Densities at which the graphs are cut."""
    out: Path | None = None
    """Write the table to this .csv too."""

    def run(self) -> None:
        from relmp.analysis.trained import trace_training
        from relmp.files import write_csv
        from relmp.training import load_run

        run = load_run(self.folder, device="cpu")
        weights = {
            name: value for name, value in run.model.state_dict().items() if value.dim() in (2, 4)
        }
        last = len(run.history)
        frame = trace_training([(last, weights)], self.nodes, densities=self.densities)
        if frame.empty:
            raise ValueError(
                f"No layer of the run in '{self.folder}' has {self.nodes} channels on both sides; "
                f"take fewer nodes, or a network without a graph."
            )
        columns = ("weight", "density", "C", "L", "C shuffled", "L shuffled")
        table = _table(f"After {last} epochs", *columns)
        for row in frame.drop(columns="epoch").itertuples(index=False):
            table.add_row(str(row[0]), *[f"{value:.3g}" for value in row[1:]])
        _print(table)
        if self.out is not None:
            write_csv(self.out, frame)


GraphsCommand = (
    Annotated[List, tyro.conf.subcommand("list")]
    | Annotated[Show, tyro.conf.subcommand("show")]
    | Annotated[Draw, tyro.conf.subcommand("draw")]
    | Annotated[Measure, tyro.conf.subcommand("measure")]
    | Annotated[Sweep, tyro.conf.subcommand("sweep")]
    | Annotated[Find, tyro.conf.subcommand("find")]
    | Annotated[Trained, tyro.conf.subcommand("trained")]
)
"""The subcommands of ``relmp graphs``."""


def _measure_table(graphs: list[RelationalGraph], names: tuple[str, ...] = ()) -> Table:
    """Graphs side by side, one measure a row."""
    from relmp.graphs.measures import measure_graphs

    frame = measure_graphs(graphs, names)
    table = _table("", "measure", *[graph.name or graph.key for graph in graphs])
    for name in frame.columns[2:]:
        table.add_row(str(name), *[f"{value:.4g}" for value in frame[name]])
    return table


def _table(title: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(*columns, title=title or None, title_justify="left")
    for column in table.columns:
        column.overflow = "fold"
    return table


def _print(*tables: Table) -> None:
    from rich.console import Console

    console = Console()
    for table in tables:
        console.print(table)


def _save(figure: Figure, path: Path) -> None:
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise ValueError(f"A picture is written to .png, .svg or .pdf, not '{path.name}'.")
    if not path.parent.is_dir():
        raise ValueError(f"There is no folder {path.parent} to write the picture to.")
    figure.savefig(path, dpi=150)


def _first_line(item: Any) -> str:
    return _plain(inspect.getdoc(item) or "").splitlines()[0]


def _plain(text: str) -> str:
    """A docstring without its marks for code and mathematics."""
    return re.sub(r":math:`([^`]*)`|``([^`]*)``", lambda found: found[1] or found[2], text)


def _parameters(generator: Any) -> str:
    """Names and defaults, as a call would give them."""
    parameters = inspect.signature(generator).parameters.values()
    return ", ".join(
        p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters
    )


def _nan_least(values: Any) -> float:
    return float(values[values == values].min())
