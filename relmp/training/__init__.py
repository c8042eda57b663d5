"""One run: configuration, data, loop and what it leaves on disk.

Names are imported on first use, so that the command line can read the settings without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relmp.training.config import DataConfig as DataConfig
    from relmp.training.config import LoopOptions as LoopOptions
    from relmp.training.config import TrainConfig as TrainConfig
    from relmp.training.data import DATASETS as DATASETS
    from relmp.training.data import DataSet as DataSet
    from relmp.training.data import FolderData as FolderData
    from relmp.training.data import ImageData as ImageData
    from relmp.training.data import SequenceData as SequenceData
    from relmp.training.data import load_data as load_data
    from relmp.training.echo import fit_readout as fit_readout
    from relmp.training.echo import fit_readouts as fit_readouts
    from relmp.training.echo import memory_capacity as memory_capacity
    from relmp.training.loaded import LoadedRun as LoadedRun
    from relmp.training.loaded import load_run as load_run
    from relmp.training.rewiring.rule import REWIRINGS as REWIRINGS
    from relmp.training.rewiring.rule import Candidates as Candidates
    from relmp.training.rewiring.rule import Rewiring as Rewiring
    from relmp.training.run import train as train
    from relmp.training.run_config import RunConfig as RunConfig
    from relmp.training.tracking import TensorBoard as TensorBoard

_HOMES = {
    "relmp.training.config": ("DataConfig", "LoopOptions", "TrainConfig"),
    "relmp.training.data": (
        "DATASETS",
        "DataSet",
        "FolderData",
        "ImageData",
        "SequenceData",
        "load_data",
    ),
    "relmp.training.echo": ("fit_readout", "fit_readouts", "memory_capacity"),
    "relmp.training.loaded": ("LoadedRun", "load_run"),
    "relmp.training.rewiring.rule": ("Candidates", "REWIRINGS", "Rewiring"),
    "relmp.training.run": ("train",),
    "relmp.training.run_config": ("RunConfig",),
    "relmp.training.tracking": ("TensorBoard",),
}
_EXPORTS = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_EXPORTS)  # pyright: ignore


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'relmp.training' has no attribute '{name}'")
    value = getattr(import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_EXPORTS]
