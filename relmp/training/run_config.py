"""A run as a value: everything that decides what is trained, and nothing else."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import Field, asdict, dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any

from relmp.files import bare
from relmp.models import MODELS, ModelConfig
from relmp.training.config import DataConfig, DataOptions, TrainConfig

FORMAT = 2
"""Of ``config.json``. Format 1 kept the data's settings among those of training, had no key
beside them and hashed every value, defaults included."""

AXES_HINT = (
    "model.graph, model.<option>, model.name, seed, data.<setting>, training.<setting> or "
    "training.loop.<setting>"
)


@dataclass(frozen=True)
class RunConfig:
    """A model, its data and its training. Its key is the name of its folder in a sweep.

    The key hashes what differs from the defaults, so that a new setting renames no old run.
    Device, threads, workers and fingerprints are recorded beside a run and never hashed.

    Args:
        model: What is built.
        data: What it learns.
        training: How.
    """

    model: ModelConfig
    data: DataConfig
    training: TrainConfig

    @cached_property
    def key(self) -> str:
        """Hash of what differs from the defaults: 16 hexadecimal digits."""
        chosen = {
            "model": _model_key(self.model),
            "data": _differing(self.data),
            "training": _differing(self.training),
        }
        if self.training.init_from is not None:  # where it lies does not matter
            chosen["training"]["init_from"] = self.training.init_from.partition("@")[0]
        text = json.dumps(chosen, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(f"relmp-run-{FORMAT}:{text}".encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, complete.

        Raises:
            ValueError: If an option of the model is an object that cannot be written down.
        """
        return {
            "model": self.model.to_dict(),
            "data": asdict(self.data),
            "training": asdict(self.training),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunConfig:
        """The inverse of :meth:`to_dict`; also reads what the version before wrote.

        Raises:
            ValueError: If it describes no run.
        """
        try:
            data, training = values.get("data"), dict(values["training"])
            if data is None:  # format 1
                data = {"name": training.pop("data")}
                names = [item.name for item in fields(DataOptions) if item.name in training]
                data |= {name: training.pop(name) for name in names}
            model = ModelConfig.from_dict(values["model"])
            return cls(model, DataConfig(**data), TrainConfig.from_dict(training))
        except (AttributeError, KeyError, TypeError) as error:
            reason = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else error
            raise ValueError(f"This is no configuration of a run: {reason}.") from error

    def with_axis(self, axis: str, value: Any) -> RunConfig:
        """The same run with another value on an axis, such as ``"training.lr"``.

        Raises:
            ValueError: If no run has such an axis.
        """
        if axis == "seed":
            return replace(
                self,
                model=replace(self.model, seed=value),
                training=replace(self.training, seed=value),
            )
        part, _, name = axis.partition(".")
        if part == "model" and name:
            return replace(self, model=self._with_option(name, value))
        if part not in ("data", "training") or not name:
            raise ValueError(f"A run has no axis '{axis}'; name {AXES_HINT}.")
        return replace(self, **{part: _with(getattr(self, part), name, value, axis)})

    def axes(self) -> dict[str, Any]:
        """Everything by the name of its axis, as plain values; the graph by its key."""
        graph = self.model.graph
        found: dict[str, Any] = {"model.name": self.model.name}
        found["model.graph"] = None if graph is None else graph.key
        found |= {"model.num_classes": self.model.num_classes, "model.seed": self.model.seed}
        found |= {f"model.{name}": value for name, value in self.model.plain_options().items()}
        for part in ("data", "training"):
            found |= {f"{part}.{name}": value for name, value in _flat(getattr(self, part))}
        return found

    def _with_option(self, name: str, value: Any) -> ModelConfig:
        if name in ("graph", "name", "seed", "num_classes"):
            return replace(self.model, **{name: value})
        if MODELS.is_registered(self.model.name) and name not in _defaults(self.model.name):
            raise ValueError(
                f"Model '{self.model.name}' has no option '{name}' to be an axis; it has graph, "
                f"name, {', '.join(_defaults(self.model.name))}."
            )
        return replace(self.model, options={**self.model.options, name: value})


def differences(
    there: Mapping[str, Any], here: Mapping[str, Any], prefix: str = ""
) -> Iterator[str]:
    """What differs between two configurations, each as ``name: a there, b here``."""
    for key in {*there, *here}:
        a, b = there.get(key), here.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            if a.get("key") != b.get("key"):
                yield f"{prefix}{key}: {a['name']} there, {b['name']} here"
            elif "key" not in a:
                yield from differences(a, b, f"{prefix}{key}.")
        elif bare(a) != bare(b):
            yield f"{prefix}{key}: {a} there, {b} here"


def _model_key(model: ModelConfig) -> dict[str, Any]:
    usual = ModelConfig(model.name, options=_writable(_defaults(model.name))).plain_options()
    options = {
        name: value
        for name, value in model.plain_options().items()
        if name not in usual or value != usual[name]
    }
    chosen: dict[str, Any] = {"name": model.name, "options": options}
    if model.graph is not None:
        chosen["graph"] = model.graph.key
    for item in fields(ModelConfig):
        if item.name in ("seed", "num_classes") and getattr(model, item.name) != item.default:
            chosen[item.name] = getattr(model, item.name)
    return chosen


def _defaults(name: str) -> dict[str, Any]:
    """The options of a registered model and their defaults; of others none, since a key is found
    without importing anything."""
    if not MODELS.is_registered(name):
        return {}
    parameters = inspect.signature(MODELS[name]).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in ("graph", "num_classes")}


def _writable(defaults: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, value in defaults.items():
        try:
            ModelConfig("", options={name: value}).plain_options()
        except (ValueError, AttributeError):
            continue
        found[name] = value
    return found


def _flat(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for item in fields(config):
        value = getattr(config, item.name)
        if is_dataclass(value):
            yield from _flat(value, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", list(value) if isinstance(value, tuple) else value


def _differing(config: Any) -> dict[str, Any]:
    """What is not as a dataclass has it by default."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(_flat(config))))
    usual = json.loads(json.dumps(dict(_flat(type(config)()))))
    return {name: value for name, value in plain.items() if value != usual[name]}


def _with(config: Any, name: str, value: Any, axis: str) -> Any:
    first, _, rest = name.partition(".")
    known: dict[str, Field[Any]] = {item.name: item for item in fields(config)}
    if first not in known or (rest and not is_dataclass(getattr(config, first))):
        names = ", ".join(found for found, _ in _flat(config))
        part = axis.partition(".")[0]
        raise ValueError(f"A run has no axis '{axis}'; those of {part} are {names}.")
    if rest:
        value = _with(getattr(config, first), rest, value, axis)
    return replace(config, **{first: value})


__all__ = ["AXES_HINT", "FORMAT", "RunConfig", "differences"]
