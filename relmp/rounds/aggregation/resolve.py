"""Aggregations from what ``aggr=`` accepts, checked to fit a round."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
import torch_geometric.nn.aggr as pyg_aggr
from torch import Tensor, nn
from torch_geometric.nn.aggr import (
    Aggregation,
    AttentionalAggregation,
    DegreeScalerAggregation,
    MultiAggregation,
)
from torch_geometric.nn.resolver import aggregation_resolver

from relmp.checks import did_you_mean
from relmp.registry import Registry, parse_call
from relmp.rounds.aggregation.combined import CombinedAggregation, trial

AggregationFactory: TypeAlias = Callable[..., Aggregation]
"""A class of aggregations that needs no arguments, or ``(channels, degrees) -> Aggregation``, told
the channels of a message and ``[n]`` in-degrees."""

AGGREGATIONS: Registry[AggregationFactory] = Registry("aggregation", plugins="relmp.aggregations")
"""Those by name that PyG does not have, or cannot make from the name alone."""

SCALERS = ("identity", "amplification", "attenuation", "linear", "inverse_linear")
"""Functions of the in-degree that :func:`degree_scaled` knows."""

Aggr: TypeAlias = str | Aggregation | AggregationFactory | Sequence[Any]
"""What ``aggr=`` accepts; a sequence holds any of the others."""


def resolve_aggregation(aggr: Aggr, channels: int, degrees: Tensor | None = None) -> Aggregation:
    """The aggregation of one round, an object of its own.

    Args:
        aggr: A name that PyG knows ("sum", "median", "softmax", ...), with arguments where it
            takes any ("softmax(learn=True)", "quantile(q=0.3)",
            "multi(aggrs=['sum', 'max'], mode='proj')"), or ``"package.module:Name"``; an
            ``Aggregation``; a class of them; a callable ``(channels, degrees) -> Aggregation``;
            or several at once, which are added up.
        channels: Channels c of the messages ``[E, M, c]`` that it is going to aggregate.
        degrees: ``[n]``, the in-degrees of the graph; those of two nodes by default.

    Raises:
        ValueError: If there is no such aggregation, or it does not turn messages ``[E, M, c]``
            into node states ``[n, M, c]``.
    """
    degrees = torch.tensor([3, 2]) if degrees is None else degrees
    if isinstance(aggr, str):
        module = _by_name(aggr, channels, degrees)
    elif isinstance(aggr, Aggregation):
        # Every round owns its aggregation: learnable ones are not shared between rounds.
        module = copy.deepcopy(aggr)
    elif isinstance(aggr, Sequence) and aggr:
        members = [resolve_aggregation(member, channels, degrees) for member in aggr]
        module = MultiAggregation(members, mode="sum")
    elif callable(aggr) and not isinstance(aggr, nn.Module):
        module = _made(aggr, channels, degrees)
    else:
        raise ValueError(
            f"aggr must be a name, a PyG Aggregation, a class of them, a callable (channels, "
            f"degrees) or a list of these, but is {aggr!r}."
        )
    if not isinstance(module, nn.Module):
        raise ValueError(f"aggr must make an Aggregation, but made {module!r}.")
    _check(module, channels)
    return module


def degree_scaled(
    aggr: str | Sequence[Aggr],
    scaler: str | Sequence[str],
    *,
    mode: str = "proj",
    train_norm: bool = False,
) -> AggregationFactory:
    """Aggregations times functions of the in-degree, combined: an ``aggr=`` of a round.

    Args:
        aggr: Aggregations, each as of :func:`resolve_aggregation`, or one by name.
        scaler: "identity", "amplification", "attenuation", "linear" or "inverse_linear".
        mode: How all of them are combined; see :class:`CombinedAggregation`.
        train_norm: Whether the mean degrees that the scalers divide by are learned.

    Reference:
        Corso et al., *Principal Neighbourhood Aggregation for Graph Nets*, NeurIPS 2020.
    """
    return partial(
        _degree_scaled, aggr=_listed(aggr), scaler=_listed(scaler), mode=mode,
        train_norm=train_norm,
    )  # fmt: skip


@AGGREGATIONS.register("degree_scaled")
@AGGREGATIONS.register("degreescaler")  # as PyG calls it
def _degree_scaled(
    channels: int,
    degrees: Tensor,
    *,
    aggr: str | Sequence[Aggr],
    scaler: str | Sequence[str],
    mode: str = "proj",
    train_norm: bool = False,
) -> Aggregation:
    members = [resolve_aggregation(member, channels, degrees) for member in _listed(aggr)]
    for name in _listed(scaler):
        if name not in SCALERS:
            raise ValueError(f"there is no scaler {name!r}, only {', '.join(SCALERS)}.")
    histogram = torch.bincount(degrees)
    scaled = DegreeScalerAggregation(members, _listed(scaler), histogram, train_norm)
    return CombinedAggregation(scaled, channels, mode)


def _listed(given: Any) -> list[Any]:
    return [given] if isinstance(given, str) else list(given)


@AGGREGATIONS.register("multi")
def _several(
    channels: int, degrees: Tensor, *, aggrs: Sequence[Aggr], mode: str = "sum"
) -> Aggregation:
    members = [resolve_aggregation(member, channels, degrees) for member in aggrs]
    return CombinedAggregation(MultiAggregation(members, mode="cat"), channels, mode)


@AGGREGATIONS.register("attentional")
def _attentional(channels: int, degrees: Tensor, **arguments: Any) -> Aggregation:
    return AttentionalAggregation(nn.Linear(channels, 1), **arguments)


def aggregation_name(module: Aggregation) -> str:
    """What an aggregation is called: "sum", "max", ...; "multi" for several at once."""
    return type(module).__name__.removesuffix("Aggregation").lower()


def aggregation_names() -> list[str]:
    """All names, those of PyG's aggregations included, whether or not they fit a round."""
    return sorted({*AGGREGATIONS.names(), *pyg_classes().values()})


def pyg_classes() -> dict[type, str]:
    """PyG's aggregations and their names."""
    found = inspect.getmembers(pyg_aggr, inspect.isclass)
    classes = [cls for _, cls in found if issubclass(cls, Aggregation) and cls is not Aggregation]
    return {cls: cls.__name__.removesuffix("Aggregation").lower() for cls in classes}


def _by_name(text: str, channels: int, degrees: Tensor) -> Aggregation:
    name, arguments = parse_call(text)
    try:
        if name in AGGREGATIONS or ":" in name:
            found = AGGREGATIONS.find(name)[0]
            if isinstance(found, Aggregation) and not arguments:
                return copy.deepcopy(found)
            if isinstance(found, nn.Module) or not callable(found):
                raise ValueError(f"it is {found!r}.")
            return _made(found, channels, degrees, **arguments)
        module = aggregation_resolver(name, **arguments)
    except TypeError as error:
        raise ValueError(
            f"Aggregation '{text}' does not fit its arguments ({error}); write "
            f'"{name}(argument=value)", or pass it as an object.'
        ) from None
    except ValueError as error:
        if name not in aggregation_names() and ":" not in name:
            raise ValueError(
                f"Unknown aggregation '{name}'; choose one of {', '.join(aggregation_names())}, or "
                f"write package.module:Name.{did_you_mean(name, aggregation_names())}"
            ) from None
        raise ValueError(f"Aggregation '{text}' cannot be made: {error}") from error
    assert isinstance(module, Aggregation)
    return module


def _made(
    factory: AggregationFactory, channels: int, degrees: Tensor, **arguments: Any
) -> Aggregation:
    made: Any = factory
    while isinstance(made, partial):
        made = made.func
    if isinstance(made, type):
        if _fits(factory, **arguments):
            return factory(**arguments)
    elif not _fits(factory, channels, degrees, **arguments) and _fits(factory, **arguments):
        inner: Any = factory(**arguments)  # makes what makes it, as degree_scaled does
        if callable(inner) and not isinstance(inner, nn.Module):
            return _made(inner, channels, degrees)
    try:
        return factory(channels, degrees, **arguments)
    except TypeError as error:
        if arguments or error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise  # of a text, or from within
        raise ValueError(
            f"An aggregation cannot be made of {factory!r}: {error}; give a class that needs no "
            f"arguments, or a callable (channels, degrees)."
        ) from error


def _fits(factory: Any, *given: Any, **arguments: Any) -> bool:
    try:
        inspect.signature(factory).bind(*given, **arguments)
    except (TypeError, ValueError):
        return False
    return True


def _check(module: nn.Module, channels: int) -> None:
    out = trial(module, channels)
    if out.shape != (2, 3, channels):
        raise ValueError(
            f"{type(module).__name__} turns messages [5, 3, {channels}] to 2 nodes into "
            f"{list(out.shape)}, but a round needs [2, 3, {channels}]; with several aggregations "
            f"state a mode that keeps the channels, such as MultiAggregation([...], mode='sum')."
        )
