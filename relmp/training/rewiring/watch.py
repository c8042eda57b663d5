"""What goes into rounds and what is wanted of their output, caught on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from relmp.rounds import Round


class Watch:
    """Catches the inputs of rounds and the gradients of their aggregated messages.

    Args:
        layers: The rounds, by name.
    """

    def __init__(self, layers: Mapping[str, Round]) -> None:
        self.layers = layers
        self._inputs: dict[str, list[Tensor]] = {}
        self._wanted: dict[str, list[Tensor]] = {}

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Watch the forward pass inside, and the backward pass that follows it."""
        self._inputs = {name: [] for name in self.layers}
        self._wanted = {name: [] for name in self.layers}
        handles: list[Any] = []
        for name, layer in self.layers.items():
            handles.append(layer.register_forward_pre_hook(self._note_input(name)))
            handles.append(layer.register_propagate_forward_hook(self._note_output(name)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def caught(self, name: str) -> tuple[Tensor, Tensor]:
        """Inputs ``[B, C_in, ...]`` and gradients ``[B, C_out, ...]`` of a round, of all calls."""
        return torch.cat(self._inputs[name]), torch.cat(self._wanted[name])

    def forget(self) -> None:
        """Let go of what was caught."""
        self._inputs, self._wanted = {}, {}

    def _note_input(self, name: str) -> Any:
        channels = self.layers[name].in_channels

        def note(_: Any, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].detach()
            self._inputs[name].append(x if x.dim() == 4 else x.reshape(-1, channels))

        return note

    def _note_output(self, name: str) -> Any:
        wanted = self._wanted[name]

        def note(_module: Any, _inputs: Any, output: Tensor) -> None:
            place = len(wanted)
            wanted.append(output.new_zeros(output.shape))  # nothing is wanted where it is unused
            if output.requires_grad:

                def keep(gradient: Tensor) -> None:
                    wanted[place] = gradient.detach()

                output.register_hook(keep)

        return note
