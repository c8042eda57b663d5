"""Squeeze and excitation: every channel is scaled by what all channels say."""

from __future__ import annotations

from torch import Tensor, nn


class SqueezeExcitation(nn.Module):
    """Scales every channel by what all channels say about it.

    Args:
        channels: Channels of the images.
        squeezed: Channels in between.
    """

    counts_flops = True

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.channels, self.squeezed = channels, squeezed
        self.scale = nn.Sequential(
            nn.Conv2d(channels, squeezed, 1), nn.SiLU(), nn.Conv2d(squeezed, channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale(x.mean((2, 3), keepdim=True)).sigmoid()

    def flops(self) -> int:
        """Multiply-adds of one image."""
        return squeeze_flops(self.channels, self.squeezed)


def squeeze_flops(channels: int, squeezed: int) -> int:
    """Multiply-adds of squeeze and excitation, with the biases, as in the paper's code."""
    return 2 * channels * squeezed + channels + squeezed
