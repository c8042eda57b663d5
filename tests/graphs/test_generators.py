"""Generators: properties that hold for all parameters, and errors that say what to do."""

from __future__ import annotations

import inspect
import math
import random

import networkx as nx
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import eigsh

from relmp.graphs import GENERATORS, create_graph
from relmp.graphs.generators.expanders import is_ramanujan
from relmp.graphs.generators.gallery import EXAMPLES, example_graph

SEEDS = st.integers(0, 2**32)
ANY = settings(max_examples=40)
TORN = {"group"}  # falls apart on purpose


def make(name, **params):
    return GENERATORS[name](**params)


def degrees(graph):
    return {d for _, d in graph.degree}


# All of them ----------------------------------------------------------------------------


def test_every_generator_has_an_example():
    assert sorted(EXAMPLES) == GENERATORS.names()


@pytest.mark.parametrize("name", GENERATORS.names())
def test_the_example_is_a_simple_graph_of_n_nodes_numbered_from_0(name):
    graph = make(name, **EXAMPLES[name])
    assert list(graph) == list(range(EXAMPLES[name]["n"]))
    assert nx.number_of_selfloops(graph) == 0
    assert not graph.is_multigraph()
    if name not in TORN:
        connected = nx.is_strongly_connected if graph.is_directed() else nx.is_connected
        assert connected(graph)
    assert example_graph(name).num_nodes == EXAMPLES[name]["n"]


@pytest.mark.parametrize("name", GENERATORS.names())
def test_it_says_what_it_does(name):
    function = GENERATORS[name]
    assert function.__name__ == f"{name}_graph"
    assert inspect.getdoc(function)


@pytest.mark.parametrize("name", [name for name in EXAMPLES if "seed" in EXAMPLES[name]])
def test_the_seed_alone_decides(name):
    one, same = (make(name, **EXAMPLES[name]) for _ in range(2))
    other = make(name, **{**EXAMPLES[name], "seed": 4})
    assert set(one.edges) == set(same.edges) != set(other.edges)


@pytest.mark.parametrize("name", GENERATORS.names())
@pytest.mark.parametrize("n", [0, -1, 2.5, True, None])
def test_n_must_count_nodes(name, n):
    with pytest.raises(ValueError, match="n must be a whole number"):
        make(name, **{**EXAMPLES[name], "n": n})


def test_create_graph_names_what_it_made():
    assert create_graph("cycle", n=4).name == "cycle(n=4)"
    assert create_graph("cycle", n=4, name="ring").name == "ring"
    assert create_graph(nx.cycle_graph, n=4) == create_graph("cycle", n=4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"generator": "ws_flexx", "n": 4}, "Did you mean 'ws_flex'"),
        ({"generator": "cycle"}, "missing a required argument: 'n'; it takes n"),
        ({"generator": "cycle", "n": 4, "m": 2}, "unexpected keyword argument 'm'"),
    ],
)
def test_create_graph_explains_bad_calls(call, message):
    with pytest.raises(ValueError, match=message):
        create_graph(**call)


# Small worlds ---------------------------------------------------------------------------


@ANY
@given(st.integers(8, 40), st.data(), SEEDS)
def test_ws_flex_has_its_edges(n, data, seed):
    k = data.draw(st.floats(3, n - 1))
    p = data.draw(st.floats(0, 1))
    graph = make("ws_flex", n=n, k=k, p=p, seed=seed)
    assert graph.number_of_edges() == round(k * n / 2)
    assert nx.is_connected(graph)


@ANY
@given(st.integers(3, 30), st.data())
def test_ws_flex_without_rewiring_is_a_ring_lattice(n, data):
    k = data.draw(st.integers(1, (n - 1) // 2)) * 2
    expected = nx.circulant_graph(n, range(1, k // 2 + 1))
    for graph in (make("ws_flex", n=n, k=k, p=0, seed=1), make("ring_lattice", n=n, k=k)):
        assert set(map(frozenset, graph.edges)) == set(map(frozenset, expected.edges))


@ANY
@given(st.integers(6, 40), st.data(), SEEDS)
def test_watts_strogatz(n, data, seed):
    k = data.draw(st.integers(2, (n - 1) // 2)) * 2
    p = data.draw(st.floats(0, 1))
    graph = make("watts_strogatz", n=n, k=k, p=p, seed=seed)
    assert graph.number_of_edges() == n * k // 2
    assert nx.is_connected(graph)


def test_a_stream_of_random_numbers_goes_on():
    rng = random.Random(5)
    one, two = (make("ws_flex", n=20, k=4, p=0.5, seed=rng) for _ in range(2))
    assert set(one.edges) != set(two.edges)
    assert set(one.edges) == set(make("ws_flex", n=20, k=4, p=0.5, seed=5).edges)


# Classic --------------------------------------------------------------------------------


@ANY
@given(st.integers(1, 40))
def test_complete_path_star_tree(n):
    assert make("complete", n=n).number_of_edges() == n * (n - 1) // 2
    for name in ("path", "star", "tree"):
        assert nx.is_tree(make(name, n=n))
    assert max(degrees(make("star", n=n))) == n - 1
    assert max(degrees(make("path", n=n))) == min(2, n - 1)


@ANY
@given(st.integers(1, 60), st.integers(1, 5))
def test_tree_branches(n, branching):
    tree = make("tree", n=n, branching=branching)
    assert nx.is_tree(tree)
    assert max(degrees(tree)) <= branching + 1


@given(st.integers(3, 40))
def test_cycle(n):
    graph = make("cycle", n=n)
    assert degrees(graph) == {2}
    assert nx.is_connected(graph)


@given(st.integers(2, 9), st.integers(2, 9))
def test_grid(rows, columns):
    graph = make("grid", n=rows * columns, rows=rows)
    assert graph.number_of_edges() == rows * (columns - 1) + columns * (rows - 1)
    assert nx.is_connected(graph)
    assert nx.is_bipartite(graph)


@given(st.integers(3, 9), st.integers(3, 9))
def test_torus(rows, columns):
    graph = make("torus", n=rows * columns, rows=rows)
    assert degrees(graph) == {4}
    assert nx.is_connected(graph)


def test_grids_are_as_square_as_they_can_be():
    assert nx.diameter(make("grid", n=12)) == 5  # 3 x 4
    assert nx.is_isomorphic(make("grid", n=7, rows=1), nx.path_graph(7))


@given(st.integers(0, 7))
def test_hypercube(d):
    graph = make("hypercube", n=2**d)
    assert degrees(graph) == {d}
    assert all((u ^ v).bit_count() == 1 for u, v in graph.edges)


@ANY
@given(st.integers(3, 30), st.data())
def test_harary_is_as_connected_as_its_edges_allow(n, data):
    edges = data.draw(st.integers(n - 1, n * (n - 1) // 2))
    graph = make("harary", n=n, k=2 * edges / n)
    assert graph.number_of_edges() == edges
    assert nx.node_connectivity(graph) == 2 * edges // n


# Random ---------------------------------------------------------------------------------


@ANY
@given(st.integers(1, 30), SEEDS)
def test_erdos_renyi(n, seed):
    assert make("erdos_renyi", n=n, p=1, seed=seed).number_of_edges() == n * (n - 1) // 2
    assume(n > 5)
    assert nx.is_connected(make("erdos_renyi", n=n, p=0.5, seed=seed))


@ANY
@given(st.integers(2, 40), st.data(), SEEDS)
def test_barabasi_albert_and_powerlaw_cluster(n, data, seed):
    m = data.draw(st.integers(1, n - 1))
    graph = make("barabasi_albert", n=n, m=m, seed=seed)
    assert graph.number_of_edges() == m * (n - m)
    assert nx.is_connected(graph)
    clustered = make("powerlaw_cluster", n=n, m=m, p=0.5, seed=seed)
    assert clustered.number_of_edges() <= m * (n - m)


@ANY
@given(st.integers(4, 30), st.data(), SEEDS)
def test_stochastic_block(n, data, seed):
    blocks = data.draw(st.integers(1, n // 2))
    graph = make("stochastic_block", n=n, blocks=blocks, p_in=1, p_out=0.3, seed=seed, tries=1000)
    assert nx.is_connected(graph)
    first = range(n // blocks + (n % blocks > 0))
    assert all(graph.has_edge(u, v) for u in first for v in first if u < v)
    assert "partition" not in graph.graph


@ANY
@given(st.integers(1, 25), SEEDS)
def test_random_geometric(n, seed):
    graph = make("random_geometric", n=n, radius=0.8, seed=seed)
    place = nx.get_node_attributes(graph, "pos")
    for u in graph:
        for v in range(u):
            assert graph.has_edge(u, v) == (math.dist(place[u], place[v]) <= 0.8)


@ANY
@given(st.integers(1, 25), st.data(), SEEDS)
def test_random_directed(n, data, seed):
    k = data.draw(st.integers(0, n - 1))
    graph = make("random_in_regular", n=n, k=k, seed=seed)
    assert {d for _, d in graph.in_degree} == {k}
    full = make("random_directed", n=n, p=1, seed=seed)
    assert full.number_of_edges() == n * (n - 1)
    assert create_graph("random_directed", n=20, p=0.3, seed=seed).is_directed


# Structured -----------------------------------------------------------------------------


@given(st.integers(1, 6), st.integers(1, 8))
def test_group(groups, size):
    graph = make("group", n=groups * size, groups=groups)
    assert nx.number_connected_components(graph) == groups
    assert degrees(graph) == {size - 1}


@given(st.integers(1, 8), st.integers(3, 8))
def test_caveman(caves, size):
    graph = make("caveman", n=caves * size, caves=caves)
    assert nx.is_connected(graph)
    assert graph.number_of_edges() == caves * size * (size - 1) // 2


@given(st.integers(1, 7), st.integers(1, 7))
def test_monarch_reaches_everyone_in_two_rounds(rows, columns):
    graph = make("monarch", n=rows * columns, rows=rows)
    assert degrees(graph) == {rows + columns - 2}
    assert nx.diameter(graph) <= 2


@given(st.integers(0, 6), st.data())
def test_flat_butterfly(depth, data):
    n = 2**depth
    levels = data.draw(st.integers(0, depth))
    graph = make("flat_butterfly", n=n, levels=levels)
    assert nx.number_connected_components(graph) == 2 ** (depth - levels)
    assert degrees(graph) == {levels}
    hubs = make("flat_butterfly", n=n, levels=levels, hubs=1)
    assert nx.is_connected(hubs)
    cube = make("hypercube", n=n)
    assert set(map(frozenset, make("flat_butterfly", n=n).edges)) == set(map(frozenset, cube.edges))


# Expanders ------------------------------------------------------------------------------


@ANY
@given(st.integers(4, 40), st.data(), SEEDS)
def test_random_regular(n, data, seed):
    d = data.draw(st.integers(3, n - 1).filter(lambda d: n * d % 2 == 0))
    graph = make("random_regular", n=n, d=d, seed=seed)
    assert degrees(graph) == {d}
    assert nx.is_connected(graph)


@ANY
@given(st.integers(8, 40), st.integers(3, 6), SEEDS)
def test_ramanujan(n, d, seed):
    assume(n * d % 2 == 0)
    graph = make("ramanujan", n=n, d=d, seed=seed)
    assert is_ramanujan(graph)
    values = np.sort(np.abs(np.linalg.eigvalsh(nx.to_numpy_array(graph))))
    assert values[values < d - 1e-9].max() <= 2 * math.sqrt(d - 1) + 1e-9


@given(st.sampled_from([5, 13, 17, 29, 37, 41, 53, 61]))
def test_paley(n):
    graph = make("paley", n=n)
    assert degrees(graph) == {(n - 1) // 2}
    assert nx.is_isomorphic(graph, nx.complement(graph)) if n < 20 else True
    assert is_ramanujan(graph)


@given(st.integers(1, 9))
def test_margulis(root):
    graph = make("margulis", n=root * root)
    assert max(degrees(graph)) <= 8
    assert nx.is_connected(graph)


@pytest.mark.parametrize(("n", "d"), [(2184, 6), (2448, 14)])
def test_lps_is_ramanujan(n, d):
    graph = make("lps", n=n, d=d)
    assert len(graph) == n
    assert degrees(graph) == {d}
    matrix = nx.to_scipy_sparse_array(graph, dtype=np.float64)
    values = np.abs(eigsh(matrix, k=4, return_eigenvectors=False, v0=np.arange(1.0, n + 1)))
    assert values[values < d - 1e-6].max() <= 2 * math.sqrt(d - 1)


# Errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("ws_flex", {"n": 8, "k": 9, "p": 0}, "k must lie between 2 and 8"),
        ("ws_flex", {"n": 8, "k": math.nan, "p": 0}, "k must lie between"),
        ("ws_flex", {"n": 8, "k": 4, "p": 1.1}, "p must lie between 0 and 1"),
        ("ws_flex", {"n": 8, "k": 4, "p": "a"}, "p must lie between 0 and 1"),
        ("ws_flex", {"n": 2000, "k": 2, "p": 1, "seed": 1, "tries": 2}, "no connected graph in 2"),
        ("ws_flex", {"n": 8, "k": 4, "p": 0, "tries": 0}, "tries must be"),
        ("ring_lattice", {"n": 8, "k": 8}, "k must lie between 2 and 7"),
        ("watts_strogatz", {"n": 8, "k": 3, "p": 0}, "k must be even"),
        ("watts_strogatz", {"n": 8, "k": 8, "p": 0}, "k must be a whole number between 2 and 7"),
        ("cycle", {"n": 2}, "at least 3"),
        ("grid", {"n": 7}, "make no rectangle"),
        ("grid", {"n": 12, "rows": 5}, "5 does not divide 12"),
        ("torus", {"n": 8}, "make no rectangle of 3 rows"),
        ("torus", {"n": 8, "rows": 4}, "between 3 and 2"),
        ("hypercube", {"n": 60}, "nearest that fits is 32 or 64"),
        ("tree", {"n": 8, "branching": 0}, "branching must be"),
        ("harary", {"n": 8, "k": 1}, "at least 7 edges"),
        ("harary", {"n": 8, "k": 8}, "k must lie between 0 and 7"),
        ("erdos_renyi", {"n": 8, "p": -0.1}, "p must lie between 0 and 1"),
        ("erdos_renyi", {"n": 8, "p": 0}, "no connected graph in 100 tries"),
        ("barabasi_albert", {"n": 8, "m": 8}, "m must be a whole number between 1 and 7"),
        ("powerlaw_cluster", {"n": 8, "m": 2, "p": 2}, "p must lie between"),
        ("stochastic_block", {"n": 4, "blocks": 5, "p_in": 1, "p_out": 1}, "blocks must be"),
        ("stochastic_block", {"n": 4, "blocks": 2, "p_in": 1, "p_out": 0}, "no connected graph"),
        ("random_geometric", {"n": 9, "radius": -1}, "radius must lie between"),
        ("random_directed", {"n": 9, "p": 0.01, "seed": 0}, "no connected graph"),
        ("random_in_regular", {"n": 9, "k": 9}, "k must be a whole number between 0 and 8"),
        ("random_regular", {"n": 9, "d": 3}, "both odd"),
        ("random_regular", {"n": 9, "d": 9}, "d must be a whole number between 2 and 8"),
        ("ramanujan", {"n": 40, "d": 3, "tries": 0}, "tries must be"),
        ("margulis", {"n": 60}, "nearest that fits is 49 or 64"),
        ("paley", {"n": 64}, "nearest that fits is 61 or 73"),
        ("lps", {"n": 64, "d": 6}, "with d=6 there is n = 2184, 4896"),
        ("lps", {"n": 64, "d": 5}, "d - 1 must be"),
        ("group", {"n": 10, "groups": 3}, "3 does not divide 10"),
        ("caveman", {"n": 10, "caves": 5}, "at least 3 nodes"),
        ("monarch", {"n": 10}, "nearest that fits is 9 or 16"),
        ("flat_butterfly", {"n": 12}, "nearest that fits is 8 or 16"),
        ("flat_butterfly", {"n": 16, "levels": 5}, "levels must be"),
    ],
)
def test_impossible_parameters(name, params, message):
    with pytest.raises(ValueError, match=message):
        make(name, **params)
