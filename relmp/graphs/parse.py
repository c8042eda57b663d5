"""The graph that a text stands for, wherever the text was shown, and short names for people."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from relmp.checks import did_you_mean
from relmp.files import read_json
from relmp.graphs.connectome import CONNECTOMES, load_connectome
from relmp.graphs.files import load_graph
from relmp.graphs.generators import GENERATORS
from relmp.graphs.generators.gallery import example_graph
from relmp.graphs.relational_graph import RelationalGraph
from relmp.graphs.serialise import graph_from_dict, graph_from_text
from relmp.registry import parse_call

_KEY = re.compile("[0-9a-f]{16}")
_SHOWN = re.compile(r"<RelationalGraph (?P<name>.+): (directed, )?\d+ nodes, .*>")


def parse_graph(
    text: str,
    *,
    folder: str | Path | None = None,
    root: str | Path | None = None,
    download: bool = False,
) -> RelationalGraph:
    """The graph that a text stands for: whatever a table, a report or a command shows.

    Args:
        text: ``"ws_flex(n=64, k=8, p=0.1, seed=0)"``, a generator's name (its example is taken;
            the graph's name says which), a connectome's name, a file, or the folder of a run. With
            a folder of runs also a graph's key, its name there, or its short name (``k=13.48``);
            ``"k=13.48@runs/fashion"`` says both at once.
        folder: Folder of a sweep or a run whose graphs are looked through.
        root: Folder of the text files of connectomes.
        download: Whether a connectome that is not there is downloaded.

    Raises:
        ValueError: If it is none of these.
    """
    text = text.strip()
    if not text:
        raise ValueError("A graph is named by a call, a file, a connectome or a key, not by ''.")
    if (shown := _SHOWN.fullmatch(text)) is not None:
        text = shown["name"]
    name, at, where = text.rpartition("@")
    if folder is None and at and not Path(text).exists() and Path(where).is_dir():
        text, folder = name, where
    if folder is not None:
        return _in_folder(text, Path(folder))
    if "(" in text and not Path(text).exists():
        return graph_from_text(text)
    if text in GENERATORS:
        return example_graph(text)
    if text in CONNECTOMES:
        return load_connectome(text, root=root, download=download)
    if (Path(text) / "config.json").exists():
        return _in_folder("", Path(text))
    if _KEY.fullmatch(text) and not Path(text).exists():
        raise ValueError(
            f"'{text}' is the key of a graph or a run; say in which folder it is ({text}@FOLDER)."
        )
    if not Path(text).exists() and not Path(text).suffix:
        raise ValueError(
            f"'{text}' is no file, connectome or generator; `relmp graphs list` lists the names."
            f"{did_you_mean(text, [*GENERATORS, *CONNECTOMES])}"
        )
    return load_graph(text)


def short_names(names: Sequence[str]) -> list[str]:
    """Names of graphs that are shown together, as short as they still differ.

    Of calls of one generator what differs is kept, from the left as much as is needed:
    ``ws_flex(n=64, k=13.48, p=0.2, seed=3)`` is ``k=13.48`` where no other graph has that k. The
    complete graph is ``complete``; other names stay as they are.
    """
    calls = [_call(name) for name in names]
    chosen = list(names)
    for generator in dict.fromkeys(call[0] for call in calls if call is not None):
        places = [i for i, call in enumerate(calls) if call is not None and call[0] == generator]
        arguments: list[dict[str, Any]] = [calls[i][1] for i in places]  # type: ignore[index]
        for place, text in zip(places, _differing(generator, arguments), strict=True):
            chosen[place] = text
    twice = {text for text in chosen if chosen.count(text) > 1}
    return [name if text in twice else text for name, text in zip(names, chosen, strict=True)]


def _call(name: str) -> tuple[str, dict[str, Any]] | None:
    try:
        generator, arguments = parse_call(name)
    except ValueError:
        return None
    return (generator, arguments) if arguments and generator in GENERATORS else None


def _differing(generator: str, arguments: list[dict[str, Any]]) -> list[str]:
    """What tells each call of one generator from the others; its name where all are alike."""
    varying = [
        key
        for key in dict.fromkeys(key for each in arguments for key in each)
        if len({repr(each.get(key)) for each in arguments}) > 1
    ]
    found: list[str] = []
    for each in arguments:
        others = [other for other in arguments if other != each]
        text = generator if not others else repr(each)
        for count in range(1, len(varying) + 1):
            kept = varying[:count]
            if all(_said(other, kept) != _said(each, kept) for other in others):
                text = _said(each, kept)
                break
        found.append(text)
    return found


def _said(arguments: dict[str, Any], kept: list[str]) -> str:
    return ", ".join(f"{key}={_number(arguments[key])}" for key in kept if key in arguments)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _in_folder(text: str, folder: Path) -> RelationalGraph:
    stored = list(_stored(folder))
    if not all(isinstance(graph, dict) and "key" in graph and "name" in graph for graph in stored):
        raise ValueError(f"The files in '{folder}' are damaged: a graph has no key or name.")
    graphs = {graph["key"]: graph for graph in stored}
    if not graphs:
        raise ValueError(f"'{folder}' holds no graphs; name the folder of a sweep or a run.")
    names = [str(graph["name"] or key) for key, graph in graphs.items()]
    short = short_names(names)
    for options in (graphs, names, short):
        found = [graph for graph, option in zip(graphs.values(), options, strict=True)
                 if option == text]  # fmt: skip
        if len(found) == 1 or (not text and len(graphs) == 1):
            return graph_from_dict((found or list(graphs.values()))[0])
    shown = ", ".join(short[:8]) + (f" and {len(short) - 8} more" if len(short) > 8 else "")
    raise ValueError(
        f"'{folder}' has no graph '{text}'; its graphs are {shown}.{did_you_mean(text, short)}"
    )


def _stored(folder: Path) -> Iterator[dict[str, Any]]:
    """The graphs in a folder of runs as they are written there."""
    plan = folder / "plan.json"
    if plan.exists():
        graphs = read_json(plan).get("graphs")
        if not isinstance(graphs, dict):
            raise ValueError(f"'{plan}' is damaged: it lists no graphs.")
        yield from graphs.values()
        return
    for path in sorted([*folder.glob("config.json"), *folder.glob("*/config.json")]):
        model = read_json(path).get("model")
        if not isinstance(model, dict):
            raise ValueError(f"'{path}' is damaged: it describes no model.")
        if model.get("graph") is not None:
            yield model["graph"]
