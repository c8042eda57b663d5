"""Echo states: networks whose rounds stay as drawn, and a read-out that is fitted at once."""

from relmp.training.echo.capacity import MemoryCapacity, memory_capacity
from relmp.training.echo.fit import fit_readouts
from relmp.training.echo.readout import Readout, fit_readout

__all__ = ["MemoryCapacity", "Readout", "fit_readout", "fit_readouts", "memory_capacity"]
