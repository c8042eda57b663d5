"""Tasks in time: sequences that are drawn by a program, with what is asked of them."""

from relmp.training.data.sequences.sequence_data import SequenceData

from relmp.training.data.sequences import memory as memory  # isort: skip  (these register tasks)
from relmp.training.data.sequences import nback as nback  # isort: skip

__all__ = ["SequenceData"]
