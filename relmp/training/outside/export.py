"""A trained model for other programs: ONNX, or the weights of torchvision's own model."""

from __future__ import annotations

import copy
import logging
import warnings
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from relmp.files import atomic_write
from relmp.models import to_dense
from relmp.rounds import Round
from relmp.training.run_config import RunConfig

Format: TypeAlias = Literal["onnx", "torchvision"]
ENDINGS: dict[Format, str] = {"onnx": ".onnx", "torchvision": ".pt"}
"""What a run is exported to, and how the file's name ends."""


class Trained(Protocol):
    """A loaded run, as far as it is exported."""

    @property
    def folder(self) -> Path: ...
    @property
    def config(self) -> RunConfig: ...
    @property
    def model(self) -> nn.Module: ...
    @property
    def input_shape(self) -> tuple[int, ...]: ...
    @property
    def mean(self) -> tuple[float, ...]: ...
    @property
    def std(self) -> tuple[float, ...]: ...


def export_run(run: Trained, path: str | Path | None = None, *, to: Format = "onnx") -> Path:
    """Write a trained model for other programs; returns the file.

    - ``"onnx"``: from images with pixels as in the data set, float32 ``[N, C, H, W]``, to class
      scores ``[N, num_classes]``; normalisation is part of it, and N is free. Rounds of linear maps
      become dense layers.
    - ``"torchvision"``: the ``state_dict`` of torchvision's own model, of a run that made one of
      them relational.

    Args:
        run: The run.
        path: The file; ``model.onnx`` or ``model.pt`` in the run's folder by default.
        to: The format.

    Raises:
        ValueError: If the model cannot be exported so.
    """
    if to not in ENDINGS:
        raise ValueError(f"A run is exported to {' or '.join(ENDINGS)}, but '{to}' was given.")
    file = Path(path) if path is not None else run.folder / f"model{ENDINGS[to]}"
    if not file.parent.is_dir():
        raise ValueError(f"There is no folder '{file.parent}' to write '{file.name}' to.")
    write = _write_onnx if to == "onnx" else _write_torchvision
    write(run, file)
    return file


class _OnPixels(nn.Module):
    def __init__(self, model: nn.Module, run: Trained) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(run.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(run.std).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        mean, std = (self.get_buffer(name) for name in ("mean", "std"))
        scores: Tensor = self.model((images - mean) / std)
        return scores


def _write_onnx(run: Trained, file: Path) -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"Exporting to ONNX needs the package {error.name}; pip install 'relmp[onnx]'."
        ) from error
    dense = _as_ordinary(run.model)
    module = _OnPixels(dense, run).cpu().float().eval()
    example = torch.zeros(2, *run.input_shape)
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module, (example,), dynamo=True, verbose=False, input_names=["images"],
                output_names=["scores"], dynamic_shapes=({0: torch.export.Dim("N")},),
            )  # fmt: skip
    except Exception as error:
        raise ValueError(f"{_rounds_named(dense)} ({_last_line(error)}).") from error
    finally:
        logger.setLevel(level)
    assert program is not None
    atomic_write(file, lambda part: program.save(str(part)))


def _as_ordinary(model: nn.Module) -> nn.Module:
    """The model with dense layers in place of its rounds; of those that have no dense form, which
    are left, the definition runs."""
    try:
        return to_dense(model)
    except ValueError:
        twin = copy.deepcopy(model)
    for name, layer in list(twin.named_modules()):
        if isinstance(layer, Round):
            layer.set_execution("message_passing")
            parent, _, child = name.rpartition(".")
            try:
                setattr(twin.get_submodule(parent), child, to_dense(layer))
            except ValueError:
                continue
    return twin


def _rounds_named(model: nn.Module) -> str:
    kept = [
        f"'{name}' ({type(layer.message_module).__name__}, {layer.aggr})"
        for name, layer in model.named_modules()
        if isinstance(layer, Round)
    ]
    if not kept:
        return f"{type(model).__name__} cannot be exported to ONNX"
    return (
        f"This model cannot be exported to ONNX, which lacks what its rounds do that are no linear "
        f"maps: {', '.join(kept[:3])}"
    )


def _last_line(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) < 160 else f"{text[:160]}..."


def _write_torchvision(run: Trained, file: Path) -> None:
    of = str(run.config.model.options.get("of", run.config.model.name))
    if not of.startswith("torchvision:"):
        raise ValueError(
            f"Only a model of torchvision made relational has torchvision's weights, but this run "
            f"trained '{run.config.model.name}'; export it to onnx."
        )
    state = {name: value.cpu() for name, value in to_dense(run.model).state_dict().items()}
    atomic_write(file, lambda part: torch.save(state, part))
