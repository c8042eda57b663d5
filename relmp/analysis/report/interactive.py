"""The report's figures in plotly; a point carries its graph's number as ``customdata``."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from relmp.analysis.controls.fits import slice_of
from relmp.analysis.report.conclusions import Conclusions
from relmp.analysis.report.figures import LABELS
from relmp.analysis.results import SYMBOLS, Results

_SCALE = "Viridis_r"


def report_figures(results: Results, conclusions: Conclusions) -> dict[str, go.Figure]:
    """By name: the map, error over density, the two slices, early epochs."""
    figures = {"map": _map(results, conclusions)}
    if "density" not in results.measures:
        figures["density"] = _scatter(results, "density", conclusions)
    for measure in results.measures:
        figures[f"slice_{measure}"] = _slice(results, measure, conclusions)
    if conclusions.identification.epochs:
        figures["epochs"] = _epochs(conclusions)
    return figures


def _map(results: Results, conclusions: Conclusions) -> go.Figure:
    frame = results.graphs
    x, y = results.measures
    number = np.arange(len(frame))
    complete = frame["complete"].to_numpy(dtype=np.bool_)
    figure = go.Figure()
    surface = conclusions.surface
    if surface is not None:
        figure.add_heatmap(
            x=surface.x, y=surface.y, z=surface.mean, colorscale=_SCALE, coloraxis="coloraxis",
            visible=False, hoverinfo="skip", name="smooth surface",
        )  # fmt: skip
        if surface.beats_complete is not None:
            figure.add_heatmap(
                x=surface.x, y=surface.y, z=surface.beats_complete, zmin=0, zmax=1,
                colorscale="RdYlGn", visible=False, hoverinfo="skip",
                name="probability of beating the complete graph",
                colorbar={"title": "probability", "x": 1.18},
            )  # fmt: skip
    figure.add_scatter(
        x=frame[x][~complete], y=frame[y][~complete], mode="markers", name="graphs",
        customdata=number[~complete], text=results.short[~complete],
        marker={"color": frame["mean"][~complete], "coloraxis": "coloraxis",
                "size": 5 if len(frame) > 500 else 11},
        hovertemplate="%{text}<br>" + _at(x, y) + "<br>error %{marker.color:.2f}<extra></extra>",
    )  # fmt: skip
    if complete.any():
        figure.add_scatter(
            x=frame[x][complete], y=frame[y][complete], mode="markers", name="complete graph",
            customdata=number[complete], text=frame["mean"][complete].map("{:.2f}".format),
            marker={"symbol": "star", "size": 16, "color": "red",
                    "line": {"width": 1, "color": "black"}},
            hovertemplate="complete graph<br>error %{text}<extra></extra>",
        )  # fmt: skip
    landmarks = conclusions.landmarks
    if len(landmarks):
        figure.add_scatter(
            x=landmarks[x], y=landmarks[y], text=landmarks["graph"], mode="markers+text",
            name="other graphs", textposition="top center", hoverinfo="text",
            marker={"symbol": "diamond", "size": 11, "color": "orange",
                    "line": {"width": 1, "color": "black"}},
        )  # fmt: skip
    if conclusions.sweet_spot.ranges is not None:
        (left, right), (low, high) = conclusions.sweet_spot.ranges
        figure.add_shape(
            type="rect", x0=left, x1=right, y0=low, y1=high, line={"width": 2, "color": "black"},
            label={"text": "sweet spot", "textposition": "top left"},
        )  # fmt: skip
    return figure.update_layout(
        **_layout(x, y), coloraxis={"colorscale": _SCALE, "colorbar": {"title": "error"}},
        legend={"orientation": "h", "y": 1.08},
    )  # fmt: skip


def _scatter(results: Results, over: str, conclusions: Conclusions) -> go.Figure:
    frame = results.graphs
    inside = conclusions.sweet_spot.contains(results.place(frame.index))
    figure = go.Figure()
    for name, chosen in (("outside the sweet spot", ~inside), ("in the sweet spot", inside)):
        if chosen.any():
            figure.add_scatter(
                x=frame[over][chosen], y=frame["mean"][chosen], mode="markers", name=name,
                customdata=np.flatnonzero(chosen), text=results.short[chosen],
                marker={"size": 5, "opacity": 0.6},
                hovertemplate="%{text}<br>error %{y:.2f}<extra></extra>",
            )  # fmt: skip
    return figure.update_layout(
        **_layout(over, results.error), legend={"orientation": "h", "y": 1.12}
    )


def _slice(results: Results, over: str, conclusions: Conclusions) -> go.Figure:
    graphs = slice_of(results, over)
    (other,) = [measure for measure in results.measures if measure != over]
    figure = go.Figure()
    figure.add_scatter(
        x=graphs[over], y=graphs["mean"], mode="markers", name="graphs",
        text=results.short[graphs.index],
        customdata=results.graphs.index.get_indexer(graphs.index),
        marker={"size": 5, "opacity": 0.6},
        hovertemplate="%{text}<br>error %{y:.2f}<extra></extra>",
    )  # fmt: skip
    fit = conclusions.slices[over]
    if fit is not None:
        x = np.linspace(graphs[over].min(), graphs[over].max(), 100)
        figure.add_scatter(x=x, y=fit(x), mode="lines", name=f"quadratic, R2 = {fit.r2:.2f}")
    span = (
        f"{SYMBOLS.get(other, other)} {graphs[other].min():.2f} to {graphs[other].max():.2f}"
        if len(graphs)
        else "no graphs in the slice"
    )
    return figure.update_layout(
        **_layout(over, results.error), title=span, legend={"orientation": "h", "y": 1.12}
    )


def _epochs(conclusions: Conclusions) -> go.Figure:
    epochs = conclusions.identification.epochs
    r = np.array([epoch.graphs.pearson for epoch in epochs])
    low, high = np.array([epoch.graphs.interval for epoch in epochs]).T
    figure = go.Figure()
    figure.add_scatter(
        x=[epoch.epoch for epoch in epochs], y=r, mode="lines+markers", name="correlation",
        error_y={"type": "data", "array": high - r, "arrayminus": r - low},
    )  # fmt: skip
    return figure.update_layout(**_layout("epoch", "correlation with the last epoch"))


def _layout(x: str, y: str) -> dict[str, object]:
    return {
        "template": "plotly_white",
        "xaxis": {"title": {"text": LABELS.get(x, x)}},
        "yaxis": {"title": {"text": LABELS.get(y, y)}},
        "margin": {"l": 60, "r": 20, "t": 50, "b": 50},
    }


def _at(x: str, y: str) -> str:
    return f"{SYMBOLS.get(x, x)} = %{{x:.3f}}, {SYMBOLS.get(y, y)} = %{{y:.3f}}"
