"""Trackers: whoever else is told of every record of a run. The folder's records stay the truth.

A tracker is a callable that takes a record. Given as text, so that every run of a sweep can make
its own, it is ``"tensorboard"``, or the ``"package.module:Name"`` of a class or function
``(folder, run)`` that makes one: ``folder`` is the run's, ``run`` its settings as plain values. A
method ``close`` is called when the run ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from relmp.registry import OpenRegistry
from relmp.training.loop import Record

Tracker: TypeAlias = Callable[[Record], object]
"""Is called with every record as it comes."""
MakeTracker: TypeAlias = Callable[[Path, Mapping[str, Any]], Tracker]
"""``(folder, run) -> tracker``"""
Track: TypeAlias = str | Tracker | Sequence[str | Tracker]
"""Trackers as text or callables, one or several."""

TRACKERS: OpenRegistry[MakeTracker] = OpenRegistry("tracker")

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

    def close(self) -> None:
        """Close the files."""
        if self._writer is not None:
            self._writer.close()


def _chart(name: str) -> str:
    """``test_loss`` -> ``loss/test``, so that the parts of the data stand side by side."""
    part, _, rest = name.partition("_")
    return f"{rest}/{part}" if part in GROUPS else name


@TRACKERS.register("tensorboard")
def to_tensorboard(folder: Path, run: Mapping[str, Any]) -> TensorBoard:
    """Into the folder ``tensorboard`` of the run."""
    return TensorBoard(folder / "tensorboard")


def several(track: Track) -> tuple[str | Tracker, ...]:
    """Trackers in a row; complains of names that there are not.

    Raises:
        ValueError: If one is neither text nor callable.
    """
    several_given = isinstance(track, Sequence) and not isinstance(track, str)
    chosen: list[Any] = [*track] if several_given else [track]  # type: ignore[misc]
    for tracker in chosen:
        if isinstance(tracker, str):
            _ = TRACKERS[tracker]
        elif not callable(tracker):
            raise ValueError(
                f"A tracker is 'tensorboard', package.module:Name, or a callable that takes a "
                f"record, but {tracker!r} was given."
            )
    return tuple(chosen)


@contextmanager
def tracked(
    track: Track,
    folder: str | Path | None,
    run: Mapping[str, Any],
    report: Callable[[Record], object] | None = None,
) -> Iterator[Callable[[Record], None]]:
    """What hands every record to all trackers and to ``report``.

    Args:
        track: The trackers.
        folder: Folder of the run.
        run: Its settings.
        report: Is told as well.

    Raises:
        ValueError: If a tracker is given as text and the run has no folder.
    """
    trackers = []
    for tracker in several(track):
        if isinstance(tracker, str):
            if folder is None:
                raise ValueError(
                    f"The tracker '{tracker}' writes into the run's folder; name one (out=...)."
                )
            tracker = TRACKERS[tracker](Path(folder), run)
            if not callable(tracker):
                raise ValueError(f"A tracker must be callable, but {tracker!r} was made.")
        trackers.append(tracker)

    def tell(record: Record) -> None:
        for tracker in trackers:
            tracker(record)
        if report is not None:
            report(record)

    try:
        yield tell
    finally:
        for tracker in trackers:
            if hasattr(tracker, "close"):
                tracker.close()
