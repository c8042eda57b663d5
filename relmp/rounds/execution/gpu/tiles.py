"""How large a piece of the round one program of a kernel takes: by rule, not by trial.

Trying tiles out would take seconds for every shape and could give other sums in other runs.
"""

from __future__ import annotations

from typing import NamedTuple

PROGRAMS = 512
"""So many programs keep a large GPU busy; the same number on every GPU, so that sums do not
depend on which it is."""


class Tile(NamedTuple):
    """What one program takes.

    Args:
        positions: Pixels of the batch: rows of the output, or at a time of the sum.
        told: Channels of the node.
        heard: Channels it hears: at a time of the sum, or columns of a weight gradient.
        warps: Groups of 32 threads.
        stages: How many steps of the sum are loaded ahead.
    """

    positions: int
    told: int
    heard: int
    warps: int
    stages: int

    def constants(self) -> dict[str, int]:
        """As a kernel takes them."""
        return {
            "POSITIONS": self.positions,
            "TOLD": self.told,
            "HEARD": self.heard,
            "num_warps": self.warps,
            "num_stages": self.stages,
        }


def power_of_two(number: float, least: int, most: int) -> int:
    """The smallest power of two that holds a number, within bounds that are powers of two."""
    size = least
    while size < min(number, most):
        size *= 2
    return size


def multiply_tile(told: int, heard: float, positions: int, nodes: int, exact: bool) -> Tile:
    """The tile of a round: sums over the channels heard.

    Args:
        told: The largest node size of the output.
        heard: How many channels a node hears, on average.
        positions: Images times pixels.
        nodes: Nodes of the graph.
        exact: Whether numbers are multiplied in float32, by ordinary arithmetic, and not by
            matrix units, which take 16 at a time.
    """
    columns = power_of_two(told, 8 if exact else 16, 64)
    rows = 128 if columns <= 32 else 64
    programs = nodes * -(-told // columns)
    while rows > 32 and programs * -(-positions // rows) < PROGRAMS:
        rows //= 2
    return Tile(rows, columns, power_of_two(heard, 16, 16 if exact else 32), 4, 3)


def correlate_tile(told: int, heard: float, item_bytes: int, exact: bool) -> Tile:
    """The tile of a weight gradient: sums over images and pixels.

    Args:
        told, heard, exact: See :func:`multiply_tile`.
        item_bytes: Bytes of a number.
    """
    columns = power_of_two(told, 8 if exact else 16, 64)
    rows = power_of_two(heard, 16, 64)
    return Tile(16 if exact else 32 if item_bytes == 4 else 64, columns, rows, 4, 3)


def splits_of(programs: int, positions: int, tile: Tile) -> int:
    """Into how many parts a sum over positions is split, each part at least eight steps long."""
    most = -(-positions // (8 * tile.positions))
    return max(1, min(-(-PROGRAMS // max(1, programs)), most, 64))
