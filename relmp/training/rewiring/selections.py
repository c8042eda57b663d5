"""What scores choose in the course of training: the same records as those of edges that change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from relmp.rounds import Round
from relmp.rounds.scored.message import ScoredMessage
from relmp.training.processes import Team
from relmp.training.rewiring.topology import (
    Topology,
    append_topology,
    layer_record,
    resume_topology,
)


class Selections:
    """Records, before training and after every epoch, the graphs that scored rounds have chosen.

    ``rewiring`` of a record is the epoch. Where single weights have scores, the graph is that of
    :meth:`relmp.Round.selected`, and what changed is not followed (``changed``, ``tried`` and
    ``overlap`` are None).

    Args:
        model: The model in training.
        team: The processes that train together; the first one writes.
    """

    def __init__(self, model: nn.Module, team: Team) -> None:
        self.layers = {
            name: layer
            for name, layer in model.named_modules()
            if isinstance(layer, Round) and isinstance(layer.message_module, ScoredMessage)
        }
        self.team = team
        self.folder: Path | None = None
        self._start = {
            name: mask for name in self.layers if (mask := self._edges(name)) is not None
        }
        self._tried = {name: mask.clone() for name, mask in self._start.items()}
        self._last = dict(self._start)

    def keep_in(self, folder: Path | None, *, fresh: bool, epoch: int) -> None:
        """Write to the folder of a run from now on, from the first process.

        Args:
            folder: The folder; None keeps nothing.
            fresh: Whether the run begins; otherwise what was written after its checkpoint goes.
            epoch: Epochs done.
        """
        if folder is None or not self.layers or not self.team.leads:
            return
        self.folder = folder
        resume_topology(folder, -1 if fresh else epoch)
        if fresh:
            append_topology(folder, self._records(0, 0))

    def end_epoch(self, epoch: int, step: int) -> None:
        """Note what is chosen now.

        Args:
            epoch: Epochs done.
            step: Steps of the optimiser.
        """
        if self.folder is not None:
            append_topology(self.folder, self._records(epoch, step))

    def _records(self, epoch: int, step: int) -> list[Topology]:
        return [self._record(name, epoch, step) for name in self.layers]

    def _record(self, name: str, epoch: int, step: int) -> Topology:
        layer, mask = self.layers[name], self._edges(name)
        selection: Any = layer.message_module.selection
        changes: dict[str, Any] = dict.fromkeys(("changed", "tried", "overlap"))
        places = selection.entries
        if mask is not None:
            places = layer.num_nodes**2
            start = self._start[name]
            self._tried[name] |= mask
            changes["changed"] = int((mask & ~self._last[name]).sum())
            changes["tried"] = int(self._tried[name].sum()) / places
            changes["overlap"] = int((mask & start).sum()) / int(start.sum())
            self._last[name] = mask
        return layer_record(
            layer.selected(), rewiring=epoch, step=step, layer=name, edges=selection.kept,
            density=selection.kept / places, **changes,
        )  # fmt: skip

    def _edges(self, name: str) -> Tensor | None:
        """``[E]``: which edges are chosen; None where single weights are."""
        message: Any = self.layers[name].message_module
        if message.selection.options.granularity == "weight":
            return None
        chosen: Tensor = message.selection.select(message.scores).cpu()
        return chosen

    def state_dict(self) -> dict[str, Any]:
        """What records need of the past."""
        return {"start": self._start, "tried": self._tried, "last": self._last}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from such a state; an empty one is that of a run of a version before."""
        for name, mine in self.state_dict().items():
            mine |= {layer: mask.clone() for layer, mask in state.get(name, {}).items()}
