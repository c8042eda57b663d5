"""Models of a user's, as a module that workers can import."""

from __future__ import annotations

from torch import Tensor, nn

import relmp
from relmp.graphs import RelationalGraph


def stacked(
    graph: RelationalGraph, num_classes: int = 10, *, in_features: int = 64, width: int = 32
) -> nn.Module:
    """A sequence of rounds."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(in_features, width),
        relmp.Round(graph, width, width, update=nn.ReLU()),
        nn.Linear(width, num_classes),
    )


class Staged(nn.Module):
    """Two widths."""

    def __init__(self, graph: RelationalGraph, width: tuple[int, int] = (32, 48)) -> None:
        super().__init__()
        first, second = width
        self.stem = nn.Linear(64, first)
        self.round = relmp.RelationalLinear(graph, first, second)
        self.head = nn.Linear(second, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.round(self.stem(x.flatten(1))).relu())


class Deaf(Staged):
    """Ignores its graph."""

    def __init__(self, graph: RelationalGraph, width: int = 32) -> None:
        nn.Module.__init__(self)
        self.stem, self.round, self.head = nn.Linear(64, 32), nn.Linear(32, 32), nn.Linear(32, 10)


class Rigid(Staged):
    """Ignores its width."""

    def __init__(self, graph: RelationalGraph, width: int = 32) -> None:
        super().__init__(graph)


class Fixed(Staged):
    """Has no width."""

    def __init__(self, graph: RelationalGraph, num_classes: int = 10) -> None:
        super().__init__(graph)


class Plain(nn.Module):
    """Takes no graph."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(),
            nn.Linear(32, num_classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Attention(nn.Module):
    """Makes queries, keys and values by one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.qkv = nn.Linear(8, 16), nn.Linear(16, 48)
        self.proj, self.head = nn.Linear(16, 16), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.stem(x)).chunk(3, -1)
        return self.head(self.proj((q * k).softmax(-1) * v))
