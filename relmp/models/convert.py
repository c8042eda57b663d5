"""Any model made relational, and any relational model made ordinary."""

from __future__ import annotations

import copy
import fnmatch
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from relmp.graphs import RelationalGraph
from relmp.graphs.layers.mapping import as_graphs, graph_of_each
from relmp.models.architecture import layer_errors
from relmp.rounds import (
    RelationalConv2d,
    RelationalLinear,
    Round,
    dense_layer,
    keep_dense_weight,
    linear_map,
)
from relmp.rounds.aggregation import Aggr
from relmp.rounds.names import MessageFactory
from relmp.rounds.scored.selection import is_scored, settled

Layer: TypeAlias = nn.Linear | nn.Conv2d

FUSED = "relational across q, k and v, whose channels it makes together"
_FUSED_NAME = re.compile(r"(^|[._])(qkv|q_k_v|in_proj|Wqkv|c_attn)(_proj)?$")


def relationalize(
    model: nn.Module,
    graph: RelationalGraph | Mapping[str, RelationalGraph | None],
    *,
    skip: str | Sequence[str] = (),
    keep_weights: bool = False,
    message: str | MessageFactory = linear_map,
    aggr: Aggr = "sum",
) -> nn.Module:
    """A copy of a model in which the inner linear and convolutional layers are relational.

    Linear layers and convolutions become :class:`relmp.RelationalLinear` and
    :class:`relmp.RelationalConv2d`; a parameter that belongs to no such layer (the query, key
    and value projection of ``nn.MultiheadAttention``) stays as it is.

    The first and the last layer stay dense, in the order in which the model registers its
    layers, and so do those that :func:`dense_reasons` names. The copy keeps these reasons as
    ``model.kept_dense``, and :func:`relmp.summary` shows them. One layer that makes queries, keys
    and values together (``qkv``) becomes one round, whose nodes run across the three; such layers
    are named by ``model.fused`` and the summary.

    Nodes are consecutive channels. Where a model concatenates the channels of several layers
    (DenseNet), the nodes of the parts do not line up with those of the whole: a node of the
    next layer then holds channels of several nodes before it.

    Args:
        model: Any module; it is left as it is.
        graph: The graph of all relational layers, or a mapping from names of layers, or patterns,
            to graphs; layers that are not named stay dense.
        skip: Names of layers that stay dense, or patterns such as ``"layer4.*"``.
        keep_weights: Whether biases and the weights that lie on edges are kept; otherwise
            the new layers are drawn anew.
        message, aggr: What nodes say and how they aggregate it, see :class:`relmp.Round`; the
            message is told the geometry of a convolution.

    Raises:
        ValueError: If no layer can become relational, or a pattern of ``skip`` fits none.
    """
    reasons, graphs = dense_reasons(model, graph, skip=skip), _graphs_of(model, graph)
    chosen = [name for name, reason in reasons.items() if reason is None]
    if not chosen:
        why = "; ".join(f"'{name}': {reason}" for name, reason in reasons.items())
        raise ValueError(
            f"{type(model).__name__} has no inner layer that can become relational "
            f"({why or 'it has no linear or convolutional layer'})."
        )
    twin = copy.deepcopy(model)
    modules = dict(twin.named_modules())
    options = (keep_weights, message, aggr)
    new = {}
    for name in chosen:
        new[id(modules[name])] = _relational(name, modules[name], graphs[name], *options)
    _replace(twin, new)
    _forget_config(twin)
    twin.kept_dense = {  # type: ignore[assignment]
        name: reason for name, reason in reasons.items() if reason is not None
    }
    twin.fused = {name: FUSED for name in chosen if _FUSED_NAME.search(name)}  # type: ignore[assignment]
    twin.graph = graph  # type: ignore[assignment]
    return twin


def to_dense(model: nn.Module) -> nn.Module:
    """A copy of a model with ordinary layers in place of its rounds, and the same function.

    It has the names and shapes of an ordinary network: a round with an update becomes a
    sequence of the layer and the modules of the update. Scored weights become those in use.

    Raises:
        ValueError: If a round is not one linear map; it names the round.
    """
    twin = copy.deepcopy(model)
    if isinstance(twin, Round):
        return dense_layer(twin)
    if is_scored(twin):
        return settled(twin)
    new = {}
    for name, module in twin.named_modules():
        if isinstance(module, Round):
            with layer_errors(name):
                new[id(module)] = dense_layer(module)
        elif is_scored(module):
            new[id(module)] = settled(module)
    _replace(twin, new)
    _forget_config(twin)
    return twin


def dense_reasons(
    model: nn.Module,
    graph: RelationalGraph | Mapping[str, RelationalGraph | None],
    *,
    skip: str | Sequence[str] = (),
) -> dict[str, str | None]:
    """Why each linear or convolutional layer stays dense; None where it becomes relational.

    Raises:
        ValueError: If a pattern of ``skip``, or of a mapping to graphs, fits no layer.
    """
    layers, patterns = dict(ordinary_layers(model)), [skip] if isinstance(skip, str) else skip
    graphs = _graphs_of(model, graph)
    for pattern in patterns:
        if not fnmatch.filter(layers, pattern):
            raise ValueError(
                f"skip names '{pattern}', but no linear or convolutional layer is called so; "
                f"they are {', '.join(layers) or 'none'}."
            )
    names = list(layers)
    shared = _shared_parameters(model)
    reasons: dict[str, str | None] = {}
    for name, layer in layers.items():
        if name == names[0]:
            reasons[name] = "first layer"
        elif name == names[-1]:
            reasons[name] = "last layer"
        elif any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
            reasons[name] = "skipped as asked"
        elif (own := graphs[name]) is None:
            reasons[name] = "no graph given"
        else:
            reasons[name] = _reason_in_use(model, name, shared) or _reason_of_kind(layer, own)
    return reasons


def _graphs_of(
    model: nn.Module, graph: RelationalGraph | Mapping[str, RelationalGraph | None]
) -> dict[str, Any]:
    return graph_of_each(as_graphs(graph), [name for name, _ in ordinary_layers(model)])


def ordinary_layers(model: nn.Module) -> Iterator[tuple[str, Layer]]:
    """Linear and convolutional layers, those inside rounds left out."""
    inside: set[nn.Module] = set()
    for name, module in model.named_modules():
        if module in inside:
            continue
        if isinstance(module, Round):
            inside.update(module.modules())
        elif isinstance(module, (nn.Linear, nn.Conv2d)):
            yield name, module


def _reason_of_kind(layer: Layer, graph: RelationalGraph) -> str | None:
    """Why this layer cannot be relational, from what it is."""
    if type(layer) not in (nn.Linear, nn.Conv2d):
        return f"{type(layer).__name__} is a kind of its own"
    channels = (layer.weight.size(1), layer.weight.size(0))
    if isinstance(layer, nn.Conv2d):
        channels = (layer.in_channels, layer.out_channels)
        if layer.groups > 1:
            return "depth-wise" if layer.groups == layer.in_channels else "grouped"
        if layer.padding_mode != "zeros":
            return f"padding mode '{layer.padding_mode}'"
    if min(channels) < graph.num_nodes:
        return f"fewer channels ({channels[0]} to {channels[1]}) than {graph.num_nodes} nodes"
    if parametrize.is_parametrized(layer) or layer._forward_pre_hooks or layer._forward_hooks:
        return "its weight is parametrised, or it has hooks"
    return None


def _reason_in_use(model: nn.Module, name: str, shared: set[int]) -> str | None:
    """Why this layer cannot be relational, from how it is used."""
    layer = model.get_submodule(name)
    if any(id(parameter) in shared for parameter in layer.parameters()):
        return "shares its weight with another layer"
    parts = name.split(".")
    for depth in reversed(range(len(parts))):  # the parent first
        ancestor = type(model.get_submodule(".".join(parts[:depth])))
        path = ".".join(parts[depth:])
        if re.search(rf"self\.{re.escape(path)}\.weight\b", _source(ancestor)):  # type: ignore[arg-type]
            return f"{ancestor.__name__} reads its weight directly"
    return None


@cache
def _source(cls: type[nn.Module]) -> str:
    """Source of a class and its bases, as far as it is to be had."""
    sources = []
    for base in cls.__mro__[: cls.__mro__.index(nn.Module)]:
        try:
            sources.append(inspect.getsource(base))
        except (OSError, TypeError):
            continue
    return "\n".join(sources)


def _shared_parameters(model: nn.Module) -> set[int]:
    """Parameters that belong to several modules."""
    seen: set[int] = set()
    shared: set[int] = set()
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            (shared if id(parameter) in seen else seen).add(id(parameter))
    return shared


def _relational(
    name: str,
    layer: nn.Module,
    graph: RelationalGraph,
    keep_weights: bool,
    message: str | MessageFactory,
    aggr: Aggr,
) -> RelationalLinear | RelationalConv2d:
    assert isinstance(layer, (nn.Linear, nn.Conv2d))
    new: RelationalLinear | RelationalConv2d
    bias: Tensor | None = layer.bias
    with layer_errors(name):
        if isinstance(layer, nn.Conv2d):
            new = RelationalConv2d(
                graph,
                layer.in_channels,
                layer.out_channels,
                layer.kernel_size,  # type: ignore[arg-type]
                layer.stride,  # type: ignore[arg-type]
                layer.padding,  # type: ignore[arg-type]
                layer.dilation,  # type: ignore[arg-type]
                bias=bias is not None,
                message=message,
                aggr=aggr,
            )
        else:
            new = RelationalLinear(
                graph,
                layer.in_features,
                layer.out_features,
                bias is not None,
                message=message,
                aggr=aggr,
            )
    new.to(layer.weight.device, layer.weight.dtype).train(layer.training)
    if keep_weights:
        with layer_errors(name):
            keep_dense_weight(new, layer.weight)
    new.message_module.requires_grad_(layer.weight.requires_grad)
    if new.bias is not None and bias is not None:
        if keep_weights:
            with torch.no_grad():
                new.bias.copy_(bias)
        new.bias.requires_grad_(bias.requires_grad)
    return new


def _replace(model: nn.Module, new: Mapping[int, nn.Module]) -> None:
    """Put new modules in the places of old ones (by id), in all places of each."""
    for parent in list(model.modules()):
        for child, module in parent._modules.items():
            if id(module) in new:
                parent._modules[child] = new[id(module)]


def _forget_config(model: nn.Module) -> None:
    """A converted model is not what its configuration would build."""
    model.__dict__.pop("config", None)
    model.__dict__.pop("graph", None)
