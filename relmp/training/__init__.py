"""One run: configuration, data, loop and what it leaves on disk."""

from relmp.training.config import LoopOptions, TrainConfig
from relmp.training.data import DataSet, FolderData, ImageData, datasets, load_data
from relmp.training.loaded import LoadedRun, load_run
from relmp.training.run import train

__all__ = [
    "DataSet",
    "FolderData",
    "ImageData",
    "LoadedRun",
    "LoopOptions",
    "TrainConfig",
    "datasets",
    "load_data",
    "load_run",
    "train",
]
