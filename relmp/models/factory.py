"""Models by name, and what it takes to build one again."""

from __future__ import annotations

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
from relmp.models.own.build import Builder, build, option_names, require_builder
from relmp.registry import OpenRegistry, parse_call
from relmp.rounds.aggregation import aggregation_code, aggregation_text, foreign_aggregations
from relmp.rounds.channels import MAX_CHANNELS
from relmp.rounds.names import MESSAGES, message_text, resolve_message
from relmp.rounds.scored.selection import draw_frozen

MODELS: OpenRegistry[Builder] = OpenRegistry("model")


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
        own = sorted({"graph", "num_classes", "seed"} & set(self.options))
        if own:
            raise ValueError(
                f"{own[0]} is a part of ModelConfig itself, not one of its options: write "
                f"ModelConfig({self.name!r}, {own[0]}=...)."
            )

    def create(self, builder: Builder | None = None) -> nn.Module:
        """Build the model, by ``builder`` where what its name stands for is not to be imported.

        Raises:
            ValueError: If it cannot be built, as a model of which a run holds weights alone.
        """
        return create_model(
            builder or self.name,
            graph=self.graph,
            num_classes=self.num_classes,
            seed=self.seed,
            **self.options,
        )

    @property
    def is_given(self) -> bool:
        """Whether this says what a model is that was built by hand, not how to build it."""
        return self.name.startswith(f"{GIVEN}:")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; messages and aggregations are written as text.

        Raises:
            ValueError: If the model or an option is an object that cannot be written down.
        """
        if "<" in self.name:
            raise ValueError(
                f"Model '{self.name}' cannot be written to a configuration; define it at the top "
                f"level of a module that can be imported."
            )
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
        if not isinstance(values["name"], str):
            raise ValueError(f"The name of a model must be a text, but is {values['name']!r}.")
        graph, options = values["graph"], dict(values["options"])
        if isinstance(options.get("message"), str):
            options["message"] = message_text(options["message"])
        graph = None if graph is None else graphs_from_dict(graph)
        return cls(**{**values, "graph": graph, "options": options})

    @property
    def foreign(self) -> list[str]:
        """What building this model would import that is neither registered nor installed."""
        found = list(foreign_aggregations(self.options.get("aggr")))
        message, of = self.options.get("message"), self.options.get("of")
        if isinstance(message, str) and not MESSAGES.is_known(parse_call(message)[0]):
            found.append(message)
        models = [name for name in (self.name, of) if isinstance(name, str)]
        return [name for name in models if MODELS.is_foreign(name) or self._fetches(name)] + found

    def _fetches(self, name: str) -> bool:
        """Whether building a network of a library would read files or download weights."""
        library, separator, model = name.partition(":")
        asked = any(self.options.get(option) for option in FETCHING)
        return bool(separator) and library != GIVEN and (asked or not model.isidentifier())

    def code(self) -> dict[str, str]:
        """Fingerprints of the user's own code that the model runs, by what it is."""
        if self.is_given:
            return {}
        parts: dict[str, list[Any]] = {"model": [MODELS[self.name]]}
        if MODELS.is_foreign(str(self.options.get("of", ""))):
            parts["of"] = [MODELS[str(self.options["of"])]]
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


FETCHING = (
    "weights", "weights_backbone", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay",
    "checkpoint_path", "cache_dir",
)  # fmt: skip
"""Options of torchvision's and timm's models that make them read files or download weights."""

GIVEN = "given"
"""How the name of a model begins that was built by hand."""


def create_model(
    name: str | Builder,
    graph: Graphs = None,
    *,
    num_classes: int = 10,
    seed: int = 0,
    **options: Any,
) -> nn.Module:
    """A model by name, with a graph in its inner layers.

    ``create_model("mlp", graph=graph, num_classes=10, in_features=3072, width=512)``

    Args:
        name: A registered model (:func:`relmp.list_models`); one of torchvision or timm, made
            relational (``"torchvision:resnet18"``); or your own: a class or function
            ``(graph, num_classes, width=...)``, also as ``"package.module:Name"``.
        graph: The graph of all inner layers, or a mapping from names of layers, or patterns
            (``{"stages.0.*": graph}``), to graphs, where those that are not named are ordinary;
            None builds the ordinary dense network.
        num_classes: Number of classes.
        seed: Decides the initial weights; frozen ones by its last 32 bits. No global random state
            is read or changed.
        **options: The model's own arguments; see its class. ``message`` may also be
            written as text: "gated", "low_rank(rank=2)", "package.module:Name".

    Raises:
        ValueError: If the name or an option is unknown, a layer cannot carry the graph, or a
            model of your own ignores it.
    """
    name, cls = named_builder(name)
    check_options(name, cls, options)
    graph = as_graphs(graph)
    check_whole("num_classes", num_classes, 1, MAX_CHANNELS)
    check_whole("seed", seed, 0, 2**63 - 1)
    check_channels(options)
    if "message" in options:
        options = options | {"message": resolve_message(options["message"])}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(name, cls, graph, num_classes, options)
    draw_frozen(model, seed)
    model.config = ModelConfig(name, graph, num_classes, seed, options)  # type: ignore[assignment]
    if not hasattr(model, "graph"):
        model.graph = graph  # type: ignore[assignment]
    return model


def named_builder(model: str | Builder) -> tuple[str, Builder]:
    """The name of a model, and what makes it.

    Raises:
        ValueError: If there is no such model, or it takes no graph.
    """
    if isinstance(model, str) or not callable(model):
        builder, name = MODELS[model], model
    else:
        builder, name = model, MODELS.name_of(model)
    require_builder(name, builder)
    return name, builder


def check_channels(options: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` unless options that count channels are numbers that a machine holds."""
    for name in ("width", "stem_width", "in_features", "in_channels"):
        value = options.get(name)
        several = list(value) if isinstance(value, list | tuple) else [value]
        for count in several if value is not None else ():
            check_whole(name, count, 1, MAX_CHANNELS)


def check_options(name: str, cls: Builder, options: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` if a model does not know one of these options."""
    accepted, takes_any = option_names(cls)
    unknown = [key for key in options if key not in accepted]
    if unknown and not takes_any:
        raise ValueError(
            f"Model '{name}' has no option '{unknown[0]}'; its options are "
            f"{', '.join(accepted) or 'none'}."
        )
