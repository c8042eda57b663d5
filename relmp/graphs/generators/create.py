"""The registry of graph generators, ``create_graph``, and the checks that generators share."""

from __future__ import annotations

import inspect
import itertools
import math
import random
from collections.abc import Callable
from typing import Any

import networkx as nx

from relmp.checks import check_whole
from relmp.graphs.relational_graph import GeneratorCall, RelationalGraph
from relmp.graphs.size import check_size
from relmp.registry import Registry

Generator = Callable[..., "nx.Graph[Any]"]

Seed = int | random.Random | None
"""An integer, or a ``random.Random`` to go on with."""

GENERATORS: Registry[Generator] = Registry("graph generator")


def create_graph(generator: str | Generator, *, name: str = "", **params: Any) -> RelationalGraph:
    """A relational graph from a generator and its parameters.

    ``create_graph("ws_flex", n=64, k=8.5, p=0.2, seed=3)``

    Args:
        generator: A registered name (``relmp.graphs.GENERATORS.names()``), or any function
            that returns a networkx graph.
        name: Name of the result; the call itself by default.
        **params: The generator's own arguments. Its ``seed`` alone decides what is drawn:
            no global random state is read or changed.

    Raises:
        ValueError: If the name is unknown, or an argument is missing, unknown or out of range.
    """
    function = GENERATORS[generator] if isinstance(generator, str) else generator
    label = generator if isinstance(generator, str) else getattr(generator, "__name__", "graph")
    signature = inspect.signature(function)
    try:
        bound = signature.bind(**params)
    except TypeError as error:
        accepted = ", ".join(signature.parameters)
        raise ValueError(
            f"Graph generator '{label}' cannot be called so: {error}; it takes {accepted}."
        ) from None
    bound.apply_defaults()
    check_size(label, bound.arguments)
    try:
        graph = function(**params)
    except TypeError as error:
        raise ValueError(
            f"Graph generator '{label}' does not take these arguments ({error}); it takes "
            f"{', '.join(signature.parameters)}."
        ) from error
    if not isinstance(graph, nx.Graph):
        raise ValueError(
            f"Graph generator '{label}' must return a networkx graph, but returned "
            f"{type(graph).__name__}."
        )
    call = ", ".join(f"{key}={value}" for key, value in params.items())
    return RelationalGraph.from_networkx(
        graph, name=name or f"{label}({call})", generator=GeneratorCall(label, params)
    )


def check_nodes(n: int) -> None:
    """Raise ``ValueError`` unless n counts nodes."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"n must be a whole number of nodes, at least 1, but is {n!r}.")


def check_range(name: str, value: float, low: float, high: float, meaning: str) -> None:
    """Raise ``ValueError`` unless ``low <= value <= high`` (NaN never is)."""
    if not isinstance(value, (int, float)) or math.isnan(value) or not low <= value <= high:
        raise ValueError(f"{name} must lie between {low} and {high} ({meaning}), but is {value!r}.")


def check_node_count(n: int, fits: Callable[[int], bool], what: str) -> None:
    """Raise ``ValueError``, naming the nearest counts that fit, unless n nodes do."""
    check_nodes(n)
    if fits(n):
        return
    below = next((str(m) for m in range(n - 1, 0, -1) if fits(m)), None)
    above = next(str(m) for m in itertools.count(n + 1) if fits(m))
    nearest = above if below is None else f"{below} or {above}"
    raise ValueError(f"{what}; n is {n}, and the nearest that fits is {nearest}.")


def until_connected(
    draw: Callable[[random.Random], nx.Graph[Any]],
    seed: Seed,
    tries: int,
    call: str,
) -> nx.Graph[Any]:
    """Draw until the graph is connected (strongly, if directed); the numbers go on.

    Raises:
        ValueError: If no try was connected.
    """
    check_whole("tries", tries, 1, meaning="how many graphs are drawn")
    rng = generator_of(seed)
    for _ in range(tries):
        graph = draw(rng)
        if (
            nx.is_strongly_connected(graph)
            if isinstance(graph, nx.DiGraph)
            else nx.is_connected(graph)
        ):
            return graph
    raise ValueError(
        f"{call} drew no connected graph in {tries} tries; ask for more edges or take another seed."
    )


def generator_of(seed: Seed) -> random.Random:
    """The random numbers of a seed, apart from all global state.

    Raises:
        ValueError: If it is neither a whole number nor a ``random.Random`` nor None.
    """
    if not isinstance(seed, int | random.Random | None):
        raise ValueError(f"seed must be a whole number, but is {seed!r}.")
    return seed if isinstance(seed, random.Random) else random.Random(seed)
