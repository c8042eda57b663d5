"""bio2art's connectomes, regions as neurons, null models."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from relmp.graphs import (
    CONNECTOMES,
    RelationalGraph,
    create_graph,
    load_connectome,
    neuron_densities,
    null_graphs,
    null_model,
    region_sizes,
    scale_connectome,
)
from relmp.graphs.brains.nulls import NULLS
from relmp.graphs.brains.scaling import weight_matrix

# Regions, density and (C, L) as given; units and arcs at 4 neurons a region.
PUBLISHED = {
    "bio2art_drosophila": (49, 0.83, 0.92, 1.11, 196, 23_988),
    "bio2art_human": (57, 0.20, 0.55, 2.14, 228, 8_268),
    "bio2art_macaque": (29, 0.66, 0.86, 1.21, 116, 6_780),
    "bio2art_marmoset": (55, 0.63, 0.83, 1.25, 220, 23_004),
    "bio2art_mouse_cortex": (19, 0.96, 0.99, 1.01, 76, 4_176),
    "bio2art_mouse": (56, 0.64, 0.86, 1.19, 224, 24_372),
}


@pytest.fixture(scope="module")
def brains(shared_data):
    root = shared_data / "connectomes"
    if not (root / "bio2art").is_dir():
        pytest.skip(f"bio2art's connectomes are not in '{root}'")
    return partial(load_connectome, root=root, self_loops=False)


@pytest.mark.parametrize("name", PUBLISHED)
def test_they_have_the_published_figures(brains, name):
    n, density, C, L, units, arcs = PUBLISHED[name]
    graph = brains(name)
    assert graph.num_nodes == n
    assert round(graph.num_edges / (n * (n - 1)), 2) == density
    assert (graph.clustering, graph.path_length) == pytest.approx((C, L), abs=0.006)
    assert graph.is_directed == (name != "bio2art_human")
    assert graph.num_self_loops == 0
    assert len(graph.labels) == n
    assert CONNECTOMES[name].citation
    scaled = scale_connectome(graph, 4)
    assert (scaled.num_nodes, scaled.num_edges) == (units, arcs)
    assert region_sizes(scaled) == (4,) * n


def test_the_row_of_the_file_is_the_source(brains, shared_data):
    stored = np.loadtxt(shared_data / "connectomes" / "bio2art" / "Macaque_Normalized.txt")
    graph = brains("bio2art_macaque")
    assert not np.array_equal(stored, stored.T)
    edges, weights = graph.edges, graph.edge_attr[:, 0].numpy()
    assert np.array_equal(stored[edges[0], edges[1]], weights)
    assert graph.num_edges == (stored != 0).sum()
    with_loops = load_connectome("bio2art_macaque", root=shared_data / "connectomes")
    assert with_loops.num_edges == graph.num_edges + 29


@pytest.mark.parametrize(
    ("options", "arcs"),
    [
        ({"targets": 0.1, "intrinsic_weight": None}, 6_770),
        ({"targets": 0.8, "intrinsic_weight": None}, 54_160),
        ({"targets": 0.8, "loops": True}, 58_560),
        ({"targets": 0.8, "loops": True, "intrinsic_targets": 0.5}, 56_360),
    ],
)
def test_bio2arts_counts(brains, options, arcs):
    neurons = [10] * 29
    neurons[4] = 40
    scaled = scale_connectome(brains("bio2art_macaque"), neurons, partition="uniform", **options)
    assert scaled.num_edges == arcs
    assert scaled.num_nodes == 320
    assert region_sizes(scaled) == tuple(neurons)


@pytest.mark.parametrize("partition", ["random", "uniform", "equal"])
def test_weights_are_shared_out(partition):
    matrix = np.array([[0.0, 2.0, 0.0], [0.5, 0.0, 3.0], [1.0, 0.0, 0.0]])
    source, target = np.nonzero(matrix)
    graph = RelationalGraph(3, np.stack([source, target]), matrix[source, target], self_loops=False)
    neurons = np.array([3, 5, 4])
    scaled = scale_connectome(
        graph, neurons, targets=0.5, intrinsic_weight=0.75, partition=partition, seed=3
    )
    weights = weight_matrix(scaled)
    assert (weights >= 0).all()
    region = np.repeat(np.arange(3), neurons)
    for i in range(3):
        inside = weights[np.ix_(region == i, region == i)]
        assert np.diag(inside).sum() == 0
        assert (inside != 0).sum() == neurons[i] * (neurons[i] - 1)
        assert inside.sum() == pytest.approx(matrix[:, i].sum() * 0.75 / 0.25)
        for j in range(3):
            block = weights[np.ix_(region == i, region == j)]
            if i != j:
                assert block.sum() == pytest.approx(matrix[i, j])
                spoken = (block != 0).sum(1)
                # round(2.5) is 2: halves go to the even number
                assert (spoken == ([2, 2, 2][j] if matrix[i, j] else 0)).all()
                if partition == "equal" and matrix[i, j]:
                    assert np.ptp(block[block != 0]) < 1e-12
    again = scale_connectome(
        graph, neurons, targets=0.5, intrinsic_weight=0.75, partition=partition, seed=3
    )
    other = scale_connectome(graph, neurons, targets=0.5, partition=partition, seed=4)
    assert again == scaled
    assert other != scaled


def test_a_neuron_speaks_to_itself_only_where_it_may(brains):
    graph = brains("bio2art_mouse_cortex")
    assert scale_connectome(graph, 3).num_self_loops == 0
    assert scale_connectome(graph, 3, loops=True).num_self_loops == 3 * 19
    # One neuron a region: nothing is left inside but itself.
    assert scale_connectome(graph, 1).num_edges == graph.num_edges
    assert scale_connectome(graph, 1, loops=True).num_edges == graph.num_edges + 19


def test_neurons_by_density(brains, shared_data):
    marmoset, root = brains("bio2art_marmoset"), shared_data / "connectomes"
    ratio = scale_connectome(marmoset, "density(factor=2)", root=root, partition="equal")
    rank = scale_connectome(
        marmoset, "density(scale='rank', factor=2)", root=root, partition="equal", targets=0.01
    )
    assert (ratio.num_nodes, rank.num_nodes) == (149, 3_080)
    density = neuron_densities("bio2art_marmoset", root=root)
    assert np.array_equal(np.argsort(density), np.argsort(region_sizes(rank)))
    macaque = brains("bio2art_macaque")
    with pytest.raises(ValueError, match="density of 5 regions is NaN"):
        scale_connectome(macaque, "density", root=root)
    filled = np.nan_to_num(neuron_densities("bio2art_macaque", root=root), nan=40_000.0)
    assert scale_connectome(macaque, "density", densities=filled).num_nodes > 29
    with pytest.raises(ValueError, match="no neuron densities of connectome 'bio2art_human'"):
        scale_connectome(brains("bio2art_human"), "density", root=root)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neurons": [3, 4]}, "neurons has 2 numbers, but the connectome has 4 regions"),
        ({"neurons": 0}, "at least 1"),
        ({"neurons": 10**5}, "too many"),
        ({"neurons": "many"}, "is no number of neurons"),
        ({"neurons": "density", "densities": [1.0, 2.0]}, "2 densities for 4 regions"),
        ({"neurons": "density", "densities": [1.0, 2.0, np.nan, 0.0]}, "density of 2 regions"),
        ({"targets": 1.5}, "targets must be a number"),
        ({"intrinsic_weight": 1.0}, "intrinsic_weight must be a number"),
        ({"partition": "half"}, "partition must be one of"),
        ({"neurons": 40}, "too many for partition='random'"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_bad_input(options, message):
    graph = create_graph("complete", n=4)
    with pytest.raises(ValueError, match=message):
        scale_connectome(graph, **options)


def test_weights_that_are_not_known():
    several = RelationalGraph(3, [[0, 1], [1, 2]], [[1, 2], [3, 4]], self_loops=False)
    with pytest.raises(ValueError, match="has 2 attributes an edge"):
        scale_connectome(several)
    with pytest.raises(ValueError, match="must not be negative"):
        scale_connectome(RelationalGraph(2, [[0], [1]], [-1.0]))
    with pytest.raises(ValueError, match="which neurons belong to a region"):
        region_sizes(create_graph("complete", n=4))


def counted(graph):
    """Out- and in-degrees, and how many of both directions, without self-loops."""
    there = weight_matrix(graph) != 0
    np.fill_diagonal(there, False)
    both = there & there.T
    return there.sum(1), there.sum(0), both.sum(0)


@pytest.mark.parametrize("kind", NULLS)
def test_null_models_keep_what_they_say(kind):
    rng = np.random.default_rng(0)
    matrix = np.where(rng.random((30, 30)) < 0.2, rng.random((30, 30)), 0)
    source, target = np.nonzero(matrix)
    brain = RelationalGraph(
        30, np.stack([source, target]), matrix[source, target], self_loops=False, name="brain"
    )
    null = null_model(brain, kind, seed=1)
    assert null.name == f"{kind} of brain, seed 1"
    assert null != brain
    assert null.num_edges == brain.num_edges
    assert np.array_equal(np.diag(weight_matrix(null)), np.diag(matrix))
    assert null == null_model(brain, kind, seed=1)
    assert null != null_model(brain, kind, seed=2)
    here, there = counted(brain), counted(null)
    if kind in ("degrees", "reciprocity"):
        assert np.array_equal(here[0], there[0])
        assert np.array_equal(here[1], there[1])
    if kind == "reciprocity":
        assert np.array_equal(here[2], there[2])
    if kind != "random":
        assert np.allclose(np.sort(brain.edge_attr[:, 0]), np.sort(null.edge_attr[:, 0]))
    changed = ((weight_matrix(null) != 0) != (matrix != 0)).sum()
    assert changed > 0.5 * brain.num_edges


@pytest.mark.parametrize("kind", NULLS)
def test_null_models_of_undirected_graphs_are_undirected(kind):
    brain = create_graph("ws_flex", n=24, k=6, p=0.1, seed=0)
    null = null_model(brain, kind)
    assert not null.is_directed
    assert null.edge_attr is None
    assert null.num_edges == brain.num_edges
    assert null.num_self_loops == 24


def test_null_models_by_kind_and_seed():
    brain = create_graph("random_directed", n=12, p=0.4, seed=0)
    found = null_graphs(brain, ["shuffled", "degrees"], 3)
    assert list(found) == [(k, s) for k in ("shuffled", "degrees") for s in range(3)]
    assert len(set(found.values())) == 6
    with pytest.raises(ValueError, match="Did you mean 'shuffled'"):
        null_model(brain, "shufled")


def test_a_download_is_checked(tmp_path, monkeypatch, shared_data):
    served = tmp_path / "served"
    served.mkdir()
    stored = shared_data / "connectomes" / "bio2art"
    np.save(served / "C_Macaque_Normalized.npy", np.loadtxt(stored / "Macaque_Normalized.txt"))
    density = np.loadtxt(stored / "Macaque_Normalized.neuron_density.txt")
    np.save(served / "ND_Macaque_Normalized.npy", density)
    np.save(served / "C_Drosophila.npy", np.eye(3))
    handler = partial(SimpleHTTPRequestHandler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr("relmp.graphs.brains.bio2art.SOURCE", source)
        here = tmp_path / "new"
        graph = load_connectome("bio2art_macaque", root=here, download=True)
        assert graph.num_nodes == 29
        assert np.isnan(neuron_densities("bio2art_macaque", root=here, download=True)).sum() == 5
        with pytest.raises(ValueError, match="not the file that is expected"):
            load_connectome("bio2art_drosophila", root=here, download=True)
        server.shutdown()
    assert load_connectome("bio2art_macaque", root=here) == graph
    with pytest.raises(ValueError, match="Neither Mouse_Ypma_Oh.txt nor C_Mouse_Ypma_Oh.npy"):
        load_connectome("bio2art_mouse", root=here)
    (here / "C_Mouse_Ypma_Oh.npy").write_bytes(b"<html>")
    with pytest.raises(ValueError, match="holds no numbers"):
        load_connectome("bio2art_mouse", root=here)
