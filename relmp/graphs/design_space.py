"""The design space of the paper: the WS-flex settings that are swept, and its graph sets.

The settings lie on a grid: 300 (n = 64) or 200 (n = 16) degrees k, 300 rewiring
probabilities p and 30 seeds. A graph set names its graphs by their place on that grid.

Reference:
    You, Leskovec, He, Xie, *Graph Structure of Neural Networks*, ICML 2020, section 5.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from relmp.graphs.generators import create_graph
from relmp.graphs.relational_graph import RelationalGraph

PROBABILITIES: npt.NDArray[np.float64] = np.linspace(0, 1, 300) ** 2
"""The rewiring probabilities p of the grid."""

_DEGREE_RANGES = {64: (8, 62, 300), 16: (4, 14, 200)}


def degrees(n: int) -> npt.NDArray[np.float64]:
    """The mean degrees k of the grid for n = 64 or 16 nodes."""
    low, high, count = _DEGREE_RANGES[n]
    return np.linspace(math.sqrt(low), math.sqrt(high), count) ** 2


def sample_graphs(n: int = 64, size: int = 52) -> list[RelationalGraph]:
    """The paper's set of WS-flex graphs spread over (C, L), generated from its settings.

    Args:
        n: Number of nodes, 64 or 16.
        size: Number of graphs: 52 for n = 64, 48 for n = 16.

    Raises:
        ValueError: For any other n or size.
    """
    if (n, size) not in _PLACES:
        known = ", ".join(f"(n={nodes}, size={count})" for nodes, count in _PLACES)
        raise ValueError(f"There is no graph set with n={n} and size={size}; choose {known}.")
    k = degrees(n)
    return [
        create_graph("ws_flex", n=n, k=float(k[i]), p=float(PROBABILITIES[j]), seed=seed)
        for i, j, seed in _PLACES[n, size]
    ]


# fmt: off
# (degree, probability, seed) of every graph, in the order of the published files.
_PLACES: dict[tuple[int, int], list[tuple[int, int, int]]] = {
    (64, 52): [
        (135, 193, 0), (16, 222, 16), (79, 20, 16), (212, 75, 15), (12, 38, 29), (208, 230, 4),
        (19, 187, 10), (133, 104, 16), (277, 286, 26), (0, 24, 28), (57, 186, 21), (151, 43, 15),
        (1, 119, 15), (120, 20, 5), (17, 112, 3), (67, 6, 5), (59, 86, 15), (48, 50, 11),
        (133, 148, 4), (141, 75, 23), (50, 214, 7), (95, 29, 17), (99, 81, 8), (74, 72, 8),
        (75, 113, 17), (34, 52, 19), (21, 76, 26), (28, 104, 13), (66, 157, 3), (3, 174, 12),
        (32, 160, 15), (10, 93, 6), (46, 103, 1), (25, 51, 25), (68, 145, 2), (87, 87, 17),
        (27, 175, 23), (9, 148, 3), (16, 43, 3), (1, 171, 21), (39, 135, 15), (34, 82, 15),
        (5, 76, 5), (2, 13, 7), (4, 19, 7), (1, 79, 21), (6, 31, 20), (0, 69, 8),
        (15, 282, 13), (237, 26, 12), (261, 173, 27), (293, 152, 29),
    ],
    (16, 48): [
        (47, 140, 15), (65, 19, 14), (104, 227, 16), (169, 46, 22), (102, 63, 28), (77, 43, 18),
        (75, 199, 22), (62, 264, 18), (139, 271, 5), (5, 164, 11), (55, 77, 26), (4, 215, 23),
        (15, 73, 26), (6, 292, 16), (11, 48, 5), (35, 132, 25), (40, 190, 3), (73, 295, 11),
        (29, 20, 1), (41, 45, 6), (29, 245, 16), (1, 217, 28), (11, 118, 26), (24, 277, 2),
        (9, 208, 5), (25, 115, 11), (14, 296, 2), (15, 253, 19), (13, 235, 7), (18, 35, 16),
        (4, 89, 13), (138, 228, 11), (1, 129, 13), (1, 244, 0), (36, 259, 3), (60, 251, 4),
        (0, 95, 4), (1, 146, 29), (100, 259, 17), (5, 94, 4), (3, 53, 23), (53, 49, 11),
        (42, 48, 2), (111, 219, 16), (151, 180, 29), (189, 42, 28), (182, 220, 12), (199, 168, 16),
    ],
}
# fmt: on
