"""Any network made relational, as a model with a name that a configuration can hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import nn

from relmp.graphs import RelationalGraph
from relmp.models.convert import relationalize
from relmp.models.factory import MODELS
from relmp.registry import import_object
from relmp.rounds import linear_map
from relmp.rounds.aggregation import Aggr
from relmp.rounds.names import MessageFactory


@MODELS.register("relationalized")
def relationalized(
    graph: RelationalGraph | None,
    num_classes: int = 10,
    *,
    of: str,
    skip: str | Sequence[str] = (),
    keep_weights: bool = False,
    message: str | MessageFactory = linear_map,
    aggr: Aggr = "sum",
    **options: Any,
) -> nn.Module:
    """An ordinary network with its inner layers made relational, see :func:`relationalize`.

    ``create_model("torchvision:resnet18", graph=graph, num_classes=10)`` is short for
    ``create_model("relationalized", of="torchvision:resnet18", ...)``.

    Args:
        graph: The graph of all relational layers; None leaves the network as it is.
        num_classes: Number of classes.
        of: Whose layers: ``"torchvision:resnet18"``, ``"timm:NAME"``, or any class or function
            that takes ``num_classes``, as ``"package.module:Name"``.
        skip, keep_weights, message, aggr: See :func:`relationalize`.
        **options: Arguments of the network itself (``width_mult=1.0``).

    Raises:
        ValueError: If there is no such network, it does not take the arguments, or no layer of it
            can become relational.
    """
    try:
        plain = _network(of)(num_classes=num_classes, **options)
    except TypeError as error:
        raise ValueError(
            f"The network '{of}' cannot be made: {error}; give arguments that it takes."
        ) from error
    if graph is None:
        return plain
    return relationalize(
        plain, graph, skip=skip, keep_weights=keep_weights, message=message, aggr=aggr
    )


def _network(of: str) -> Callable[..., nn.Module]:
    library, _, name = of.partition(":")
    if library == "torchvision":
        from torchvision.models import get_model_builder

        try:
            builder: Callable[..., nn.Module] = get_model_builder(name)
        except ValueError as error:
            raise ValueError(f"torchvision has no model '{name}' ({error}).") from error
        return builder
    if library == "timm":
        return partial(_timm().create_model, name)
    found: Callable[..., nn.Module] = import_object(of)
    return found


def _made_relational(library: str, name: str) -> Callable[..., nn.Module]:
    _network(f"{library}:{name}")  # complains of what there is not
    return partial(relationalized, of=f"{library}:{name}")


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise ValueError(
            "timm is not installed; pip install timm, or take a model of torchvision."
        ) from error
    return timm


for _library in ("torchvision", "timm"):
    MODELS.catalogue(_library, partial(_made_relational, _library))
