"""Tables of results with a known truth in them."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from relmp.analysis import Results

Truth = Callable[[np.ndarray, np.ndarray], np.ndarray]


def flat(c: np.ndarray, length: np.ndarray) -> np.ndarray:
    """No graph is better than another."""
    return np.full_like(c, 33.0)


def bowl(c: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Best at C = 0.4 and L = 2.5, half a point better than at the edges."""
    return 32.5 + np.minimum(1, ((c - 0.4) / 0.3) ** 2 + ((length - 2.5) / 0.9) ** 2)


def planted_table(
    truth: Truth, *, seed: int, graphs: int = 52, seeds: int = 4, noise: float = 0.2
) -> pd.DataFrame:
    """A sweep whose errors are ``truth`` and normal noise; the last graph is complete."""
    rng = np.random.default_rng(seed)
    c, length = rng.uniform(0.05, 0.75, graphs), rng.uniform(1.4, 4.0, graphs)
    density = rng.uniform(0.125, 0.5, graphs)
    c[-1], length[-1], density[-1] = 1.0, 1.0, 1.0
    errors = truth(c, length)[:, None] + rng.normal(0, noise, (graphs, seeds))
    return pd.DataFrame(
        [
            {
                "run": f"run-{g}-{s}",
                "model": "mlp",
                "data": "planted",
                "graph": f"graph {g}" if density[g] < 1 else "complete",
                "graph_key": f"{g:016x}",
                "num_nodes": 64,
                "density": density[g],
                "clustering": c[g],
                "path_length": length[g],
                "width": round(128 / density[g] ** 0.5),
                "flops": 10**6,
                "parameters": 10**6,
                "seed": s,
                "epoch": 3,
                "train_loss": 0.1,
                "train_error": 1.0,
                "test_loss": 0.2,
                "test_error": errors[g, s],
                "seconds": 1.0,
            }
            for g in range(graphs)
            for s in range(seeds)
        ]
    )


def planted(*args, **kwargs) -> Results:
    """The same as results."""
    return Results.of(planted_table(*args, **kwargs))
