"""find_graph keeps its tolerance, or says what is nearest."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relmp.graphs import find_graph

WISHES = [
    {"clustering": 0.45, "path_length": 2.0},
    {"clustering": 0.45, "path_length": 2.0, "density": 0.3},
    {"path_length": 2.5},
    {"clustering": 0.0},
    {"clustering": 0.7, "path_length": 2.0, "density": 0.2},
    {"clustering": 1, "path_length": 1},
]


@pytest.mark.parametrize("wish", WISHES)
def test_it_is_near_enough_and_connected(wish):
    graph = find_graph(64, **wish)
    assert graph.num_nodes == 64
    assert math.isfinite(graph.path_length)
    assert abs(graph.clustering - wish.get("clustering", graph.clustering)) <= 0.01
    assert abs(graph.path_length - wish.get("path_length", graph.path_length)) <= 0.01
    assert abs(graph.density - wish.get("density", graph.density)) <= 1 / 64**2
    assert graph == find_graph(64, **wish)


def test_another_seed_gives_another_graph():
    one, two = (find_graph(32, 0.4, 2.0, seed=seed) for seed in (0, 1))
    assert one != two


@settings(max_examples=20)
@given(st.integers(4, 40), st.floats(0, 1), st.integers(0, 1000))
def test_any_density(n, share, seed):
    least = (3 * n - 2) / n**2
    density = least + share * (1 - least)
    graph = find_graph(n, density=density, seed=seed)
    assert abs(graph.density - density) <= 1 / n**2 + 1e-12
    assert math.isfinite(graph.path_length)


def test_what_cannot_be_names_the_nearest_point():
    with pytest.raises(ValueError, match=r"nearest that was reached has C=0\.9\d+, L=1\.\d+"):
        find_graph(32, clustering=0.99, path_length=1.9, density=0.9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 64}, "needs clustering, path_length or density"),
        ({"n": 2, "density": 1}, "n must be"),
        ({"n": 64, "clustering": 1.5}, "clustering must lie between 0 and 1"),
        ({"n": 64, "path_length": 0.5}, "path_length must lie between 1"),
        ({"n": 64, "path_length": 30}, "path_length must lie between 1 and 21.6"),
        ({"n": 64, "density": 0.01}, "density must lie between"),
        ({"n": 64, "clustering": 0.5, "tolerance": -1}, "tolerance must lie"),
        ({"n": 64, "clustering": 0.5, "seed": 0.5}, "seed must be"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        find_graph(**arguments)
