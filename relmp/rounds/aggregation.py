"""Aggregations: PyG's, by name or as an object, checked to fit a round."""

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
from relmp.registry import parse_call

AggregationFactory: TypeAlias = Callable[[int, Tensor], Aggregation]
"""``(channels, degrees) -> Aggregation``, told the channels of a message and ``[n]`` in-degrees."""

Aggr: TypeAlias = str | Aggregation | AggregationFactory | Sequence[Any]
"""What ``aggr=`` accepts; a sequence holds any of the others."""

MODES = ("sum", "mean", "max", "min", "logsumexp", "std", "var", "proj")
"""How several aggregations are combined; "proj" learns a matrix."""


def resolve_aggregation(aggr: Aggr, channels: int, degrees: Tensor | None = None) -> Aggregation:
    """The aggregation of one round, an object of its own.

    Args:
        aggr: A name that PyG knows ("sum", "median", "softmax", ...), with arguments where it
            takes any ("softmax(learn=True)", "quantile(q=0.3)",
            "multi(aggrs=['sum', 'max'], mode='proj')"); an ``Aggregation``; a callable
            ``(channels, degrees) -> Aggregation``; or several at once, which are added up.
        channels: Channels c of the messages ``[E, M, c]`` that it is going to aggregate.
        degrees: ``[n]``, the in-degrees of the graph; those of two nodes by default.

    Raises:
        ValueError: If PyG does not know the name, or the aggregation does not turn messages
            ``[E, M, c]`` into node states ``[n, M, c]``.
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
        module = aggr(channels, degrees)
    else:
        raise ValueError(
            f"aggr must be a name, a PyG Aggregation, a callable (channels, degrees) or a list "
            f"of these, but is {aggr!r}."
        )
    if not isinstance(module, nn.Module):
        raise ValueError(f"aggr must make an Aggregation, but made {module!r}.")
    _check(module, channels)
    return module


class CombinedAggregation(Aggregation):  # type: ignore[misc]
    r"""Several aggregations of the same messages, combined to as many channels as one has.

    Args:
        aggr: An aggregation that returns k times as many channels as it was given.
        channels: Channels c of a message.
        mode: One of ``"sum"``, ``"mean"``, ``"max"``, ``"min"``, ``"logsumexp"``, ``"std"``,
            ``"var"`` over the k results, or ``"proj"``, a learned matrix
            :math:`\mathbb{R}^{kc} \to \mathbb{R}^c`.

    Shapes:
        - **messages** ``[E, M, c]`` -> ``[n, M, c]``

    Raises:
        ValueError: If the mode is unknown, or ``aggr`` returns a broken number of channels.
    """

    def __init__(self, aggr: Aggregation, channels: int, mode: str) -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"Unknown mode '{mode}'; choose one of {', '.join(MODES)}.")
        out = _trial(aggr, channels).size(-1)
        if out % channels:
            raise ValueError(
                f"{type(aggr).__name__} turns {channels} channels into {out}, which is no "
                f"multiple and cannot be combined."
            )
        self.inner, self.channels, self.mode = aggr, channels, mode
        self.proj = nn.Linear(out, channels, bias=False) if mode == "proj" else None

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self.inner.reset_parameters()
        if self.proj is not None:
            self.proj.reset_parameters()

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
    ) -> Tensor:
        out = self.inner(x, index, ptr, dim_size, dim)
        if self.proj is not None:
            return self.proj(out)
        results = out.unflatten(-1, (-1, self.channels))
        combined = getattr(torch, self.mode)(results, dim=-2)
        return combined if isinstance(combined, Tensor) else combined.values

    def extra_repr(self) -> str:
        return f"mode={self.mode}"


def degree_scaled(
    aggr: Sequence[str | Aggregation],
    scaler: Sequence[str],
    *,
    mode: str = "proj",
    train_norm: bool = False,
) -> AggregationFactory:
    """Aggregations times functions of the in-degree, combined: an ``aggr=`` of a round.

    Args:
        aggr: Names of aggregations, or objects.
        scaler: "identity", "amplification", "attenuation", "linear" or "inverse_linear".
        mode: How all of them are combined; see :class:`CombinedAggregation`.
        train_norm: Whether the mean degrees that the scalers divide by are learned.

    Reference:
        Corso et al., *Principal Neighbourhood Aggregation for Graph Nets*, NeurIPS 2020.
    """
    return partial(_degree_scaled, tuple(aggr), tuple(scaler), mode, train_norm)


def _degree_scaled(
    aggr: tuple[str | Aggregation, ...],
    scaler: tuple[str, ...],
    mode: str,
    train_norm: bool,
    channels: int,
    degrees: Tensor,
) -> Aggregation:
    members = [copy.deepcopy(member) for member in aggr]
    histogram = torch.bincount(degrees)
    scaled = DegreeScalerAggregation(members, list(scaler), histogram, train_norm)
    return CombinedAggregation(scaled, channels, mode)


def aggregation_name(module: Aggregation) -> str:
    """What an aggregation is called: "sum", "max", ...; "multi" for several at once."""
    return type(module).__name__.removesuffix("Aggregation").lower()


def aggregation_names() -> list[str]:
    """The names of all of PyG's aggregations, whether or not they fit a round."""
    found = inspect.getmembers(pyg_aggr, inspect.isclass)
    classes = [cls for _, cls in found if issubclass(cls, Aggregation) and cls is not Aggregation]
    return sorted({cls.__name__.removesuffix("Aggregation").lower() for cls in classes})


def _by_name(text: str, channels: int, degrees: Tensor) -> Aggregation:
    name, arguments = parse_call(text)
    try:
        # What a round knows, and a name alone does not say.
        if name == "attentional":
            return AttentionalAggregation(nn.Linear(channels, 1), **arguments)
        if name == "degreescaler":
            return degree_scaled(**arguments)(channels, degrees)
        if name == "multi":
            return _several(channels, degrees, **arguments)
        module = aggregation_resolver(name, **arguments)
    except TypeError as error:
        raise ValueError(
            f"Aggregation '{text}' does not fit its arguments ({error}); write "
            f'"{name}(argument=value)", or pass it as an object.'
        ) from None
    except ValueError as error:
        if name not in aggregation_names():
            raise ValueError(
                f"Unknown aggregation '{name}'; PyG has {', '.join(aggregation_names())}."
                f"{did_you_mean(name, aggregation_names())}"
            ) from None
        raise ValueError(f"Aggregation '{text}' cannot be made: {error}") from error
    assert isinstance(module, Aggregation)
    return module


def _several(
    channels: int, degrees: Tensor, aggrs: Sequence[Aggr], mode: str = "sum"
) -> Aggregation:
    members = [resolve_aggregation(member, channels, degrees) for member in aggrs]
    return CombinedAggregation(MultiAggregation(members, mode="cat"), channels, mode)


def _trial(module: nn.Module, channels: int) -> Tensor:
    """What a copy of it makes of five messages to two nodes; its state stays as it is."""
    index = torch.tensor([0, 0, 0, 1, 1])
    messages = torch.linspace(-1, 1, 5 * 3 * channels).reshape(5, 3, channels)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            trial = copy.deepcopy(module).cpu().float()
            out = trial(messages, index=index, ptr=torch.tensor([0, 3, 5]), dim_size=2, dim=0)
    except Exception as error:
        raise ValueError(
            f"{type(module).__name__} cannot aggregate messages of shape [E, M, c], which a "
            f"round needs (it says: {str(error).strip() or type(error).__name__})."
        ) from error
    if not isinstance(out, Tensor):
        raise ValueError(
            f"{type(module).__name__} must return a tensor, but returned {type(out).__name__}."
        )
    return out


def _check(module: nn.Module, channels: int) -> None:
    out = _trial(module, channels)
    if out.shape != (2, 3, channels):
        raise ValueError(
            f"{type(module).__name__} turns messages [5, 3, {channels}] to 2 nodes into "
            f"{list(out.shape)}, but a round needs [2, 3, {channels}]; with several aggregations "
            f"state a mode that keeps the channels, such as MultiAggregation([...], mode='sum')."
        )
