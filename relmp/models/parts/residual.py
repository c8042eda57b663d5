"""Residual blocks of rounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

import torch.nn.functional as F
from torch import Tensor, nn

from relmp.models.architecture import Drawing, Maker
from relmp.models.parts.packing import (
    as_images,
    in_lanes,
    packed_round,
    round_packs,
    size_behind,
)
from relmp.rounds import Round
from relmp.rounds.execution.watched import is_hooked

if TYPE_CHECKING:
    from relmp.models.parts.packing import Images
    from relmp.rounds.execution.cpu.packed import Packed


@dataclass(frozen=True)
class BlockConv:
    """One convolution of a block: a round, or a depth-wise step inside each node."""

    in_channels: int
    out_channels: int
    kernel_size: int = 1
    stride: int = 1
    depthwise: bool = False


BlockPlan: TypeAlias = Callable[[int, int, int], list[BlockConv]]
"""``(in_channels, out_channels, stride) -> convolutions``."""


def basic(in_channels: int, out_channels: int, stride: int) -> list[BlockConv]:
    """Two rounds of 3x3 convolutions.

    ::

        x --+-- 3x3 messages / stride, batch norm, ReLU
            |   3x3 messages, batch norm
            +-- 1x1 messages / stride, batch norm        where the shape changes
            sum, ReLU
    """
    return [
        BlockConv(in_channels, out_channels, 3, stride),
        BlockConv(out_channels, out_channels, 3),
    ]


def separable(in_channels: int, out_channels: int, stride: int) -> list[BlockConv]:
    """Two rounds of 1x1 convolutions, each after a depth-wise one that stays in its node.

    ::

        x --+-- 3x3 depth-wise / stride, 1x1 messages, batch norm, ReLU
            |   3x3 depth-wise, 1x1 messages, batch norm
            +-- 1x1 messages / stride, batch norm        where the shape changes
            sum, ReLU
    """
    return [
        BlockConv(in_channels, in_channels, 3, stride, depthwise=True),
        BlockConv(in_channels, out_channels),
        BlockConv(out_channels, out_channels, 3, depthwise=True),
        BlockConv(out_channels, out_channels),
    ]


def bottleneck(
    in_channels: int, out_channels: int, stride: int, share: float = 1 / 4
) -> list[BlockConv]:
    """Three rounds, the middle one on a quarter, or another share, of the channels.

    ::

        x --+-- 1x1 messages, batch norm, ReLU
            |   3x3 messages / stride, batch norm, ReLU
            |   1x1 messages, batch norm
            +-- 1x1 convolution / stride, batch norm     where the shape changes; dense
            sum, ReLU
    """
    inner = round(out_channels * share)
    return [
        BlockConv(in_channels, inner),
        BlockConv(inner, inner, 3, stride),
        BlockConv(inner, out_channels),
    ]


class ResidualBlock(nn.Module):
    """A block of rounds and its shortcut; the last batch norm starts at zero, unless all layers
    are scored.

    Args:
        make: Makes the layers.
        name: Name of the block in the model; its layers are those of the plan below it. Every
            round is followed by batch norm and, but for the last, ReLU, and a depth-wise
            convolution by nothing.
    """

    def __init__(self, make: Maker, name: str) -> None:
        super().__init__()
        body = [layer for layer in make.plan if layer.startswith(f"{name}.body.")]
        self.body = nn.Sequential()
        for layer in body:
            if make.plan[layer].depthwise:
                self.body.append(make(layer))
                continue
            norm = make.norm(layer)
            self.body.append(make(layer, [norm] if layer == body[-1] else [norm, nn.ReLU()]))
        if make.scored == "rounds":
            nn.init.zeros_(norm.weight)  # type: ignore[arg-type]
        self.projection: nn.Module = nn.Identity()
        projection = f"{name}.projection"
        if projection in make.plan:
            norm = make.norm(projection)
            layer_of = make(projection, [norm])
            dense = not make.plan[projection].relational
            self.projection = nn.Sequential(layer_of, norm) if dense else layer_of

    def forward(self, x: Tensor) -> Tensor:
        if self.packs(x):
            return as_images(self.packed(x))
        return F.relu(self.projection(x) + self.body(x))

    def packs(self, x: Images) -> bool:
        """Whether all rounds can hand images on in lanes, and nobody looks in between."""
        if type(self.body) is not nn.Sequential or is_hooked(self.body) or not len(self.body):
            return False
        *body, last = cast("list[Round]", list(self.body))
        size: Sequence[int] = x.shape
        for layer in body:
            if not round_packs(layer, x, size=size):
                return False
            size = size_behind(layer, size)
        return round_packs(last, x, size=size, adds=True)

    def packed(self, x: Images) -> Packed:
        """The block in lanes: the sum and ReLU come with the update of its last round."""
        rounds = cast("list[Round]", list(self.body))
        *body, last = rounds
        here = x = in_lanes(x, rounds[0].in_partition)
        for layer in body:
            here = packed_round(layer, here)
        shortcut = x
        if round_packs(self.projection, x):
            shortcut = packed_round(cast(Round, self.projection), x)
        elif type(self.projection) is not nn.Identity or is_hooked(self.projection):
            shortcut = in_lanes(self.projection(as_images(x)), last.out_partition)
        return packed_round(last, here, shortcut, activates=True)


def draw_block(
    drawing: Drawing, name: str, convolutions: Sequence[BlockConv], *, relational: bool
) -> None:
    """A block, its shortcut last; ``relational`` says whether a projection is a round."""
    before = (drawing.channels, drawing.size)
    for number, c in enumerate(convolutions):
        drawing.conv(
            f"{name}.body.{number}", c.out_channels, c.kernel_size, stride=c.stride,
            relational=not c.depthwise, depthwise=c.depthwise,
        )  # fmt: skip
    stride = math.prod(c.stride for c in convolutions)
    if before[0] != drawing.channels or stride != 1:
        drawing.conv(
            f"{name}.projection", drawing.channels, stride=stride, relational=relational, of=before
        )
