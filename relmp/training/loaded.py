"""A trained model, loaded from the folder of its run and ready to predict."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from relmp.graphs import RelationalGraph
from relmp.graphs.layers.mapping import LayerGraphs
from relmp.models.own.build import Builder
from relmp.models.own.described import rebuilt
from relmp.rounds.aggregation import Aggr
from relmp.rounds.names import MessageFactory
from relmp.training.data.image_files import fit_image, open_image
from relmp.training.device import pick_device
from relmp.training.folder import RunFolder
from relmp.training.loop import predict_scores
from relmp.training.outside.export import Format, export_run
from relmp.training.run_config import RunConfig
from relmp.training.state import use_executions

FILES_AT_A_TIME = 100


@dataclass(frozen=True)
class LoadedRun:
    """A trained model with what it takes to use it.

    Args:
        folder: Where it was loaded from.
        config: The configuration of the run.
        history: One row an epoch.
        model: The trained model, in evaluation mode; the averaged one where the run has it.
        input_shape: Shape of an image, ``(C, H, W)``.
        mean, std: What normalisation takes out, in the units of the pixels.
        class_names: Names of the classes; empty where they are numbers.
        resized: Whether image files of any size are brought to ``input_shape``.
    """

    folder: Path
    config: RunConfig
    history: pd.DataFrame = field(repr=False)
    model: nn.Module = field(repr=False)
    input_shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...] = ()
    resized: bool = False

    def _repr_html_(self) -> str:
        training, last = self.config.training, self.history.iloc[-1]
        graph = "no graph" if self.graph is None else self.graph.name or self.graph.key
        facts = {
            "model": f"{self.config.model.name} over {graph}",
            "data": self.config.data.name,
            "epochs": f"{last['epoch']:.0f} of {training.epochs}, seed {training.seed}",
            "errors": f"training {last['train_error']:.2f} %, test {last['test_error']:.2f} %"
            if "test_error" in last
            else f"training {last['train_error']:.2f} %",
            "folder": str(self.folder),
        }
        rows = "".join(
            f"<tr><th>{name}</th><td>{html.escape(value)}</td></tr>"
            for name, value in facts.items()
        )
        return f"<table>{rows}</table>"

    @property
    def graph(self) -> RelationalGraph | LayerGraphs | None:
        """The graph of its rounds, or the graphs by name of layer."""
        return self.config.model.graph

    def scores(self, images: Tensor) -> Tensor:
        """Class scores ``[N, num_classes]`` of images ``[N, C, H, W]`` with pixels as in the
        data set.

        Raises:
            ValueError: If the images have another shape than those trained on.
        """
        if tuple(images.shape[1:]) != self.input_shape:
            raise ValueError(
                f"This model takes images [N, {', '.join(map(str, self.input_shape))}], but was "
                f"given {list(images.shape)}."
            )
        device = next(self.model.parameters()).device
        mean = torch.tensor(self.mean, device=device).view(-1, 1, 1)
        std = torch.tensor(self.std, device=device).view(-1, 1, 1)
        scores = predict_scores(self.model, (images.to(device).float() - mean) / std)
        return scores.to(images.device)

    def predict(self, images: Tensor) -> Tensor:
        """Classes ``[N]`` of images ``[N, C, H, W]`` with pixels as in the data set; of sequences
        ``[N, T, C]`` those of every step, ``[N, T]``.

        Raises:
            ValueError: If the images have another shape than those trained on.
        """
        return self.scores(images).argmax(-1)

    def predict_files(self, paths: Iterable[str | Path]) -> pd.DataFrame:
        """The class of every image file: columns ``file``, ``label``, ``probability``.

        Images are made grey or coloured as the model takes them. Where it was trained on a
        folder of images, they are brought to its size, else they must have it.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a file is no image, or has the wrong size.
        """
        files = list(paths)
        rows = []
        for first in range(0, len(files), FILES_AT_A_TIME):
            some = files[first : first + FILES_AT_A_TIME]
            scores = self.scores(torch.stack([self._open(path) for path in some]))
            shares, numbers = scores.softmax(1).max(1)
            found = zip(some, numbers.tolist(), shares.tolist(), strict=True)
            rows += [(str(path), self.label(number), share) for path, number, share in found]
        return pd.DataFrame(rows, columns=["file", "label", "probability"])

    def export(self, path: str | Path | None = None, *, to: Format = "onnx") -> Path:
        """Write the model for other programs, see
        :func:`relmp.training.outside.export.export_run`; returns the file."""
        return export_run(self, path, to=to)

    def label(self, number: int) -> str:
        """The name of a class, or its number where the data set has no names."""
        return self.class_names[number] if self.class_names else str(number)

    def _open(self, path: str | Path) -> Tensor:
        image = open_image(path, self.input_shape[0])
        if self.resized:
            return fit_image(image, self.input_shape[-1])
        if tuple(image.shape) != self.input_shape:
            raise ValueError(
                f"'{path}' has {image.shape[1]} x {image.shape[2]} pixels, but this model takes "
                f"{self.input_shape[1]} x {self.input_shape[2]}; scale it first."
            )
        return image


def load_run(
    folder: str | Path,
    *,
    device: str | torch.device | None = None,
    message: MessageFactory | None = None,
    aggr: Aggr | None = None,
    model: nn.Module | Builder | None = None,
    trust: bool = False,
) -> LoadedRun:
    """The trained model of a run, ready to predict.

    Nothing that the folder names is imported unless it is registered or installed: give the
    message or the aggregation yourself, or trust the folder.

    Args:
        folder: Folder of the run (``out`` of :func:`train`, or one in a sweep's folder).
        device: Where to put the model; a GPU where there is one by default.
        message, aggr: The message and the aggregation of its rounds, where they are your own.
        model: The class or function that builds the model, where it is of your own; or the model
            itself, built again, where the run holds weights alone.
        trust: Whether what the folder names as ``package.module:Name`` is imported and called.

    Raises:
        FileNotFoundError: If there is no run, or it has not finished an epoch.
        ValueError: If its files are damaged, or it names code that is not trusted.
    """
    run = RunFolder(Path(folder))
    if not (run.path / "config.json").exists():
        raise FileNotFoundError(f"'{folder}' holds no run: there is no config.json in it.")
    config, checkpoint = run.config(), run.load()
    if checkpoint is None or not checkpoint["records"]:
        raise FileNotFoundError(f"The run in '{folder}' has not finished an epoch yet.")
    given = {"message": message, "aggr": aggr}
    own = {name: value for name, value in given.items() if value is not None}
    described = replace(config.model, options={**config.model.options, **own})
    kept = {name: value for name, value in config.model.options.items() if name not in own}
    untrusted = [] if isinstance(model, nn.Module) else replace(config.model, options=kept).foreign
    untrusted = [name for name in untrusted if model is None or name != described.name]
    if untrusted and not trust:
        raise ValueError(
            f"The run in '{folder}' names '{untrusted[0]}', which would be imported and called; "
            f"give it (model=..., message=..., aggr=...), or trust the folder (trust=True, "
            f"--trust)."
        )
    model = rebuilt(described, model).to(pick_device(device))
    try:
        use_executions(model, checkpoint["executions"])
        averaged = checkpoint["average"]
        model.load_state_dict(checkpoint["model"] if averaged is None else averaged["model"])
    except (KeyError, RuntimeError, ValueError) as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise ValueError(
            f"The checkpoint in '{folder}' is of another model than its config.json describes: "
            f"{reason}"
        ) from error
    model.eval()
    data = checkpoint["data"]
    return LoadedRun(
        run.path,
        config,
        pd.DataFrame(checkpoint["records"]),
        model,
        tuple(data["input_shape"]),
        tuple(data["mean"]),
        tuple(data["std"]),
        tuple(data["class_names"]),
        data["resized"],
    )
