"""The design space of the paper: a grid of WS-flex settings, each with its C and L.

The settings lie on a grid: 300 (n = 64) or 200 (n = 16) degrees k, 300 rewiring
probabilities p and 30 seeds, hence 2.7 or 1.8 million graphs.

Reference:
    You, Leskovec, He, Xie, *Graph Structure of Neural Networks*, ICML 2020, section 5.
"""

from __future__ import annotations

import hashlib
import math
import os
import random
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from relmp.graphs.cache import cache_folder, load_arrays, store_arrays
from relmp.graphs.generators import check_nodes, create_graph
from relmp.graphs.relational_graph import RelationalGraph
from relmp.machine import cores
from relmp.progress import progress as shown_progress

if TYPE_CHECKING:
    import pandas as pd

PROBABILITIES: npt.NDArray[np.float64] = np.linspace(0, 1, 300) ** 2
"""The rewiring probabilities p of the grid."""

SEEDS = 30
"""How many seeds, from 0, every pair of k and p is drawn with."""

TRIES = 100
"""How often a graph of a setting is drawn until it is connected."""
_FIRST_WORDS = 1 << 16  # enough for nearly every graph of 64 nodes


def degrees(n: int) -> npt.NDArray[np.float64]:
    """The mean degrees k of the grid: squares of evenly spaced roots.

    From 8 to 62 for n = 64 and from 4 to 14 for n = 16, as in the paper; from n / 8 (but at
    least 4) to n - 2 for any other n.

    Raises:
        ValueError: If n is below 7: no such degree is left.
    """
    check_nodes(n)
    if n < 7:
        raise ValueError(f"A design space needs at least 7 nodes, but n is {n}.")
    low, high = max(4, n / 8), n - 2
    return np.linspace(math.sqrt(low), math.sqrt(high), 200 if n == 16 else 300) ** 2


@dataclass(frozen=True, eq=False)
class DesignSpace:
    """WS-flex graphs on a grid of settings, with C and L of each.

    Attributes:
        n: Number of nodes.
        k: ``[K]`` mean degrees.
        p: ``[P]`` rewiring probabilities.
        seeds: ``[S]`` seeds.
        C: ``[K, P, S]`` clustering coefficients; NaN where no try was connected.
        L: ``[K, P, S]`` path lengths; infinite where no try was connected.
    """

    n: int
    k: npt.NDArray[np.float64]
    p: npt.NDArray[np.float64]
    seeds: npt.NDArray[np.int64]
    C: npt.NDArray[np.float64]
    L: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return self.C.size

    def graph(self, place: tuple[int, int, int]) -> RelationalGraph:
        """The graph at a place (degree, probability, seed) of the grid, drawn again."""
        i, j, s = place
        k, p, seed = float(self.k[i]), float(self.p[j]), int(self.seeds[s])
        return create_graph("ws_flex", n=self.n, k=k, p=p, seed=seed)

    def to_frame(self) -> pd.DataFrame:
        """One row a graph: n, k, p, seed, C, L; k outermost, seed innermost."""
        import pandas as pd

        k, p, seed = np.meshgrid(self.k, self.p, self.seeds, indexing="ij")
        columns = {"k": k, "p": p, "seed": seed, "C": self.C, "L": self.L}
        frame = pd.DataFrame({name: values.ravel() for name, values in columns.items()})
        frame.insert(0, "n", self.n)
        return frame

    @cached_property
    def shuffled(self) -> npt.NDArray[np.int64]:
        """The order in which the paper looks at the graphs: flat places, shuffled once."""
        return np.random.RandomState(1).permutation(len(self)).astype(np.int64)

    def __repr__(self) -> str:
        K, P, S = self.C.shape
        return f"<DesignSpace n={self.n}, {len(self)} graphs: {K} degrees, {P} p, {S} seeds>"


def sweep_design_space(
    n: int = 64,
    *,
    k: Iterable[float] | None = None,
    p: Iterable[float] | None = None,
    seeds: int | Iterable[int] = SEEDS,
    cache: bool | str | os.PathLike[str] = True,
    workers: int | None = None,
    progress: bool = True,
) -> DesignSpace:
    """Draw and measure every WS-flex graph of a grid: the paper's by default.

    Each graph is the one that ``ws_flex_graph`` draws from its n, k, p and seed, edge for
    edge, and C and L are those of networkx; compiled code makes it fast.

    Args:
        n: Number of nodes.
        k: Mean degrees, ``degrees(n)`` by default.
        p: Rewiring probabilities, ``PROBABILITIES`` by default.
        seeds: Seeds, or how many, counted from 0.
        cache: Whether C and L are kept in ``cache_folder()`` and read from there next time
            (43 MB for the paper's 2.7 million graphs), or another folder for them.
        workers: Number of threads, one a core by default.
        progress: Whether progress is shown on the standard error stream.

    Raises:
        ValueError: If an argument is out of range.
    """
    space = _empty_space(n, k, p, seeds)
    path = None
    if cache is not False:
        folder = cache_folder() if cache is True else Path(cache)
        path = folder / f"design_space_n{n}_{_key(space)}.npz"
        stored = load_arrays(path)
        if stored is not None and stored.keys() == {"C", "L"} and _fits(stored, space):
            space.C[:], space.L[:] = stored["C"], stored["L"]
            return space
    _fill(space, workers or cores(), progress)
    if path is not None:
        store_arrays(path, {"C": space.C, "L": space.L})
    return space


def _empty_space(
    n: int,
    k: Iterable[float] | None,
    p: Iterable[float] | None,
    seeds: int | Iterable[int],
) -> DesignSpace:
    check_nodes(n)
    ks = degrees(n) if k is None else np.array(list(k), dtype=np.float64)
    ps = PROBABILITIES if p is None else np.array(list(p), dtype=np.float64)
    chosen = range(seeds) if isinstance(seeds, int) else list(seeds)
    numbers = np.array(chosen, dtype=np.int64)
    for name, values, low, high in (("k", ks, 2, n), ("p", ps, 0, 1)):
        if not values.size or not ((values >= low) & (values <= high)).all():
            raise ValueError(f"All {name} of a design space must lie between {low} and {high}.")
    if not numbers.size or len(np.unique(numbers)) < len(numbers):
        raise ValueError("A design space needs at least one seed, and each only once.")
    shape = (len(ks), len(ps), len(numbers))
    return DesignSpace(n, ks, ps, numbers, np.empty(shape), np.empty(shape))


def _key(space: DesignSpace) -> str:
    digest = hashlib.sha256(f"design-space-1:{space.n}:{TRIES}".encode())
    for array in (space.k, space.p, space.seeds):
        digest.update(f":{array.size}:".encode() + array.tobytes())
    return digest.hexdigest()[:16]


def _fits(stored: dict[str, npt.NDArray[Any]], space: DesignSpace) -> bool:
    return all(array.shape == space.C.shape for array in stored.values())


def _fill(space: DesignSpace, workers: int, progress: bool) -> None:
    """Measure in pieces of some degrees with one seed, over threads that hold no lock."""
    from relmp.graphs import kernels

    num_edges = np.array([round(float(k) * space.n / 2) for k in space.k])
    step = max(1, len(space.k) // 10)
    pieces = [
        (s, slice(first, first + step))
        for s in range(len(space.seeds))
        for first in range(0, len(space.k), step)
    ]

    def measure(piece: tuple[int, slice]) -> int:
        s, part = piece
        edges = np.repeat(num_edges[part], len(space.p))
        p = np.tile(space.p, len(num_edges[part]))
        C, L = np.empty(len(p)), np.empty(len(p))
        rows = np.zeros((space.n, (space.n + 63) // 64), dtype=np.uint64)
        seed, count, done = int(space.seeds[s]), _FIRST_WORDS, 0
        words = kernels.random_words(seed, count)
        while True:
            done += kernels.measure_ws_flex(
                edges[done:], p[done:], words, TRIES, rows, C[done:], L[done:]
            )
            if done == len(p):
                break
            count *= 4
            words = kernels.random_words(seed, count)
        space.C[part, :, s] = C.reshape(-1, len(space.p))
        space.L[part, :, s] = L.reshape(-1, len(space.p))
        return len(p)

    state = random.getstate()
    with shown_progress("graphs", len(space), show=progress) as advance:
        random.setstate(state)  # rich draws from the global generator when it is imported
        with ThreadPoolExecutor(workers) as pool:
            for done in pool.map(measure, pieces):
                advance(done)
