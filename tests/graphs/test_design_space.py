"""The design space: graph for graph what networkx and Python's random numbers give."""

from __future__ import annotations

import random

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relmp.graphs import create_graph, kernels, sweep_design_space
from relmp.graphs.cache import cache_folder
from relmp.graphs.space.design_space import PROBABILITIES, SEEDS, degrees

SMALL = {"k": [4, 5.5, 9], "p": [0, 0.3, 1], "seeds": 2}


def by_networkx(graph):
    """C, its terms summed in ascending order as in the published tables, and L."""
    plain = graph.to_networkx()
    C = sum(sorted(nx.clustering(plain).values())) / len(plain)
    return C, nx.average_shortest_path_length(plain)


def assert_equal_to_networkx(space, places):
    for i, j, s in places:
        k, p, seed = float(space.k[i]), float(space.p[j]), int(space.seeds[s])
        graph = create_graph("ws_flex", n=space.n, k=k, p=p, seed=seed)
        assert (space.C[i, j, s], space.L[i, j, s]) == by_networkx(graph)


@pytest.mark.parametrize("seed", [0, 1, 29, 2**32 - 1, 2**32, 2**70])
def test_the_words_are_those_of_python(seed):
    words, rng = kernels.random_words(seed, 100_000), random.Random(seed)
    assert [rng.getrandbits(32) for _ in range(100_000)] == words.tolist()


@settings(max_examples=60)
@given(st.integers(8, 140), st.data(), st.integers(0, 2**40))
def test_a_compiled_graph_is_that_of_the_generator(n, data, seed):
    k = data.draw(st.floats(4, n))
    p = data.draw(st.sampled_from([0.0, 1.0]) | st.floats(0, 1))
    graph = create_graph("ws_flex", n=n, k=k, p=p, seed=seed)
    rows = kernels.ws_flex_rows(n, round(k * n / 2), p, seed)
    arcs = set(map(tuple, kernels.unpack(rows).T.tolist()))
    assert arcs == {(u, v) for u, v in graph.edges.T.tolist() if u != v}


def test_a_small_space_equals_networkx_everywhere():
    space = sweep_design_space(16, cache=False, **SMALL)
    assert space.C.shape == (3, 3, 2)
    assert len(space) == 18
    assert_equal_to_networkx(space, np.ndindex(3, 3, 2))


def test_long_streams_of_random_words():
    # The densest graphs with the highest p draw more than the first 65,536 words.
    space = sweep_design_space(
        64, k=degrees(64)[-3:], p=[1.0], seeds=SEEDS, cache=False, progress=False
    )
    assert kernels.measure_ws_flex(
        np.array([1984]), np.array([1.0]), kernels.random_words(0, 4000), 100,
        np.zeros((64, 1), np.uint64), np.empty(1), np.empty(1),
    ) == 0  # fmt: skip
    assert_equal_to_networkx(space, [(2, 0, s) for s in range(SEEDS)])


def test_settings_without_a_connected_graph_are_marked(monkeypatch):
    monkeypatch.setattr("relmp.graphs.space.design_space.TRIES", 1)
    space = sweep_design_space(200, k=[2], p=[0, 1], seeds=1, cache=False)
    assert np.isfinite(space.L[0, 0, 0])
    assert np.isnan(space.C[0, 1, 0])
    assert np.isinf(space.L[0, 1, 0])


def test_the_number_of_threads_does_not_matter():
    one, three = (sweep_design_space(16, cache=False, workers=w, **SMALL) for w in (1, 3))
    assert np.array_equal(one.C, three.C)
    assert np.array_equal(one.L, three.L)


def test_the_grid_is_the_papers():
    k = degrees(64)
    assert len(k) == len(PROBABILITIES) == 300
    assert (k[0], k[-1]) == (pytest.approx(8), pytest.approx(62))
    assert np.allclose(np.diff(np.sqrt(k)), np.sqrt(k[1]) - np.sqrt(k[0]))
    assert (k / 64 >= 0.125).all()
    k = degrees(16)
    assert (len(k), k[0], k[-1]) == (200, 4, pytest.approx(14))


def test_a_frame_has_the_seed_innermost():
    space = sweep_design_space(16, cache=False, **SMALL)
    frame = space.to_frame()
    assert list(frame.columns) == ["n", "k", "p", "seed", "C", "L"]
    assert frame["seed"].tolist() == [0, 1] * 9
    row = frame.iloc[7]  # place (1, 0, 1)
    assert (row.k, row.p, row.seed) == (5.5, 0, 1)
    graph = space.graph((1, 0, 1))
    assert (graph.clustering, graph.path_length) == (row.C, row.L)


def test_the_result_is_kept(tmp_path, monkeypatch):
    first = sweep_design_space(16, cache=tmp_path, **SMALL)
    (file,) = tmp_path.iterdir()
    monkeypatch.setattr(kernels, "measure_ws_flex", None)  # nothing is computed again
    assert np.array_equal(sweep_design_space(16, cache=tmp_path, **SMALL).C, first.C)
    monkeypatch.undo()
    other = sweep_design_space(16, cache=tmp_path, **{**SMALL, "seeds": 3})
    assert other.C.shape == (3, 3, 3)
    assert len(list(tmp_path.iterdir())) == 2
    file.write_bytes(file.read_bytes()[:100])  # a damaged file is computed again
    assert np.array_equal(sweep_design_space(16, cache=tmp_path, **SMALL).C, first.C)


def test_a_folder_that_cannot_be_written_warns(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.warns(UserWarning, match="could not be cached"):
        sweep_design_space(16, cache=tmp_path / "taken", **SMALL)


def test_the_cache_folder_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("RELMP_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("RELMP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_folder() == tmp_path / "relmp"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 6}, "at least 7 nodes"),
        ({"n": 0}, "n must be"),
        ({"n": 16, "k": [1]}, "All k"),
        ({"n": 16, "k": []}, "All k"),
        ({"n": 16, "p": [1.5]}, "All p"),
        ({"n": 16, "p": [float("nan")]}, "All p"),
        ({"n": 16, "seeds": 0}, "at least one seed"),
        ({"n": 16, "seeds": [1, 1]}, "only once"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        sweep_design_space(**arguments)


@pytest.mark.slow
def test_a_sample_of_the_whole_space_equals_networkx():
    space = sweep_design_space(64, progress=False)
    assert len(space) == 2_700_000
    rng = random.Random(7)
    places = [(rng.randrange(300), rng.randrange(300), rng.randrange(30)) for _ in range(300)]
    assert_equal_to_networkx(space, places)
