"""Ollivier-Ricci curvature: a compiled solver of small transport problems.

Imports numba, so it is imported where it is needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from relmp.graphs.bits import compiled

Integers = npt.NDArray[np.int64]


@compiled
def mean_edge_curvature(adjacency: npt.NDArray[np.bool_], distances: Integers) -> float:
    """Mean over the edges (u, v) of 1 - W(m_u, m_v), steps from u and v without staying."""
    n = adjacency.shape[0]
    degree = adjacency.sum(axis=1)
    total: float = 0.0
    edges = 0
    for u in range(n):
        for v in range(u + 1, n):
            if not adjacency[u, v]:
                continue
            # In units of 1 / (d_u d_v) all masses are whole. What both ends hold in the same
            # place stays there: distances are a metric.
            supply, demand = np.zeros(n, np.int64), np.zeros(n, np.int64)
            for w in range(n):
                surplus = adjacency[u, w] * degree[v] - adjacency[v, w] * degree[u]
                supply[w] = max(surplus, 0)
                demand[w] = max(-surplus, 0)
            cost = _transport_cost(
                np.nonzero(supply)[0], np.nonzero(demand)[0], supply, demand, distances
            )
            total += 1.0 - cost / (degree[u] * degree[v])
            edges += 1
    return float(total / edges)


@compiled
def _transport_cost(
    sources: Integers, sinks: Integers, supply: Integers, demand: Integers, distances: Integers
) -> int:
    """Least cost of moving all supply to the demand: successive shortest paths.

    Nodes 0 to S - 1 are sources, S to S + T - 1 sinks. Every augmentation searches the
    residual graph from all sources with supply left at once (Bellman and Ford with a queue).
    """
    S, T = sources.size, sinks.size
    left, wanted = supply[sources], demand[sinks]
    flow = np.zeros((S, T), np.int64)
    far = np.int64(1) << 40
    length = np.empty(S + T, np.int64)
    previous = np.empty(S + T, np.int64)
    queued = np.zeros(S + T, np.bool_)
    queue = np.empty(S + T, np.int64)
    cost: Any = 0
    while wanted.sum() > 0:
        length[:] = far
        previous[:] = -1
        head, waiting = 0, 0
        for s in range(S):
            if left[s] > 0:
                length[s] = 0
                queue[waiting] = s
                queued[s] = True
                waiting += 1
        while waiting > 0:
            x = queue[head]
            head = (head + 1) % (S + T)
            waiting -= 1
            queued[x] = False
            for other in range(T if x < S else S):
                y = S + other if x < S else other
                if x < S:
                    step = distances[sources[x], sinks[other]]
                elif flow[other, x - S] > 0:
                    step = -distances[sources[other], sinks[x - S]]
                else:
                    continue
                if length[x] + step < length[y]:
                    length[y] = length[x] + step
                    previous[y] = x
                    if not queued[y]:
                        queue[(head + waiting) % (S + T)] = y
                        queued[y] = True
                        waiting += 1
        end = -1
        for t in range(T):
            if wanted[t] > 0 and (end < 0 or length[S + t] < length[S + end]):
                end = t
        # The bottleneck, then the change along the path.
        amount = wanted[end]
        y = S + end
        while previous[y] >= 0:
            x = previous[y]
            if x >= S:
                amount = min(amount, flow[y, x - S])
            y = x
        amount = min(amount, left[y])
        left[y] -= amount
        wanted[end] -= amount
        cost += amount * length[S + end]
        y = S + end
        while previous[y] >= 0:
            x = previous[y]
            if x < S:
                flow[x, y - S] += amount
            else:
                flow[y, x - S] -= amount
            y = x
    return int(cost)
