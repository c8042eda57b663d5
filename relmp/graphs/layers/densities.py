"""How dense every layer is, at one density of all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias, get_args

from relmp.checks import check_share, did_you_mean

Allocation: TypeAlias = Literal["uniform", "er", "erk"]
"""How weights are shared out among layers; see :func:`layer_densities`."""

ALLOCATIONS: tuple[str, ...] = get_args(Allocation)


def layer_densities(
    shapes: Mapping[str, Sequence[int]],
    *,
    density: float,
    allocation: Allocation = "uniform",
    dense: str | Sequence[str] = (),
) -> dict[str, float]:
    r"""The share of weights that each layer keeps.

    - ``"uniform"``: ``density`` in every layer.
    - ``"er"``: :math:`\varepsilon (c_{in} + c_{out}) / (c_{in} c_{out})`, as in Erdos-Renyi graphs.
    - ``"erk"``: :math:`\varepsilon (c_{in} + c_{out} + k_h + k_w) / (c_{in} c_{out} k_h k_w)`; of
      a linear layer as ``"er"``.

    The number :math:`\varepsilon` is the one with which all layers together keep as many weights
    as if each kept ``density`` of its own, zeros rounded down; layers that would get more than 1
    are full, and it is found anew for the others.

    Args:
        shapes: Shape of the weight of every layer, ``(out, in)`` or ``(out, in, kh, kw)``.
        density: The share of all weights that is kept.
        allocation: How they are shared out.
        dense: Names of layers, or patterns, that are full by choice and lie outside the sum.

    Raises:
        ValueError: If the density is not between 0 and 1, the allocation or a name of ``dense``
            unknown, or a shape none of a weight.

    Reference:
        Evci et al., *Rigging the Lottery*, ICML 2020, section 3 (1), and the authors' code.
    """
    check_share("density", density)
    if allocation not in ALLOCATIONS:
        raise ValueError(
            f"Unknown allocation '{allocation}'; choose one of {', '.join(ALLOCATIONS)}."
            f"{did_you_mean(str(allocation), ALLOCATIONS)}"
        )
    sizes = {name: _checked(name, shape) for name, shape in shapes.items()}
    full = _named(list(sizes), dense)
    pool = [name for name in sizes if name not in full]
    if allocation == "uniform":
        return {name: 1.0 if name in full else float(density) for name in sizes}
    raw = {name: _probability(sizes[name], allocation) for name in pool}
    weights = {name: math.prod(sizes[name]) for name in pool}
    zeros = {name: math.floor((1 - density) * weights[name]) for name in pool}
    clipped: set[str] = set()
    epsilon = 0.0
    while len(clipped) < len(pool):
        rest = [name for name in pool if name not in clipped]
        wanted = sum(weights[name] for name in rest) - sum(zeros.values())
        epsilon = wanted / sum(raw[name] * weights[name] for name in rest)
        largest = max(raw[name] for name in rest)
        if epsilon * largest <= 1:
            break
        clipped |= {name for name in rest if raw[name] == largest}
    full |= clipped
    return {name: 1.0 if name in full else epsilon * raw[name] for name in sizes}


def _checked(name: str, shape: Sequence[int]) -> tuple[int, ...]:
    sizes = tuple(int(size) for size in shape)
    if len(sizes) not in (2, 4) or min(sizes) < 1:
        raise ValueError(
            f"The weight of layer '{name}' must have a shape (out, in) or (out, in, kh, kw), but "
            f"has {list(shape)}."
        )
    return sizes


def _named(layers: Sequence[str], dense: str | Sequence[str]) -> set[str]:
    patterns = [dense] if isinstance(dense, str) else dense
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in layers):
            raise ValueError(
                f"dense names '{pattern}', but no layer is called so; they are "
                f"{', '.join(layers) or 'none'}."
            )
    return {name for name in layers if any(fnmatchcase(name, pattern) for pattern in patterns)}


def _probability(shape: tuple[int, ...], allocation: str) -> float:
    if allocation == "er":
        return (shape[0] + shape[1]) / (shape[0] * shape[1])
    return sum(shape) / math.prod(shape)
