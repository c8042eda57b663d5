"""Initial weights of a round in time, as one matrix with zeros where there is no synapse."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from relmp.checks import check_number, did_you_mean
from relmp.registry import parse_call


def spectral_radius(weights: Tensor) -> float:
    """The largest modulus of an eigenvalue of ``weights [H, H]``, which need not be symmetric.

    Raises:
        ValueError: If no cycle passes through a weight, so that the radius is zero.
    """
    matrix = weights.detach().double().cpu().numpy()
    there = csr_array(matrix != 0)
    _, parts = connected_components(there, directed=True, connection="strong")
    if len(np.unique(parts)) == len(matrix) and not np.diag(matrix).any():
        raise ValueError(
            "The graph has no cycle, so every state is forgotten and the spectral radius is 0, "
            "whatever the weights are; use init='uniform' or 'degree', or a graph with cycles."
        )
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def draw_recurrent(init: str, there: Tensor, connectome: Callable[[], Tensor], phi: str) -> Tensor:
    r"""Weights ``[H, H]`` (row = listener) on the synapses, drawn as ``init`` says.

    - ``"uniform"``: :math:`U(-1/\sqrt{H}, 1/\sqrt{H})`, what is left of the weights of
      ``torch.nn.RNN`` where only the synapses are kept.
    - ``"degree"``: normal with variance :math:`g / d`, d being how many a neuron hears, g = 2 for
      ReLU and 1 otherwise, so that states keep their size.
    - ``"rank(base='uniform')"``: the drawn numbers of the base, dealt out so that they are in the
      order of the connectome's weights.
    - ``"spectral(radius=0.95, base='uniform')"``: those of the base (also ``'rank'``), scaled to
      this spectral radius.

    Args:
        init: How.
        there: bool ``[H, H]``: the synapses.
        connectome: Gives the connectome's weights ``[H, H]``.
        phi: The function behind the round.

    Raises:
        ValueError: If ``init`` is unknown, or cannot be had of this graph.
    """
    name, options = parse_call(init)
    if name not in _DRAWS:
        raise ValueError(
            f"Unknown init '{init}'; choose one of {', '.join(_DRAWS)}.{did_you_mean(name, _DRAWS)}"
        )
    usual = _OPTIONS.get(name, {})
    if unknown := set(options) - set(usual):
        raise ValueError(
            f"init '{name}' has no option '{min(unknown)}'; its options are "
            f"{', '.join(usual) or 'none'}."
        )
    return _DRAWS[name](there, connectome, phi, **{**usual, **options})


def _uniform(there: Tensor, connectome: Any, phi: str) -> Tensor:
    drawn = torch.empty(there.shape).uniform_(-1, 1) / math.sqrt(len(there))
    return drawn * there


def _degree(there: Tensor, connectome: Any, phi: str) -> Tensor:
    gain = 2.0 if phi == "relu" else 1.0
    heard = there.sum(1, keepdim=True).clamp(min=1)
    return torch.randn(there.shape) * (gain / heard).sqrt() * there


def _rank(there: Tensor, connectome: Callable[[], Tensor], phi: str, base: str) -> Tensor:
    if base not in ("uniform", "degree"):
        raise ValueError(f"base of rank must be 'uniform' or 'degree', but is {base!r}.")
    weights = connectome()[there]
    values = _DRAWS[base](there, connectome, phi)
    values[there] = values[there].sort().values[weights.argsort(stable=True).argsort()]
    return values


def _spectral(
    there: Tensor, connectome: Callable[[], Tensor], phi: str, radius: float, base: str
) -> Tensor:
    check_number("radius", radius, 0)
    if parse_call(base)[0] == "spectral":
        raise ValueError("base of spectral must be 'uniform', 'degree' or 'rank'.")
    values = draw_recurrent(base, there, connectome, phi)
    return values * (radius / spectral_radius(values))


_DRAWS: dict[str, Callable[..., Tensor]] = {
    "uniform": _uniform,
    "degree": _degree,
    "rank": _rank,
    "spectral": _spectral,
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "rank": {"base": "uniform"},
    "spectral": {"radius": 0.95, "base": "uniform"},
}
