"""What a run starts from: the weights of a finished one, and images to stop by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from relmp.training.config import TrainConfig
from relmp.training.data import DataSet
from relmp.training.folder import RunFolder


def source_text(run: Any) -> str:
    """What a configuration says of the run that it starts from: ``"KEY@FOLDER"``.

    The key alone decides what is trained; the folder says where it lay.

    Args:
        run: The folder of a run, a loaded run, or such a text.

    Raises:
        ValueError: If it is none, or the run is not finished.
    """
    if isinstance(run, str) and "@" in run and not Path(run).exists():
        return run
    folder = RunFolder(Path(getattr(run, "folder", run)))
    if not (folder.path / "config.json").exists():
        raise ValueError(
            f"init_from names '{folder.path}', which holds no run; name the folder of a finished "
            f"run."
        )
    config, records = folder.config(), folder.records()
    if not config.training.is_finished(records):
        raise ValueError(
            f"The run in '{folder.path}' has done {len(records)} of {config.training.epochs} "
            f"epochs; finish it before another one starts from it."
        )
    return f"{config.key}@{folder.path.resolve()}"


def load_start(model: nn.Module, source: str) -> None:
    """Give a model the weights of the run that a configuration names: those that are evaluated,
    the averaged ones where it has them.

    Raises:
        ValueError: If the run is not there any longer, is another one, or has another model.
    """
    key, _, path = source.partition("@")
    folder = RunFolder(Path(path))
    there = (folder.path / "config.json").exists()
    if not there or folder.config().key != key:
        raise ValueError(
            f"This run starts from the weights of run {key}, and '{path}' holds "
            f"{'another run' if there else 'no run'}; put it back there."
        )
    checkpoint = folder.load()
    if checkpoint is None:
        raise ValueError(f"The run in '{path}' has no checkpoint to start from.")
    averaged = checkpoint["average"]
    weights = checkpoint["model"] if averaged is None else averaged["model"]
    try:
        with torch.no_grad():
            model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[1:2])
        raise ValueError(
            f"The weights of the run in '{path}' do not fit this model: {reason} It must have the "
            f"same layers, widths and graph."
        ) from error


def check_patience(config: TrainConfig, data: DataSet) -> None:
    """Raise ``ValueError`` if a run is to stop early and there is nothing to stop it by."""
    if config.loop.patience is not None and not data.size("validation"):
        raise ValueError(
            f"patience stops a run by its validation images, and {data.name} has none; hold some "
            f"out (validation=0.1)."
        )
