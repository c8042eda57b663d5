"""Data sets: small ones in memory and on the device, large ones read by workers."""

from relmp.training.data.arrays import image_data
from relmp.training.data.dataset import DataSet, Part, Step, plan_epoch
from relmp.training.data.given import GIVEN, as_data_set, name_data
from relmp.training.data.image_data import ImageData, augmented, channel_statistics
from relmp.training.data.image_folder import FolderData
from relmp.training.data.load import DATASETS, load_data
from relmp.training.data.objective import Objective, objective_of
from relmp.training.data.torch_data import TorchData

from relmp.training.data import mnist1d as mnist1d  # isort: skip  (these register data sets)
from relmp.training.data import sets as sets  # isort: skip
from relmp.training.data.sequences import SequenceData  # isort: skip

__all__ = [
    "DATASETS",
    "GIVEN",
    "DataSet",
    "FolderData",
    "ImageData",
    "Objective",
    "Part",
    "SequenceData",
    "Step",
    "TorchData",
    "as_data_set",
    "augmented",
    "channel_statistics",
    "image_data",
    "load_data",
    "name_data",
    "objective_of",
    "plan_epoch",
]
