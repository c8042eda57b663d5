"""A plan as a file: every run of it, with each graph written once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from relmp.files import read_json, write_text
from relmp.graphs.serialise import graphs_from_dict
from relmp.training.run_config import RunConfig

PLAN_FILE = "plan.json"
FORMAT = 1


def write_plan(path: Path, plan: Sequence[RunConfig]) -> None:
    """Write a plan, whole.

    Raises:
        ValueError: If an option of a model is an object that cannot be written down.
    """
    graphs: dict[str, Any] = {}
    lines = []
    for run in plan:
        described = run.to_dict()
        graph = described["model"]["graph"]
        if graph is not None:
            graphs[graph["key"]] = graph
            described["model"] = {**described["model"], "graph": graph["key"]}
        lines.append(json.dumps({"key": run.key, **described}))
    kept = ",\n".join(f"  {json.dumps(key)}: {json.dumps(graphs[key])}" for key in graphs)
    runs = ",\n".join(f"  {line}" for line in lines)
    text = f'{{\n "format": {FORMAT},\n "graphs": {{\n{kept}\n }},\n "runs": [\n{runs}\n ]\n}}\n'
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def read_plan(path: Path) -> list[RunConfig]:
    """The inverse of :func:`write_plan`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no plan.
    """
    values = read_json(path)
    if values.get("format") != FORMAT:
        raise ValueError(
            f"'{path}' has format {values.get('format')}, and this version reads {FORMAT}; use the "
            f"version that wrote it."
        )
    try:
        # One object a graph, whose measures are then found once.
        graphs = {key: graphs_from_dict(graph) for key, graph in values["graphs"].items()}
        plan = []
        for described in values["runs"]:
            key = described["model"]["graph"]
            bare = {**described, "model": {**described["model"], "graph": None}}
            run = RunConfig.from_dict(bare)
            run = run if key is None else run.with_axis("model.graph", graphs[key])
            if described.get("key", run.key) != run.key:
                raise ValueError(f"run {described['key']} was changed")
            plan.append(run)
        return plan
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise ValueError(
            f"'{path}' holds no plan: {reason}; where it was damaged, remove it, and the sweep "
            f"writes it anew when it is started."
        ) from error


def joined(plans: Iterable[Sequence[RunConfig]]) -> list[RunConfig]:
    """The runs of several plans, each once."""
    return list({run.key: run for plan in plans for run in plan}.values())
