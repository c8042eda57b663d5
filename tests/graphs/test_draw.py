"""Pictures: every view of every kind of graph can be drawn, without global state."""

from __future__ import annotations

import subprocess
import sys

import pytest

from relmp.graphs import create_graph
from relmp.graphs.draw import VIEWS, attainable_region, draw_gallery, draw_graph


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", ["ws_flex", "random_directed", "group", "path"])
def test_every_view(view, name, tmp_path):
    params = {
        "ws_flex": {"n": 64, "k": 8, "p": 0.1, "seed": 0},
        "random_directed": {"n": 12, "p": 0.4, "seed": 0},
        "group": {"n": 8, "groups": 2},
        "path": {"n": 1},
    }
    figure = draw_graph(create_graph(name, **params[name]), [view])
    figure.savefig(tmp_path / "graph.png")
    assert (tmp_path / "graph.png").stat().st_size > 1000
    assert len(figure.axes) == 1


def test_all_views_at_once_and_a_large_graph():
    assert len(draw_graph(create_graph("cycle", n=10)).axes) == 4
    assert len(draw_graph(create_graph("cycle", n=500)).axes) == 2


def test_drawing_leaves_pyplot_alone():
    """pyplot keeps figures and a backend for the whole process; asked in a process of its own."""
    code = (
        "import sys; from relmp.graphs import create_graph; "
        "from relmp.graphs.draw import draw_gallery, draw_graph; "
        "draw_graph(create_graph('cycle', n=10)); draw_gallery(['star']); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"


def test_the_gallery_has_a_panel_each():
    figure = draw_gallery(["cycle", "star"])
    assert [axes.get_title().split("\n")[0] for axes in figure.axes] == ["cycle", "star"]


@pytest.mark.parametrize("n", [5, 16, 20, 64, 201])
def test_the_attainable_region(n):
    C, L = attainable_region(n)
    assert len(C) == len(L)
    assert (len(C) > 100) == (7 <= n <= 200)
    assert ((C >= 0) & (C <= 1) & (L >= 1)).all()


def test_an_unknown_view():
    with pytest.raises(ValueError, match="choose of circular, spring, matrix, plane"):
        draw_graph(create_graph("cycle", n=5), ["round"])
