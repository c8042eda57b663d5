"""Files of sweeps: settings in TOML, and lists of runs."""

from __future__ import annotations

import runpy
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from relmp.checks import did_you_mean
from relmp.training.config import SETTINGS

if TYPE_CHECKING:
    from relmp.training.run_config import RunConfig


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a TOML file.

    Raises:
        ValueError: If it is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"'{path}' is no TOML file: {error}.") from error


def read_runs(path: Path) -> list[RunConfig]:
    """The runs of a plan file in Python, or of the ``plan.json`` that a sweep has kept.

    Raises:
        ValueError: If it holds none.
    """
    from relmp.sweep.saved import read_plan
    from relmp.training.run_config import RunConfig

    if path.suffix == ".json":
        return read_plan(path)
    if path.suffix != ".py":
        raise ValueError(f"A plan is a .toml, .py or .json file, but '{path}' was given.")
    found = runpy.run_path(str(path)).get("plan")
    runs = found() if callable(found) else found
    if not isinstance(runs, list) or not all(isinstance(run, RunConfig) for run in runs):
        raise ValueError(
            f"'{path}' must define plan, a list of runs (of relmp.grid or relmp.over_graphs), or a "
            f"function that makes one."
        )
    return runs


def with_values(given: Any, values: Mapping[str, Any], where: str) -> Any:
    """A dataclass whose fields that are as by default have the values of a file."""
    names = {item.name: item for item in fields(given)}
    unknown = [name for name in values if name not in names]
    if unknown:
        raise ValueError(
            f"{where} holds '{unknown[0]}', which is no setting.{did_you_mean(unknown[0], names)}"
        )
    hints, changed = get_type_hints(type(given)), {}
    for name, value in values.items():
        item = names[name]
        if get_origin(hints[name]) is tuple and not isinstance(value, list):
            value = [value]  # one is plainly meant
        if not _fits(value, hints[name]):
            raise ValueError(
                f"{where} holds {name} = {value!r}, which must be {_in_words(hints[name])}."
            )
        usual = item.default if item.default is not MISSING else None
        if item.default_factory is not MISSING:
            usual = item.default_factory()
        if getattr(given, name) == usual:
            is_list = isinstance(value, list)
            several = tuple(_read_as(one, hints[name]) for one in (value if is_list else [value]))
            changed[name] = several if is_list else several[0]
    return replace(given, **changed)


def as_declared(axis: str, value: Any) -> Any:
    """A value of an axis as the option of that name has it."""
    name = axis.rpartition(".")[2]
    if axis.startswith("model.") or name not in SETTINGS:
        return value
    return _read_as(value, get_type_hints(SETTINGS[name])[name])


def _read_as(value: Any, hint: Any) -> Any:
    """1 as 1.0 where a real number is declared, as on the command line: it is one run."""
    kinds = {hint, *get_args(hint)}
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if is_whole and float in kinds and int not in kinds else value


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of a TOML file is of the type of a field."""
    kind, of = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return any(_fits(value, one) for one in of)
    if kind is Literal:
        return value in of
    if kind is tuple:
        return isinstance(value, list | tuple) and all(_fits(one, of[0]) for one in value)
    if hint is float:
        hint = int | float
    is_flag = isinstance(value, bool)
    return isinstance(value, kind or hint) and (is_flag == (hint is bool))


def _in_words(hint: Any) -> str:
    """What a field takes, for people who write TOML."""
    of = [one for one in get_args(hint) if one not in (type(None), ...)]
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, of))}"
    if get_origin(hint) is tuple:
        return f"a list, each {_in_words(of[0])}"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return " or ".join(words.get(one, str(one)) for one in of or [hint])
