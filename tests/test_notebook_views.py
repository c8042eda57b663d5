"""What a notebook shows: figures, graphs, runs, sweet spots, progress."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import relmp
from relmp.progress import progress
from tests.analysis.planted import bowl, planted_table

RING = relmp.RelationalGraph.from_edges([(0, 1), (1, 2), (2, 3), (3, 0)], directed=True)


def test_figures_show_themselves_whatever_was_imported() -> None:
    code = (
        "import sys, relmp; graph = relmp.create_graph('cycle', n=8); figure = graph.draw(); "
        "assert figure._repr_png_()[1:4] == b'PNG'; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_graphs_are_drawn_into_given_axes() -> None:
    figure = Figure()
    ax = figure.add_subplot()
    assert relmp.draw_graph(RING, ax=ax) is figure
    assert RING.draw("matrix", ax=ax) is figure
    (image,) = ax.images
    shown = np.asarray(image.get_array()).astype(bool)
    assert shown[1, 0], "node 1 (row, target) hears node 0 (column, source)"
    assert not shown[0, 1]
    with pytest.raises(ValueError, match="has 4 panels, so ax is a sequence of 4 axes"):
        relmp.draw_graph(RING, ax=[ax])


def test_a_round_is_drawn_as_its_weight_lies() -> None:
    layer = relmp.RelationalLinear(RING, 8, 12)
    figure = relmp.draw_round(layer)
    matrices = [axes for axes in figure.axes if axes.images]
    nodes, channels = (axes.images[0].get_array() for axes in matrices)
    dense = layer.to_dense().weight.detach()
    assert channels.shape == (12, 8)
    np.testing.assert_allclose(channels.filled(0), dense.abs(), rtol=1e-6)
    assert (~nodes.mask).tolist() == [[i in (j, (j + 1) % 4) for j in range(4)] for i in range(4)]
    block = dense[3:6, 0:2].square().mean().sqrt()
    assert nodes[1, 0] == pytest.approx(float(block), rel=1e-5)
    labels = [(axes.get_xlabel(), axes.get_ylabel()) for axes in matrices]
    assert labels[1] == ("source channel (column of weight)", "target channel (row of weight)")
    gated = relmp.draw_round(relmp.Round(RING, 8, 8, message="gated"))
    assert "who hears whom" in gated.axes[1].get_title()
    with pytest.raises(ValueError, match="A round is drawn, but Linear was given"):
        relmp.draw_round(torch.nn.Linear(2, 2))  # type: ignore[arg-type]


def test_graphs_runs_and_sweet_spots_have_a_face(tmp_path: Path) -> None:
    named = relmp.RelationalGraph.from_edges([(0, 1), (1, 2)], name="<b>x</b>")
    face = named._repr_html_()
    assert "&lt;b&gt;x" in face
    assert face.count("<circle") == 3
    assert named.key in face
    model = relmp.create_model("mlp", named, in_features=64, width=12)
    relmp.train(model, "digits", epochs=1, train_size=64, out=tmp_path)
    face = relmp.load_run(tmp_path)._repr_html_()
    assert "1 of 1, seed 0" in face
    assert "<b>x" not in face
    spot = relmp.find_sweet_spot(planted_table(bowl, seed=0))
    assert spot.describe()[:20] in spot._repr_html_()
    ax = Figure().add_subplot()
    assert relmp.plot_sweet_spot(planted_table(bowl, seed=0), spot, ax=ax) is ax.figure


def test_progress_is_a_widget_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []

    class Handle:
        def update(self, bar: Any) -> None:
            shown.append(bar)

    def display(bar: Any, display_id: bool) -> Handle:
        shown.append(bar)
        return Handle()

    shell = types.SimpleNamespace(kernel=object())
    package = types.ModuleType("IPython")
    package.get_ipython = lambda: shell  # type: ignore[attr-defined]
    inner = types.ModuleType("IPython.display")
    inner.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", inner)
    with progress("epochs", 2) as advance:
        advance(1, "first")
        advance(1, "a <note>")
    assert repr(shown[0]) == "epochs: 0 of 2"
    last = shown[-1]._repr_html_()
    assert "value='2.00'" in last
    assert "a &lt;note&gt;" in last
