"""Models by name, and what it takes to build one again."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import nn

from relmp.checks import check_whole
from relmp.fingerprint import code_fingerprint
from relmp.graphs import RelationalGraph
from relmp.graphs.layers.mapping import Graphs, LayerGraphs, as_graphs
from relmp.graphs.serialise import graph_to_dict, graphs_from_dict
from relmp.registry import Registry, parse_call
from relmp.rounds.aggregation import aggregation_code, aggregation_text, foreign_aggregations
from relmp.rounds.names import MESSAGES, message_text, resolve_message

MAX_CHANNELS = 2**20
"""So many channels, features or classes may a layer have."""

MODELS: Registry[type[nn.Module]] = Registry("model")


@dataclass(frozen=True)
class ModelConfig:
    """Everything that decides what :func:`create_model` builds; a model has it as ``config``."""

    name: str
    graph: RelationalGraph | LayerGraphs | None = None
    num_classes: int = 10
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "graph", as_graphs(self.graph))

    def create(self) -> nn.Module:
        """Build the model."""
        return create_model(
            self.name,
            graph=self.graph,
            num_classes=self.num_classes,
            seed=self.seed,
            **self.options,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; messages and aggregations are written as text.

        Raises:
            ValueError: If an option is an object that cannot be written down.
        """
        return {
            "name": self.name,
            "graph": None if self.graph is None else graph_to_dict(self.graph),
            "num_classes": self.num_classes,
            "seed": self.seed,
            "options": self.plain_options(),
        }

    def plain_options(self) -> dict[str, Any]:
        """The options as :meth:`to_dict` writes them, without the graph, which takes longer.

        Raises:
            ValueError: If an option is an object that cannot be written down.
        """
        return {key: _plain(key, value) for key, value in self.options.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """The inverse of :meth:`to_dict`; nothing is imported.

        Raises:
            ValueError: If it is none.
        """
        unknown = set(values) ^ {field.name for field in fields(cls)}
        if unknown or not isinstance(values["options"], Mapping):
            raise ValueError(
                f"A model is described by {', '.join(field.name for field in fields(cls))}, but "
                f"{', '.join(sorted(unknown)) or 'options'} is missing, unknown or no object."
            )
        graph, options = values["graph"], dict(values["options"])
        if isinstance(options.get("message"), str):
            options["message"] = message_text(options["message"])
        graph = None if graph is None else graphs_from_dict(graph)
        return cls(**{**values, "graph": graph, "options": options})

    @property
    def foreign(self) -> list[str]:
        """What building this model would import that is neither registered nor installed."""
        found = list(foreign_aggregations(self.options.get("aggr")))
        message = self.options.get("message")
        if isinstance(message, str) and not MESSAGES.is_known(parse_call(message)[0]):
            found.append(message)
        return found

    def code(self) -> dict[str, str]:
        """Fingerprints of the user's own code that the model runs, by what it is."""
        parts: dict[str, list[Any]] = {"model": [MODELS[self.name]]}
        if "message" in self.options:
            parts["message"] = [resolve_message(self.options["message"])]
        if "aggr" in self.options:
            parts["aggr"] = list(aggregation_code(aggregation_text(self.options["aggr"])))
        found = {name: map(code_fingerprint, some) for name, some in parts.items()}
        joined = {name: " ".join(filter(None, some)) for name, some in found.items()}
        return {name: text for name, text in joined.items() if text}


def _plain(key: str, value: Any) -> object:
    if key == "message":
        return message_text(value)
    if key == "aggr":
        return aggregation_text(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(key, item) for item in value]
    if isinstance(value, type) and "<locals>" not in value.__qualname__:
        return f"{value.__module__}:{value.__qualname__}"
    raise ValueError(
        f"Option {key}={value!r} cannot be written to a configuration; give a number, a word, or a "
        f"class that can be imported."
    )


def create_model(
    name: str,
    *,
    graph: Graphs = None,
    num_classes: int = 10,
    seed: int = 0,
    **options: Any,
) -> nn.Module:
    """A model by name, with a graph in its inner layers.

    ``create_model("mlp", graph=graph, num_classes=10, in_features=3072, width=512)``

    Args:
        name: A registered model (``relmp.models.MODELS.names()``).
        graph: The graph of all inner layers, or a mapping from names of layers, or patterns
            (``{"stages.0.*": graph}``), to graphs, where those that are not named are ordinary;
            None builds the ordinary dense network.
        num_classes: Number of classes.
        seed: Decides the initial weights. No global random state is read or changed.
        **options: The model's own arguments; see its class. ``message`` may also be
            written as text: "gated", "low_rank(rank=2)", "package.module:Name".

    Raises:
        ValueError: If the name or an option is unknown, or a layer cannot carry the graph.
    """
    cls = MODELS[name]
    check_options(name, cls, options)
    graph = as_graphs(graph)
    check_whole("num_classes", num_classes, 1, MAX_CHANNELS)
    check_whole("seed", seed, 0, 2**63 - 1)
    check_channels(options)
    if "message" in options:
        options = options | {"message": resolve_message(options["message"])}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = cls(graph, num_classes, **options)
    model.config = ModelConfig(name, graph, num_classes, seed, options)  # type: ignore[assignment]
    return model


def check_channels(options: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` unless options that count channels are numbers that a machine holds."""
    for name in ("width", "stem_width", "in_features", "in_channels"):
        value = options.get(name)
        several = list(value) if isinstance(value, list | tuple) else [value]
        for count in several if value is not None else ():
            check_whole(name, count, 1, MAX_CHANNELS)


def check_options(name: str, cls: type[nn.Module], options: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` if a model does not know one of these options."""
    accepted = [p for p in inspect.signature(cls).parameters if p not in ("graph", "num_classes")]
    unknown = [key for key in options if key not in accepted]
    if unknown:
        raise ValueError(
            f"Model '{name}' has no option '{unknown[0]}'; its options are {', '.join(accepted)}."
        )
