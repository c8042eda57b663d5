"""What the convolutional models share: their options, their stem and widths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import nn

from relmp.models.architecture import Drawing, Maker, Widths


class ConvMessageFactory(Protocol):
    """Makes the messages of a convolutional round; it is told the geometry."""

    def __call__(
        self,
        num_edges: int,
        in_dim: int,
        out_dim: int,
        *,
        kernel_size: int,
        stride: int,
        padding: int,
    ) -> nn.Module: ...


def draw_stem(drawing: Drawing, out: int, kernel_size: int, *, halves: bool) -> None:
    """A convolution; one that ``halves`` does so twice, by its stride and by max pooling."""
    drawing.conv("stem.0", out, kernel_size, stride=2 if halves else 1)
    if halves:
        drawing.pool("stem.3")


def make_stem(make: Maker, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """The stem as drawn, with batch norm and an activation behind its convolution."""
    stem = nn.Sequential(make("stem.0"), make.norm("stem.0"), activation())
    return stem.append(make("stem.3")) if "stem.3" in make.plan else stem


def stage_widths(width: int | Sequence[int] | None, baseline: Widths) -> Widths:
    """Widths of all stages: as given, or in the proportions of the baseline.

    Raises:
        ValueError: If a width is not positive, or their number is not that of the stages.
    """
    if width is None:
        return baseline
    if isinstance(width, int):
        widths: Widths = tuple(round(width * stage / baseline[0]) for stage in baseline)
    else:
        widths = tuple(width)
    if len(widths) != len(baseline) or min(widths) < 1:
        raise ValueError(
            f"width must be the channels of the first stage or of all {len(baseline)} stages, "
            f"each at least 1, but is {width!r}."
        )
    return widths
