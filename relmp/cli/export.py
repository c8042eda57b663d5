"""The command ``relmp export``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import tyro


@dataclass(frozen=True)
class Export:
    """Write a trained model for other programs.

    Args:
        folder: Folder of the run.
        to: onnx, from pixels as in the data set to class scores; or torchvision, the weights of
            torchvision's own model, of a run that made one of them relational.
        out: The file; model.onnx or model.pt in the run's folder by default.
        trust: Import and call a message or model of your own that the folder names.
    """

    folder: tyro.conf.Positional[str]
    to: Literal["onnx", "torchvision"] = "onnx"
    out: str | None = None
    trust: bool = False

    def run(self) -> None:
        """Write it, and say where."""
        from relmp.training import load_run

        run = load_run(self.folder, device="cpu", trust=self.trust)
        print(f"Written to {run.export(self.out, to=self.to)}.")
