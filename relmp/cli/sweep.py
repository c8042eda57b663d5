"""The command ``relmp sweep``: many models at equal cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from relmp.checks import did_you_mean
from relmp.cli.plan_file import as_declared, read_runs, read_settings, with_values
from relmp.cli.train import TrainingOptions
from relmp.training.config import LoopOptions

if TYPE_CHECKING:
    from relmp.graphs import RelationalGraph
    from relmp.training.run_config import RunConfig

RUNNING = (
    "plan", "axes", "seed", "width", "engine", "workers", "shard", "population", "retries",
    "dry_run", "data_folder", "download", "device", "track", "same_code",
)  # fmt: skip
"""Options that say how a plan is trained, not of which runs it is."""
AXES = "axes"
"""The table of a plan file that holds values by the name of an axis."""


@dataclass(frozen=True, kw_only=True)
class Sweep(TrainingOptions):
    """Train a set of graphs with several seeds at equal cost, and analyse the result.

    The same command resumes a stopped sweep; more graphs or seeds may be added to a folder.
    Started on several machines that share the folder, it shares the runs out among them.

    Args:
        out: Folder to write to; what it holds already is not done again.
        graphs: Graphs to sweep, as the calls that make them, such as "ws_flex(n=64, k=10, p=0.1)",
            connectomes or files; a set of the paper's design space by default.
        nodes: Nodes of the graphs of the design space.
        size: How many of them; 52, 449 or 3942 of 64 nodes, or 48 or 326 of 16.
        seeds: How many seeds.
        plan: File of a sweep. TOML: every option here by its name, and a table [axes] with values
            by the name of an axis ("training.lr" = [0.1, 0.03]). Python: a list of runs, or a
            function that makes one, called plan. Options of the command line come before those
            of the file.
        engine: Where runs are trained: local, processes of this machine; or ray, the cluster of
            RAY_ADDRESS.
        workers: Processes; one a core on a CPU and one on a GPU by default.
        shard: Which part of the plan to train, such as 3/10, for jobs that share the folder.
        population: How many runs on the same batches are trained as one round over the disjoint
            union of their graphs; 1 for each by itself, auto where it gains.
        retries: How often a run that fails is tried again.
        dry_run: Say what would be trained, and about how long it takes, and train nothing.
    """

    out: str = ""
    graphs: tuple[str, ...] = ()
    nodes: int = 64
    size: int = 52
    seeds: int = 5
    plan: str | None = None
    engine: Literal["local", "ray"] = "local"
    workers: int | None = None
    shard: str | None = None
    population: int | Literal["auto"] = "auto"
    retries: int = 0
    dry_run: bool = False
    seed: Annotated[int, tyro.conf.Suppress] = 0
    axes: Annotated[Mapping[str, Any], tyro.conf.Suppress] = field(default_factory=dict)

    def on_noise(self) -> Sweep:
        """The same, to try it in seconds: random images, two graphs, one seed, one epoch."""
        return replace(
            self, out=f"{self.out}-try", nodes=16, size=2, seeds=1, data="noise", train_size=64,
            epochs=1, batch_size=32, loop=LoopOptions(),
        )  # fmt: skip

    def headline(self) -> str:
        """What is swept, and under which settings: they decide what the map looks like."""
        count = len(self.graphs) or self.size
        over = "".join(f" x {len(values)} values of {axis}" for axis, values in self.axes.items())
        of = "graphs" if self.graphs else f"graphs of {self.nodes} nodes"
        return (
            f"{self.model} on {self.data}: {count} {of} and the complete graph x {self.seeds} "
            f"seeds{over}; {', '.join(self._settings_named())}."
        )

    def _settings_named(self) -> Iterator[str]:
        from relmp.models.initial import INITS, check_init

        if "training.lr" not in self.axes:
            yield f"learning rate {self.lr:g}"
        if "training.epochs" not in self.axes:
            yield f"{self.epochs} epochs"
        if "model.init" not in self.axes:
            yield f"initial weights {INITS[check_init(self.init)]}"

    def run(self) -> None:
        """Train what is not trained yet, and analyse.

        Raises:
            ValueError: If there is no folder, the file is no plan, or a setting is out of range.
        """
        whole = self.filled()
        if whole is not self:
            whole.run()
            return
        if not self.out:
            raise ValueError("A sweep needs a folder to write to; name one (--out FOLDER).")
        if self.plan is None:
            print(self.headline(), flush=True)
        runs = self.runs()
        if self.dry_run:
            self._say(runs)
            return
        self._train(runs)

    def filled(self) -> Sweep:
        """The sweep with what a plan file of settings says, where the command line says nothing.

        Raises:
            ValueError: If the file cannot be read, or holds a setting that there is not.
        """
        if self.plan is None or Path(self.plan).suffix != ".toml":
            return self
        values = read_settings(Path(self.plan))
        known = {item.name: item for item in fields(self) if item.name not in ("plan", "seed")}
        for name in values:
            if name not in known:
                raise ValueError(
                    f"'{self.plan}' holds '{name}', which is no option of a sweep."
                    f"{did_you_mean(name, known)}"
                )
        for table in ("loop", AXES):
            if not isinstance(values.get(table, {}), dict):
                raise ValueError(
                    f"'{self.plan}' holds {table} as a value; write a table [{table}]."
                )
        if "loop" in values:
            values["loop"] = with_values(self.loop, values["loop"], f"'{self.plan}', [loop]")
        for axis, several in values.get(AXES, {}).items():
            if not isinstance(several, list) or axis == "seed":
                raise ValueError(
                    f"'{self.plan}', [axes] holds {axis} = {several!r}; give a list of values "
                    f"([0.1, 0.03]), and the number of seeds as seeds = 5."
                )
            values[AXES][axis] = [as_declared(axis, one) for one in several]
        return replace(with_values(self, values, f"'{self.plan}'"), plan=None)

    def runs(self) -> list[RunConfig]:
        """The plan: of the file, or the graphs, axes and seeds."""
        from relmp.models import MODELS, Classifier
        from relmp.sweep import grid, over_graphs
        from relmp.sweep.plan import base_run, with_complete

        if self.plan is not None:
            self._refuse_settings()
            return read_runs(Path(self.plan))
        settings = {name: value for name, value in self.settings().items() if name != "seed"}
        where: dict[str, Any] = {"data_folder": self.data_folder, "download": self.download}
        graphs, options = self._graphs(), {**settings, **self.model_options()}
        if not self.axes:
            return over_graphs(
                self.model_name, graphs=graphs, seeds=self.seeds, data=self.data, width=self.width,
                **where, **options,
            )  # fmt: skip
        cls: Any = MODELS[self.model_name]
        listed = isinstance(cls, type) and issubclass(cls, Classifier)
        usual = cls.BASELINE_WIDTHS if listed else None
        axes = {"model.graph": with_complete(graphs), **self.axes}
        base = base_run(self.model_name, self.data, options)
        return grid(base, budget=self.width or usual, **where, **axes, seed=range(self.seeds))

    def _refuse_settings(self) -> None:
        """Raise ``ValueError`` for an option that a plan of runs has decided already."""
        for item in fields(self):
            usual = LoopOptions() if item.name == "loop" else item.default
            if item.name not in (*RUNNING, "out") and getattr(self, item.name) != usual:
                option = item.name.replace("_", "-")
                raise ValueError(
                    f"--{option} would be passed over, since '{self.plan}' lists whole runs; leave "
                    f"it out, or change the plan."
                )

    def _graphs(self) -> list[RelationalGraph]:
        from relmp.graphs import sample_graphs
        from relmp.graphs.parse import parse_graph

        if self.graphs:
            return [parse_graph(text) for text in self.graphs]
        return list(sample_graphs(self.nodes, self.size))

    def _train(self, runs: list[RunConfig]) -> None:
        from relmp.analysis import analyse
        from relmp.analysis.pairs import compare_values
        from relmp.sweep import run_plan

        table = run_plan(
            runs, self.out, data_folder=self.data_folder, download=self.download,
            device=self.device, engine=self.engine, workers=self.workers, shard=self.shard,
            population=self.population, retries=self.retries, same_code=self.same_code,
            budget=self.width, track=self.track,
        )  # fmt: skip
        axes = [name for name in table.columns if "." in str(name)]
        if axes:
            for axis in axes:
                print(compare_values(table, axis))
            print(
                f"One map: relmp analyse {self.out} --best-over {axes[0]} (with --validation), or "
                f"--where {axes[0]}=VALUE."
            )
        elif self.shard is None:
            print(analyse(self.out, self.out))

    def _say(self, runs: list[RunConfig]) -> None:
        from relmp.machine import cores, text_of_seconds
        from relmp.sweep.estimate import estimate_seconds
        from relmp.sweep.populations import known_populations, population_limits, populations
        from relmp.sweep.runner import parse_shard
        from relmp.sweep.store import RunStore
        from relmp.sweep.work import Source
        from relmp.training.device import pick_device

        source, device = Source(self.data_folder, self.download), pick_device(self.device)
        limits = population_limits(self.population, str(device))
        units = populations(runs, limits, known_populations(Path(self.out)))
        units = units[parse_shard(self.shard)]
        part = [run for unit in units for run in unit]
        folders = RunStore(Path(self.out)).folders(part)
        open_ = [
            [run for run in unit if not run.training.is_finished(folders[run.key].records())]
            for unit in units
        ]
        left = [unit for unit in open_ if unit]
        graphs = {run.model.graph for run in part}
        count = sum(map(len, left))
        print(f"{len(part)} runs over {len(graphs)} graphs, {count} of them to be trained.")
        if left:
            seconds = estimate_seconds(left, lambda run: source.load(run.data), device)
            workers = self.workers or (cores() if device.type == "cpu" else 1)
            print(
                f"About {text_of_seconds(seconds / workers)} in {workers} processes, if "
                f"nothing else runs here."
            )
