"""The command ``relmp train``, and the options that it shares with ``relmp sweep``."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import tyro

from relmp.registry import parse_call
from relmp.training.config import SETTINGS, DataOptions, LoopOptions, TrainConfig

if TYPE_CHECKING:
    import torch

    from relmp.training.processes import Team


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(TrainConfig, DataOptions):
    """What training one model and training many have in common.

    Args:
        out: Folder to write to; what it holds already is not done again.
        model: Name of the model (mlp, cnn, small_cnn, resnet18, ...), with options where it takes
            some ("resnet50(fold=(3, 4), stem='cifar')"); one of torchvision or timm, made
            relational (torchvision:resnet18); or one of your own as package.module:Name.
        width: Width of the complete-graph model, whose cost every model is matched to; the
            paper's by default.
        message: What nodes say: a name ("gated", "low_rank(rank=2)"), or a class of your own as
            package.module:Name; linear by default.
        aggr: How a node aggregates what it hears; any PyG aggregation that fits, such as "max" or
            "softmax(learn=True)", or one of your own as package.module:Name.
        execution: How rounds are executed: auto, message_passing, dense, gathered or cpu_kernel.
        init: How weights start: paper, degree (by in-degree: activations keep their size), or
            fan_in (that of the dense layer, as PyTorch's layers do).
        data: Data set: digits, mnist1d, fashion_mnist, mnist, cifar10, cifar100, svhn, imagenet;
            folder, for images of your own with one subfolder a class; noise, to try a large
            model; or package.module:Name of a class or function of your own that gives one.
        data_folder: Where its files lie.
        download: Fetch missing files.
        device: cpu, cuda, ...; a GPU where there is one by default.
        track: Who else is told of every record: tensorboard, or package.module:Name of your own.
        same_code: Go on although the code of your own message or model has changed; it does the
            same.
    """

    out: str
    model: str = "mlp"
    width: int | None = None
    message: str | None = None
    aggr: str = "sum"
    execution: str = "auto"
    init: str = "paper"
    data: str = "digits"
    data_folder: str = "data"
    download: bool = False
    device: str | None = None
    track: tuple[str, ...] = ()
    same_code: bool = False
    loop: LoopOptions = field(default_factory=LoopOptions)

    def __post_init__(self) -> None:
        """Values are checked where they are handed on; the parser would wrap the sentence."""

    def settings(self) -> dict[str, Any]:
        """The settings of training and data by name."""
        values = {**asdict(self), **asdict(self.loop)}
        return {name: values[name] for name in SETTINGS}

    def model_options(self) -> dict[str, Any]:
        """What the rounds of the model are made of, where it is not the default, and what is
        written behind its name."""
        usual = {item.name: item.default for item in fields(TrainingOptions)}
        names = ("message", "aggr", "execution", "init")
        given = {name: getattr(self, name) for name in names}
        changed = {name: value for name, value in given.items() if value != usual[name]}
        _, written = parse_call(self.model)
        for name in written:
            if name in ("graph", "width", "num_classes", "seed", *changed):
                raise ValueError(
                    f"'{self.model}' gives {name}, which is an option of the command or comes from "
                    f"elsewhere; say it there alone."
                )
        return changed | written

    @property
    def model_name(self) -> str:
        """The name of the model, without its options."""
        return parse_call(self.model)[0]


@dataclass(frozen=True, kw_only=True)
class Train(TrainingOptions):
    """Train one model and keep it in a folder; the same command resumes a stopped run.

    Args:
        graph: The call that makes the graph of the inner layers, such as
            "ws_flex(n=64, k=8.5, p=0.2, seed=3)", a connectome or a file; "none" trains the
            ordinary dense network.
        seed: Decides initial weights and training.
        tensorboard: Short for --track tensorboard.
    """

    graph: tyro.conf.Positional[str]
    tensorboard: bool = False

    def run(self) -> None:
        """Train; several processes that ``torchrun`` has started train together."""
        from relmp.training.processes import join_team

        with join_team(self.device) as (team, device):
            self._train(team, device)

    def _train(self, team: Team, device: torch.device) -> None:
        from relmp.graphs.parse import parse_graph
        from relmp.models import count_flops, count_parameters, create_model
        from relmp.models.budget import options_at_budget
        from relmp.progress import training_progress
        from relmp.training import load_data, train

        graph = None if self.graph.lower() == "none" else parse_graph(self.graph)
        if team.leads and graph is not None and graph.name.startswith(f"{self.graph}("):
            print(f"'{self.graph}' alone stands for its example, {graph.name}.", file=sys.stderr)
        with team.leader_first():
            data = load_data(
                self.data,
                folder=self.data_folder,
                download=self.download and team.leads,
                image_size=self.image_size,
                crop=self.crop,
                held_out=self.held_out,
            )
        matched = options_at_budget(
            self.model_name,
            graph=graph,
            num_classes=data.num_classes,
            width=self.width,
            input_shape=data.input_shape,
            **self.model_options(),
        )
        model = create_model(
            self.model_name, graph=graph, num_classes=data.num_classes, seed=self.seed, **matched
        )
        if team.leads:
            flops, parameters = count_flops(model, data.input_shape), count_parameters(model)
            over = f"{self.model} over {graph or 'no graph'}"
            print(f"{over}: {flops:,} FLOPs, {parameters:,} parameters")
        track = (*self.track, *(["tensorboard"] if self.tensorboard else []))
        with training_progress(self.epochs, show=team.leads) as (on_epoch, on_step):
            history = train(
                model, data, out=self.out, device=device, same_code=self.same_code,
                on_epoch=on_epoch, on_step=on_step, track=track, **self.settings(),
            )  # fmt: skip
        if team.leads:
            last = history.iloc[-1]
            print(
                f"After {last['epoch']:.0f} epochs: training error {last['train_error']:.2f} %, "
                f"test error {last['test_error']:.2f} %. Load it with "
                f"relmp.load_run({self.out!r})."
            )
