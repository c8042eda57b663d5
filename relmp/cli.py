"""The command line: ``relmp train | predict | sweep | analyse | graphs``.

A command is a frozen dataclass; its fields are the options. Heavy modules are imported when a
command runs, so that help and errors appear at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from relmp import __version__
from relmp.cli_analyse import AnalyseCommand
from relmp.cli_bench import BenchCommand
from relmp.cli_graphs import GraphsCommand, resolve_graph
from relmp.cli_predict import Predict
from relmp.training.config import LoopOptions, Optimizer, Precision, Schedule

if TYPE_CHECKING:
    import torch

    from relmp.training.processes import Team


@dataclass(frozen=True)
class Train:
    """Train one model and keep it in a folder; the same command resumes a stopped run.

    Args:
        graph: The call that makes the graph of the inner layers, such as
            "ws_flex(n=64, k=8.5, p=0.2, seed=3)", a connectome or a file; "none" trains the
            ordinary dense network.
        out: Folder of the run.
        model: Name of the model.
        width: Width of the complete-graph model, whose cost the model is matched to; the
            paper's by default.
        message: What nodes say: a name ("gated", "low_rank(rank=2)"), or a class of your own as
            package.module:Name; linear by default.
        aggr: How a node aggregates what it hears; any PyG aggregation that fits, such as "max" or
            "softmax(learn=True)".
        execution: How rounds are executed: auto, message_passing, dense, gathered or cpu_kernel.
        data: Data set: digits, fashion_mnist, mnist, cifar10, cifar100, svhn, imagenet, or
            folder, for images of your own with one subfolder a class.
        data_folder: Where its files lie.
        download: Fetch missing files.
        image_size: Height and width that the images of a folder are brought to; 224 by default.
        train_size: Train on so many images only, or on this share (0.1) of them.
        validation: Share of the training images that are held out and evaluated as well.
        epochs: Passes over the training images.
        batch_size: Images a step, over all processes.
        optimizer: SGD with Nesterov momentum, or AdamW.
        lr: Highest learning rate.
        momentum: Nesterov momentum; the first beta of AdamW.
        weight_decay: L2 penalty, or the decoupled decay of AdamW.
        schedule: How the learning rate falls.
        precision: Of the forward pass; the weights are kept in float32.
        seed: Decides initial weights and training.
        device: cpu, cuda, ...; a GPU where there is one by default.
        tensorboard: Write the records for TensorBoard as well, into the folder of the run.
        loop: The finer points.
    """

    graph: tyro.conf.Positional[str]
    out: str
    model: str = "mlp"
    width: int | None = None
    message: str | None = None
    aggr: str = "sum"
    execution: str = "auto"
    data: str = "digits"
    data_folder: str = "data"
    download: bool = False
    image_size: int | None = None
    train_size: int | float | None = None
    validation: float = 0.0
    epochs: int = 20
    batch_size: int = 128
    optimizer: Optimizer = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Schedule = "cosine"
    precision: Precision = "float32"
    seed: int = 0
    device: str | None = None
    tensorboard: bool = False
    loop: LoopOptions = field(default_factory=LoopOptions)

    def run(self) -> None:
        """Train; several processes that ``torchrun`` has started train together."""
        from relmp.training.processes import join_team

        with join_team(self.device) as (team, device):
            self._train(team, device)

    def _train(self, team: Team, device: torch.device) -> None:
        from relmp.models import count_flops, count_parameters, create_model
        from relmp.models.budget import matched_options
        from relmp.progress import training_progress
        from relmp.training import TensorBoard, load_data, train

        graph = None if self.graph.lower() == "none" else resolve_graph(self.graph)
        with team.leader_first():
            data = load_data(
                self.data,
                folder=self.data_folder,
                download=self.download and team.leads,
                image_size=self.image_size,
            )
        options: dict[str, Any] = {"aggr": self.aggr, "execution": self.execution}
        if self.message is not None:
            options["message"] = self.message
        matched = matched_options(
            self.model,
            graph=graph,
            num_classes=data.num_classes,
            width=self.width,
            input_shape=data.input_shape,
            **options,
        )
        model = create_model(
            self.model, graph=graph, num_classes=data.num_classes, seed=self.seed, **matched
        )
        if team.leads:
            flops, parameters = count_flops(model, data.input_shape), count_parameters(model)
            over = f"{self.model} over {graph or 'no graph'}"
            print(f"{over}: {flops:,} FLOPs, {parameters:,} parameters")
        tensorboard = TensorBoard(Path(self.out) / "tensorboard") if self.tensorboard else None
        with training_progress(self.epochs, show=team.leads) as (on_epoch, on_step):

            def report(record: dict[str, Any]) -> None:
                on_epoch(record)
                if tensorboard is not None:
                    tensorboard(record)

            history = train(
                model, data, out=self.out, device=device, on_epoch=report, on_step=on_step,
                **self._settings(),
            )  # fmt: skip
        if team.leads:
            last = history.iloc[-1]
            print(
                f"After {last['epoch']:.0f} epochs: training error {last['train_error']:.2f} %, "
                f"test error {last['test_error']:.2f} %. Load it with "
                f"relmp.load_run({self.out!r})."
            )

    def _settings(self) -> dict[str, Any]:
        from relmp.training.config import Settings

        finer = asdict(self.loop)
        own = {
            name: getattr(self, name) for name in Settings.__annotations__ if hasattr(self, name)
        }
        return own | finer


@dataclass(frozen=True)
class Sweep:
    """Train a set of graphs with several seeds at equal cost, and analyse the result.

    The same command resumes a stopped sweep; more graphs or seeds may be added to a folder.

    Args:
        out: Folder of the sweep.
        model: Name of the model.
        nodes: Nodes of the graphs.
        size: How many graphs of the paper's design space; 52 of 64 nodes or 48 of 16.
        seeds: How many seeds.
        width: Width of the complete-graph model, whose cost every model is matched to; the
            paper's by default.
        message: What nodes say: a name ("gated", "low_rank(rank=2)"), or a class of your own as
            package.module:Name; linear by default.
        aggr: How a node aggregates what it hears; any PyG aggregation that fits, such as "max" or
            "softmax(learn=True)".
        data: Data set: digits, fashion_mnist, mnist, cifar10, cifar100 or svhn.
        data_folder: Where its files lie.
        download: Fetch missing files.
        train_size: Train on so many images only.
        epochs: Passes over the training images.
        batch_size: Images a step.
        lr: Learning rate of the first epoch.
        momentum: Nesterov momentum.
        weight_decay: L2 penalty.
        workers: Processes; one a core on a CPU and one on a GPU by default.
        device: cpu, cuda, ...; a GPU where there is one by default.
    """

    out: str
    model: str = "mlp"
    nodes: int = 64
    size: int = 52
    seeds: int = 5
    width: int | None = None
    message: str | None = None
    aggr: str = "sum"
    data: str = "digits"
    data_folder: str = "data"
    download: bool = False
    train_size: int | None = None
    epochs: int = 20
    batch_size: int = 128
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    workers: int | None = None
    device: str | None = None

    def run(self) -> None:
        from relmp.analysis import analyse
        from relmp.graphs import sample_graphs
        from relmp.sweep import run_sweep

        options: dict[str, Any] = {"aggr": self.aggr}
        if self.message is not None:
            options["message"] = self.message
        run_sweep(
            self.model,
            graphs=sample_graphs(self.nodes, self.size),
            out=self.out,
            data=self.data,
            seeds=range(self.seeds),
            width=self.width,
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            train_size=self.train_size,
            data_folder=self.data_folder,
            download=self.download,
            device=self.device,
            workers=self.workers,
            **options,
        )
        print(analyse(self.out, self.out))


Command = (
    Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Predict, tyro.conf.subcommand("predict")]
    | Annotated[Sweep, tyro.conf.subcommand("sweep")]
    | Annotated[AnalyseCommand, tyro.conf.subcommand("analyse")]
    | Annotated[
        GraphsCommand,
        tyro.conf.subcommand(
            "graphs", description="List, show, draw, measure and find graphs, or the design space."
        ),
    ]
    | Annotated[
        BenchCommand,
        tyro.conf.subcommand("bench", description="Time rounds and models on this machine."),
    ]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; a user's mistake is one sentence and exit code 2."""
    if (sys.argv[1:] if arguments is None else list(arguments)) == ["--version"]:
        print(f"relmp {__version__}")
        return
    command: Any = tyro.cli(
        Command,
        prog="relmp",
        description="Neural networks as relational graphs whose nodes talk.",
        args=arguments,
    )
    run_reporting_errors(command.run)


def run_recipe(recipe: Sweep, *, quick: Sweep) -> None:
    """Run an experiment script: its options are those of the recipe, and ``--quick``.

    Args:
        recipe: The experiment.
        quick: The same, shrunk to seconds, to see that it works.
    """
    arguments = sys.argv[1:]
    chosen = quick if "--quick" in arguments else recipe
    rest = [argument for argument in arguments if argument != "--quick"]
    command = tyro.cli(
        type(recipe), default=chosen, args=rest, description="With --quick: seconds, to try it."
    )
    run_reporting_errors(command.run)


def run_reporting_errors(run: Callable[[], object]) -> None:
    """Call ``run``; print an expected error as one sentence and exit with 2."""
    try:
        run()
    except (ValueError, OSError, NotImplementedError, FloatingPointError) as error:
        print(f"relmp: {_sentence(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("relmp: stopped; the same command goes on from here.", file=sys.stderr)
        sys.exit(130)


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f" '{error.filename}'" if error.filename else ""
        return f"cannot use{where}: {error.strerror.lower()}."
    return str(error)


__all__ = ["Command", "Predict", "Sweep", "Train", "main", "run_recipe"]

if __name__ == "__main__":
    main()
