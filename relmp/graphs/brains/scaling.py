"""Regions of a connectome as groups of neurons."""

from __future__ import annotations

import itertools
import os
from collections.abc import Hashable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from relmp.checks import check_number, check_whole
from relmp.graphs.connectome import neuron_densities
from relmp.graphs.relational_graph import RelationalGraph, require_graph
from relmp.registry import parse_call

Partition: TypeAlias = Literal["random", "uniform", "equal"]
"""How a weight is shared out among the synapses that stand for it; see :func:`scale_connectome`."""

MAX_NEURONS = 20_000
_SMALLEST = 1e-290  # of the parts of 1: below, a float is no longer exact, and then zero

Floats = npt.NDArray[np.float64]


class Neuron(NamedTuple):
    """The label of a neuron: its region, and its number in it."""

    region: Hashable
    number: int


def scale_connectome(
    graph: RelationalGraph,
    neurons: int | Sequence[int] | str = 4,
    *,
    targets: float = 0.8,
    intrinsic_weight: float | None = 0.8,
    intrinsic_targets: float = 1.0,
    partition: Partition = "random",
    loops: bool = False,
    densities: Sequence[float] | None = None,
    root: str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> RelationalGraph:
    r"""Put neurons into the regions of a connectome and synapses between them, as bio2art does.

    Region i gets :math:`q_i` neurons. Where region i speaks to j with weight :math:`w_{ij}`, every
    neuron of i gets :math:`\max(1, \mathrm{round}(t\, q_j))` random targets in j, and the weights
    of all these synapses sum to :math:`w_{ij}`. Inside a region every neuron speaks to
    :math:`\max(1, \mathrm{round}(t'\, q_i))` others, with the weights
    :math:`S_i\, \alpha / (1 - \alpha)` in all, :math:`S_i` being the weight of what region i hears.
    Halves are rounded to even. Self-loops of ``graph`` do not count.

    Args:
        graph: Regions; one edge attribute is its weight, without one all weights are 1.
        neurons: Neurons of every region, or of each; or by the densities of the regions:
            ``"density(scale='ratio', factor=1)"`` gives
            :math:`\mathrm{round}(\mathrm{factor}\, d_i / \min d)`, with ``'rank'`` it is factor
            times the rank of the density, from 1.
        targets: Share t of the neurons of a region that a neuron of another speaks to.
        intrinsic_weight: Share :math:`\alpha` of the weight that lies inside the regions; None puts
            no synapses there.
        intrinsic_targets: Share t' of the neurons of its own region that a neuron speaks to.
        partition: How a weight is shared out. ``"random"``: a random share of the rest is broken
            off again and again, so that parts differ by orders of magnitude; ``"uniform"``: all
            ways of sharing are equally likely; ``"equal"``: all parts are equal.
        loops: Whether a neuron may speak to itself; with ``loops=False`` and one neuron in a
            region, it has no intrinsic synapse.
        densities: The densities of the regions; those of bio2art's macaque and marmoset are known
            by the graph's name.
        root: Where their files lie; see :func:`relmp.load_connectome`.
        seed: Decides targets and parts.

    Returns:
        The neurons, region after region, labelled :class:`Neuron`; the synapses with their weights,
        the diagonal as made.

    Raises:
        ValueError: If a number is out of its range, numbers of neurons or densities do not match
            the regions or are unknown, or the parts of a weight would be too small for a float.

    Reference:
        Goulas, Damicelli, Hilgetag, *Bio-instantiated recurrent neural networks*, Neural Networks
        2021, section 2.1; bio2art's ``from_conn_mat``. There parts of ``"random"`` may come out
        zero or negative when many are broken off; here they are positive, or refused.
    """
    require_graph(graph)
    check_number("targets", targets, 0, 1 + 1e-9)
    check_number("intrinsic_targets", intrinsic_targets, 0, 1 + 1e-9)
    check_whole("seed", seed, 0, meaning="the seed of the draw")
    if intrinsic_weight is not None:
        check_number("intrinsic_weight", intrinsic_weight, 0, 1)
    if partition not in get_args(Partition):
        raise ValueError(
            f"partition must be one of {', '.join(get_args(Partition))}, but is {partition!r}."
        )
    weights = _weights(graph)
    sizes = _sizes(graph, neurons, densities, root)
    starts = np.cumsum(sizes) - sizes
    rng = np.random.default_rng(seed)
    pieces: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]] = []

    def connect(i: int, j: int, count: int, weight: float, others: bool) -> None:
        """Every neuron of region i speaks to ``count`` of region j."""
        if count:
            order = _choices(rng, int(sizes[i]), int(sizes[j]), count, others)
            source = np.repeat(starts[i] + np.arange(sizes[i]), count)
            parts = weight * _parts(rng, len(source), partition)
            pieces.append((source, starts[j] + order.ravel(), parts))

    for i in range(graph.num_nodes):
        if intrinsic_weight:
            own = _count(intrinsic_targets, sizes[i])
            if not loops:
                own = min(own, int(sizes[i]) - 1)
            inside = intrinsic_weight * weights[:, i].sum() / (1 - intrinsic_weight)
            if inside > 0:  # a region that hears nothing has no weight to put inside
                connect(i, i, own, inside, not loops)
        for j in np.flatnonzero(weights[i]):
            connect(i, int(j), _count(targets, sizes[j]), weights[i, j], False)
    empty = np.empty(0, dtype=np.int64)
    source, target = (
        np.concatenate([piece[k] for piece in pieces]) if pieces else empty for k in (0, 1)
    )
    attr = np.concatenate([piece[2] for piece in pieces]) if pieces else np.empty(0)
    regions = graph.labels or tuple(range(graph.num_nodes))
    return RelationalGraph(
        int(sizes.sum()),
        np.stack([source, target]),
        attr,
        labels=[Neuron(r, k) for r, q in zip(regions, sizes, strict=True) for k in range(q)],
        name=f"{graph.name or graph.key}, {_shown(neurons)} neurons a region, seed {seed}",
        self_loops=False,
    )


def region_sizes(graph: RelationalGraph) -> tuple[int, ...]:
    """How many neurons each region of a scaled connectome has, in order.

    Raises:
        ValueError: If the graph was not made by :func:`scale_connectome`.
    """
    labels: tuple[Any, ...] = graph.labels or ()
    if not labels or not all(isinstance(label, Neuron) for label in labels):
        raise ValueError(
            f"{graph!r} does not say which neurons belong to a region; give the sizes of its "
            f"regions, or a graph made by relmp.scale_connectome."
        )
    return tuple(len(list(group)) for _, group in itertools.groupby(labels, lambda n: n.region))


def weight_matrix(graph: RelationalGraph) -> Floats:
    """``[n, n]``: the one edge attribute of a graph, row = source; 1 where there is none.

    Raises:
        ValueError: If edges have several attributes.
    """
    attr = graph.edge_attr
    if attr is not None and attr.shape[1] != 1:
        raise ValueError(
            f"{graph!r} has {attr.shape[1]} attributes an edge, so its weights are not known; make "
            f"a graph with one of them as its attribute."
        )
    weights = np.zeros((graph.num_nodes, graph.num_nodes))
    weights[tuple(graph.edges)] = 1.0 if attr is None else attr[:, 0].numpy()
    return weights


def _weights(graph: RelationalGraph) -> Floats:
    """The weights between regions, row = source."""
    weights = weight_matrix(graph)
    np.fill_diagonal(weights, 0)
    if (weights < 0).any():
        raise ValueError("Weights of a connectome are shared out, so they must not be negative.")
    return weights


def _count(share: float, size: int) -> int:
    return max(1, int(np.round(share * size)))


def _sizes(
    graph: RelationalGraph,
    neurons: int | Sequence[int] | str,
    densities: Sequence[float] | None,
    root: str | os.PathLike[str] | None,
) -> npt.NDArray[np.int64]:
    n = graph.num_nodes
    if isinstance(neurons, str):
        given = _by_density(graph, neurons, densities, root)
    elif isinstance(neurons, int):
        given = [neurons] * n
    else:
        given = [int(q) if isinstance(q, np.integer) else q for q in neurons]
    if len(given) != n:
        raise ValueError(
            f"neurons has {len(given)} numbers, but the connectome has {n} regions; give one for "
            f"each, or one for all."
        )
    for q in given:
        check_whole("neurons", q, 1, meaning="neurons of a region")
    if sum(given) > MAX_NEURONS:
        raise ValueError(
            f"{sum(given):,} neurons in all are too many; at most {MAX_NEURONS:,} are made."
        )
    return np.array(given, dtype=np.int64)


def _by_density(
    graph: RelationalGraph,
    text: str,
    densities: Sequence[float] | None,
    root: str | os.PathLike[str] | None,
) -> list[int]:
    name, options = parse_call(text)
    scale, factor = options.pop("scale", "ratio"), options.pop("factor", 1)
    if name != "density" or options or scale not in ("ratio", "rank"):
        raise ValueError(
            f"neurons={text!r} is no number of neurons; give a number, one a region, or "
            f"\"density(scale='ratio', factor=1)\", where scale may also be 'rank'."
        )
    check_number("factor", factor, 0)
    if densities is None:
        densities = neuron_densities(graph.name, root=root).tolist()
    values = np.asarray(densities, dtype=np.float64)
    if values.shape != (graph.num_nodes,):
        raise ValueError(
            f"There are {values.size} densities for {graph.num_nodes} regions; give one for each."
        )
    unknown = np.flatnonzero(~np.isfinite(values) | (values <= 0))
    if len(unknown):
        labels = graph.labels or tuple(range(graph.num_nodes))
        raise ValueError(
            f"The density of {len(unknown)} regions is NaN or not positive "
            f"({', '.join(str(labels[i]) for i in unknown[:5])}); give densities= with a number "
            f"for each of them, or neurons= themselves."
        )
    if scale == "ratio":
        found = np.round(values / values.min() * factor)
    else:
        found = factor * (1 + values.argsort(kind="stable").argsort(kind="stable"))
    return [int(q) for q in np.maximum(found, 1)]


def _choices(
    rng: np.random.Generator, sources: int, size: int, count: int, others: bool
) -> npt.NDArray[np.int64]:
    """``[sources, count]``: different neurons of a region for each source; others than itself."""
    chosen = rng.random((sources, size - others)).argsort(axis=1)[:, :count]
    if others:
        chosen += chosen >= np.arange(sources)[:, None]
    return chosen


def _parts(rng: np.random.Generator, count: int, partition: Partition) -> Floats:
    """``count`` positive numbers that sum to 1, in random order."""
    if partition == "equal":
        return np.full(count, 1 / count)
    if partition == "uniform":
        drawn = rng.exponential(size=count)
        return np.asarray(drawn / drawn.sum())
    # What is broken off is a share u of the rest; the last part is the rest.
    shares = rng.random(count - 1)
    with np.errstate(divide="ignore"):
        rest = np.concatenate([[0.0], np.cumsum(np.log1p(-shares))])
        parts = np.exp(rest + np.concatenate([np.log(shares), [0.0]]))
    if parts.min() < _SMALLEST:
        raise ValueError(
            f"{count} synapses share one weight, too many for partition='random': their weights "
            f"fall geometrically, and the last would be zero; use 'uniform' or 'equal', or fewer "
            f"neurons a region."
        )
    return rng.permutation(parts)


def _shown(neurons: int | Sequence[int] | str) -> str:
    if isinstance(neurons, int | str):
        return str(neurons)
    return f"{min(neurons)} to {max(neurons)}"


__all__ = ["Neuron", "Partition", "region_sizes", "scale_connectome", "weight_matrix"]
