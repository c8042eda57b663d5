"""Aggregations: PyG's, by name or as an object, checked to fit a round."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import TypeAlias

import torch
import torch_geometric.nn.aggr as pyg_aggr
from torch import nn
from torch_geometric.nn.aggr import Aggregation, MultiAggregation
from torch_geometric.nn.resolver import aggregation_resolver

Aggr: TypeAlias = str | Aggregation | Sequence[str | Aggregation]


def resolve_aggregation(aggr: Aggr, channels: int) -> Aggregation:
    """The aggregation of one round, an object of its own.

    Args:
        aggr: A name that PyG knows ("sum", "median", "softmax", ...), an ``Aggregation``, or
            several at once, which are added up. Another way to combine several is stated by
            ``MultiAggregation([...], mode="mean")``.
        channels: Channels c of the messages ``[E, M, c]`` that it is going to aggregate.

    Raises:
        ValueError: If PyG does not know the name, or the aggregation does not turn messages
            ``[E, M, c]`` into node states ``[n, M, c]``.
    """
    if isinstance(aggr, str):
        module = _by_name(aggr)
    elif isinstance(aggr, Aggregation):
        # Every round owns its aggregation: learnable ones are not shared between rounds.
        module = copy.deepcopy(aggr)
    elif isinstance(aggr, Sequence) and aggr:
        members = [resolve_aggregation(member, channels) for member in aggr]
        module = MultiAggregation(members, mode="sum")
    else:
        raise ValueError(
            f"aggr must be a name, a PyG Aggregation or a list of these, but is {aggr!r}."
        )
    _check(module, channels)
    return module


def aggregation_name(module: Aggregation) -> str:
    """What an aggregation is called: "sum", "max", ...; "multi" for several at once."""
    return type(module).__name__.removesuffix("Aggregation").lower()


def aggregation_names() -> list[str]:
    """The names of all of PyG's aggregations, whether or not they fit a round."""
    found = inspect.getmembers(pyg_aggr, inspect.isclass)
    classes = [cls for _, cls in found if issubclass(cls, Aggregation) and cls is not Aggregation]
    return sorted({cls.__name__.removesuffix("Aggregation").lower() for cls in classes})


def _by_name(name: str) -> Aggregation:
    try:
        module = aggregation_resolver(name)
    except ValueError:
        raise ValueError(
            f"Unknown aggregation '{name}'; PyG has {', '.join(aggregation_names())}."
        ) from None
    except TypeError as error:
        raise ValueError(
            f"Aggregation '{name}' needs arguments ({error}); pass it as an object."
        ) from None
    assert isinstance(module, Aggregation)
    return module


def _check(module: nn.Module, channels: int) -> None:
    """Try it on five messages to two nodes; a copy, so that its state stays as it is."""
    index = torch.tensor([0, 0, 0, 1, 1])
    messages = torch.linspace(-1, 1, 5 * 3 * channels).reshape(5, 3, channels)
    name = type(module).__name__
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            trial = copy.deepcopy(module).cpu().float()
            out = trial(messages, index=index, ptr=torch.tensor([0, 3, 5]), dim_size=2, dim=0)
    except Exception as error:
        raise ValueError(
            f"{name} cannot aggregate messages of shape [E, M, c], which a round needs "
            f"(it says: {str(error).strip() or type(error).__name__})."
        ) from error
    if out.shape != (2, 3, channels):
        raise ValueError(
            f"{name} turns messages [5, 3, {channels}] to 2 nodes into {list(out.shape)}, but "
            f"a round needs [2, 3, {channels}]; with several aggregations state a mode that "
            f"keeps the channels, such as MultiAggregation([...], mode='sum')."
        )
