"""The interactive report: one HTML page that works without a network.

The page holds plotly's JavaScript, the figures, and every graph packed as bits. A point or a
table row opens its graph: drawing, adjacency matrix, measures and learning curves.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping
from importlib import resources
from string import Template
from typing import Any

import numpy as np
import pandas as pd
from plotly.offline import get_plotlyjs

from relmp.analysis.report.conclusions import Conclusions, as_json
from relmp.analysis.report.interactive import report_figures
from relmp.analysis.results import Results
from relmp.graphs import RelationalGraph
from relmp.graphs.edges import adjacency

_PAGE = resources.files("relmp.analysis.report") / "page_files"


def write_report(
    results: Results, conclusions: Conclusions, graphs: Mapping[str, RelationalGraph]
) -> str:
    """The page as text.

    Args:
        results: One task's results.
        conclusions: What ``conclude`` made of them.
        graphs: The graphs behind the keys; a point without one opens its numbers only.
    """
    data = {
        "figures": {
            name: json.loads(figure.to_json())
            for name, figure in report_figures(results, conclusions).items()
        },
        "graphs": _graphs(results, graphs, conclusions),
        "tables": as_json(_tables(conclusions)),
    }
    # "</script" would end the element that holds the data, "<!--<script" hide its end.
    text = json.dumps(as_json(data), separators=(",", ":"), allow_nan=False)
    text = text.replace("<", "\\u003c")
    sections = "\n".join(
        f"<h2>{html.escape(title)}</h2>\n"
        + "".join(f"<p>{html.escape(line)}</p>\n" for line in lines)
        for title, lines in conclusions.sections().items()
    )
    return Template(_read("page.html")).substitute(
        title=html.escape(results.task),
        style=_read("page.css"),
        plotly=get_plotlyjs(),
        script=_read("page.js"),
        verdict=_verdict(conclusions),
        sections=sections,
        data=text,
    )


def _verdict(conclusions: Conclusions) -> str:
    """The three sentences, and the numbers as a table with the calls to copy."""
    lines = "".join(f"<li>{html.escape(line)}</li>" for line in conclusions.verdict.lines)
    rows = []
    for row in conclusions.verdict.numbers.to_dict("records"):
        spread = "" if np.isnan(row["deviation"]) else f" &plusmn; {row['deviation']:.2f}"
        name, call = html.escape(row["graph"]), html.escape(row["call"])
        copied = f'<button class="copy" data-text="{call}">copy</button>' if call != name else ""
        rows.append(
            f"<tr><td>{html.escape(row['what'])}</td><td>{row['error']:.2f}{spread}</td>"
            f'<td>{html.escape(row["n"])}</td><td title="{call}">{name} {copied}</td></tr>'
        )
    head = "<tr><th></th><th>error (%)</th><th>n</th><th>graph</th></tr>"
    return f'<ol>{lines}</ol>\n<table id="numbers">{head}{"".join(rows)}</table>'


def pack_edges(graph: RelationalGraph) -> str:
    """The adjacency matrix without self-loops, row by row, as bits in base 64.

    Row i, column j is 1 where node i listens to node j. An undirected graph gives its upper
    triangle only.
    """
    matrix = adjacency(graph)
    bits = matrix if graph.is_directed else matrix[np.triu_indices(graph.num_nodes, 1)]
    return base64.b64encode(np.packbits(bits.ravel()).tobytes()).decode("ascii")


def _graphs(
    results: Results, graphs: Mapping[str, RelationalGraph], conclusions: Conclusions
) -> list[dict[str, Any]]:
    frame = results.graphs
    inside = conclusions.sweet_spot.contains(results.place(frame.index))
    curves = _curves(results)
    columns = ["num_nodes", "density", "clustering", "path_length", *results.measures, "width"]
    shown = [c for c in dict.fromkeys(columns) if c in frame.columns]
    rows = []
    errors = results.errors.round(4)
    for key, row, is_inside in zip(frame.index, frame.to_dict("records"), inside, strict=True):
        graph = graphs.get(str(key))
        rows.append(
            {
                "name": row["graph"] or str(key),
                "short": results.short[key] or str(key),
                "measures": {column: row[column] for column in shown},
                "mean": row["mean"],
                "deviation": row["deviation"],
                "n": row["n"],
                "in_spot": bool(is_inside),
                "errors": errors.loc[key].dropna().to_dict(),
                "curves": curves.get(str(key)),
                "nodes": None if graph is None else graph.num_nodes,
                "directed": None if graph is None else graph.is_directed,
                "edges": None if graph is None else pack_edges(graph),
            }
        )
    return rows


def _curves(results: Results) -> dict[str, dict[str, list[float]]]:
    """Mean train and test error by evaluated epoch, where there is more than one epoch."""
    wanted = dict.fromkeys(("train_error", results.error))  # once, where they are the same
    columns = [c for c in wanted if c in results.curves.columns]
    if results.curves["epoch"].nunique() < 2:
        return {}
    means = results.curves.groupby(["graph_key", "epoch"])[columns].mean().dropna().round(4)
    return {
        str(key): {
            "epoch": rows.index.get_level_values("epoch").tolist(),
            **{column: rows[column].tolist() for column in columns},
        }
        for key, rows in means.groupby(level="graph_key")
    }


def _tables(conclusions: Conclusions) -> dict[str, pd.DataFrame]:
    tables = {"Bins": conclusions.sweet_spot.bins.drop(columns=["column", "row"])}
    if conclusions.nested:
        tables["Measures beyond density and width"] = pd.DataFrame(conclusions.nested)
    if conclusions.matched:
        tables["The sweet spot at equal density and width"] = pd.DataFrame(conclusions.matched)
    if len(conclusions.designs):
        tables["Smallest effects that a sweep sees with a probability of 80 %"] = (
            conclusions.designs
        )
    if len(conclusions.landmarks):
        tables["Other graphs"] = conclusions.landmarks.drop(columns="graph_key")
    return tables


def _read(name: str) -> str:
    return (_PAGE / name).read_text(encoding="utf-8")
