"""One run: configuration, data, loop and what it leaves on disk."""

from relmp.training.config import TrainConfig
from relmp.training.data import ImageData, datasets, load_data
from relmp.training.run import LoadedRun, load_run, train

__all__ = [
    "ImageData",
    "LoadedRun",
    "TrainConfig",
    "datasets",
    "load_data",
    "load_run",
    "train",
]
