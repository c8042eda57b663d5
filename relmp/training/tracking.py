"""TensorBoard, for those who watch a run there; the records of the folder stay the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from relmp.training.loop import Record

GROUPS = ("train", "val", "test")


class TensorBoard:
    """Writes every record of a run for TensorBoard: ``train(..., on_epoch=TensorBoard(folder))``.

    Loss and errors of the parts of the data share a chart each. Where a run goes on from an
    earlier epoch, what was written for later ones is dropped from the charts.

    Args:
        folder: Where its files go.

    Raises:
        ValueError: If TensorBoard is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            import tensorboard  # noqa: F401
        except ImportError as error:
            raise ValueError(
                "TensorBoard is not installed; pip install 'relmp[tensorboard]'."
            ) from error
        self.folder = Path(folder)
        self._writer: Any = None

    def __call__(self, record: Record) -> None:
        if self._writer is None:
            from torch.utils.tensorboard.writer import SummaryWriter

            self._writer = SummaryWriter(str(self.folder), purge_step=record["epoch"])
        for name, value in record.items():
            if name != "epoch":
                self._writer.add_scalar(_chart(name), value, record["epoch"])
        self._writer.flush()


def _chart(name: str) -> str:
    """``test_loss`` -> ``loss/test``, so that the parts of the data stand side by side."""
    part, _, rest = name.partition("_")
    return f"{rest}/{part}" if part in GROUPS else name
