"""Calls a model of the user's, and sees that what it gives is a model over the graph."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from relmp.graphs.layers.mapping import Graphs
from relmp.rounds import Round

Builder = Callable[..., nn.Module]
"""``(graph, num_classes, *, width, ...) -> nn.Module``: a class or a function."""


def option_names(builder: Builder) -> tuple[list[str], bool]:
    """The options that a model takes, and whether it takes any others as well."""
    parameters = inspect.signature(builder).parameters.values()
    names = [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    return [name for name in names if name not in ("graph", "num_classes")], takes_any


def require_builder(name: str, builder: Any) -> None:
    """Raise ``ValueError`` unless this is a class or function that takes a graph."""
    if isinstance(builder, nn.Module) or not callable(builder):
        raise ValueError(
            f"A model is given by its name, or by a class or function that takes a graph, but "
            f"{type(builder).__name__} was given; give the class itself."
        )
    try:
        takes_graph = "graph" in inspect.signature(builder).parameters
    except ValueError:  # of what is written in C
        takes_graph = False
    if not takes_graph:
        raise ValueError(
            f"Model '{name}' takes no argument graph; write it as a class or function "
            f"(graph, num_classes, width=...), or have its layers made relational: "
            f"create_model('relationalized', of='{name}', graph=graph)."
        )


def build(
    name: str,
    builder: Builder,
    graph: Graphs,
    num_classes: int,
    options: Mapping[str, Any],
) -> nn.Module:
    """The model that a builder makes.

    Raises:
        ValueError: If it makes no module, or one that ignores the graph.
    """
    fixed: dict[str, Any] = {"graph": graph}
    if "num_classes" in inspect.signature(builder).parameters:
        fixed["num_classes"] = num_classes
    model = builder(**fixed, **options)
    if not isinstance(model, nn.Module):
        raise ValueError(f"Model '{name}' must give an nn.Module, but gave {type(model).__name__}.")
    if graph is not None and not any(isinstance(module, Round) for module in model.modules()):
        raise ValueError(
            f"Model '{name}' ignores its graph: none of its layers is a round; make its inner "
            f"layers of relmp.RelationalLinear, relmp.RelationalConv2d or relmp.Round."
        )
    return model


def input_options(builder: Builder, input_shape: Sequence[int]) -> dict[str, Any]:
    """The options by which a model learns of the shape of its images, those of them it has:
    ``in_features``, ``in_channels``, ``input_shape``."""
    if hasattr(builder, "input_options"):
        found: dict[str, Any] = builder.input_options(input_shape)
        return found
    names, _ = option_names(builder)
    values = {
        "in_features": math.prod(input_shape),
        "in_channels": input_shape[0],
        "input_shape": tuple(input_shape),
    }
    return {name: value for name, value in values.items() if name in names}
