"""Aggregations as text, for configurations, and what such text would import."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn.aggr import Aggregation

from relmp.registry import format_call, parse_call
from relmp.rounds.aggregation.resolve import AGGREGATIONS, Aggr, pyg_classes


def aggregation_text(aggr: Aggr) -> str | list[Any]:
    """The text that :func:`resolve_aggregation` reads, or a list of such texts.

    Text stays as it is. An object is written as the call of its class with the arguments that
    it has as attributes, if that call makes the same again.

    Raises:
        ValueError: If the aggregation cannot be imported, or an argument cannot be written down.
    """
    if isinstance(aggr, str):
        parse_call(aggr)
        return aggr
    if isinstance(aggr, Sequence):
        return [aggregation_text(member) for member in aggr]
    if isinstance(aggr, Aggregation):
        return _text_of_object(aggr)
    arguments: dict[str, Any] = {}
    while isinstance(aggr, partial) and not aggr.args:
        arguments, aggr = aggr.keywords | arguments, aggr.func
    for name in arguments.keys() & {"aggr", "aggrs"}:
        arguments[name] = aggregation_text(arguments[name])
    return _text_of_call(aggr, arguments)


def _text_of_call(factory: Any, arguments: dict[str, Any]) -> str:
    name = pyg_classes().get(factory)
    return AGGREGATIONS.text(factory, arguments) if name is None else format_call(name, arguments)


def _text_of_object(module: Aggregation) -> str:
    cls, arguments = type(module), {}
    for name, parameter in inspect.signature(cls).parameters.items():
        value = getattr(module, name, parameter.default)
        if isinstance(value, Tensor) and value.numel() == 1:
            value = value.item()
        is_plain = isinstance(value, bool | int | float | str | list | tuple)
        if is_plain and value != parameter.default:
            arguments[name] = value
    try:
        with torch.random.fork_rng(devices=[]):
            if _is_same(module, cls(**arguments)):
                return _text_of_call(cls, arguments)
    except (TypeError, ValueError, RuntimeError):
        pass
    raise ValueError(
        f"The aggregation {module!r} cannot be written to a configuration, since its class does "
        f"not make it from arguments that it keeps as attributes; give text "
        f'("softmax(learn=True)", "package.module:Name(argument=value)"), or a class or function '
        f"that can be imported."
    )


def _is_same(one: nn.Module, two: nn.Module) -> bool:
    """Whether two modules are of the same classes and hold the same values."""
    values, others = one.state_dict(), two.state_dict()
    return (
        _attributes(one) == _attributes(two)
        and values.keys() == others.keys()
        and all(torch.equal(values[key].cpu(), others[key]) for key in values)
    )


def _attributes(module: nn.Module) -> list[tuple[type, dict[str, Any]]]:
    common = vars(nn.Module()).keys()
    return [
        (type(part), {name: value for name, value in vars(part).items() if name not in common})
        for part in module.modules()
    ]


def foreign_aggregations(aggr: Any) -> Iterator[str]:
    """The texts in ``aggr=``, inside of arguments too, by which something would be imported that
    is neither registered nor installed."""
    if isinstance(aggr, str):
        try:
            name, arguments = parse_call(aggr)
        except ValueError:
            return  # nothing is imported by it
        if not AGGREGATIONS.is_known(name):
            yield aggr
        yield from foreign_aggregations(list(arguments.values()))
    elif isinstance(aggr, list | tuple):
        for member in aggr:
            yield from foreign_aggregations(member)


def aggregation_code(aggr: Any) -> Iterator[Any]:
    """The classes and functions that the text of :func:`aggregation_text` names, but for PyG's."""
    if isinstance(aggr, str):
        name, arguments = parse_call(aggr)
        if name in AGGREGATIONS or ":" in name:
            found = AGGREGATIONS.find(name)[0]
            yield type(found) if isinstance(found, Aggregation) else found
        yield from aggregation_code([arguments.get("aggr", []), arguments.get("aggrs", [])])
    elif isinstance(aggr, list):
        for member in aggr:
            yield from aggregation_code(member)
