"""Connectomes: the published figures, and what happens where a file is missing."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from relmp.graphs import CONNECTOMES, coarsen, create_graph, load_connectome

MAMMALS = {
    "macaque_whole": (71, 746, 0.503, 2.245),
    "macaque_visual": (30, 308, 0.634, 1.589),
    "cat": (52, 820, 0.666, 1.633),
}


@pytest.mark.parametrize("name", MAMMALS)
def test_mammals_have_the_published_figures(name, shared_data):
    graph = load_connectome(name, root=shared_data / "connectomes")
    n, arcs, C, L = MAMMALS[name]
    assert graph.is_directed
    assert (graph.num_nodes, graph.num_edges - n) == (n, arcs)
    assert (round(graph.clustering, 3), round(graph.path_length, 3)) == (C, L)
    both = load_connectome(name, root=shared_data / "connectomes", undirected=True)
    assert not both.is_directed
    assert (both.clustering, both.path_length) == (graph.clustering, graph.path_length)


def test_the_row_of_the_file_is_the_source(shared_data):
    rows = (shared_data / "connectomes" / "cat.txt").read_text().split()
    graph = load_connectome("cat", root=shared_data / "connectomes")
    arcs = set(map(tuple, graph.edges.T.tolist()))
    u, v = next((u, v) for u in range(52) for v in range(52) if rows[u][v] > rows[v][u])
    assert (u, v) in arcs
    assert (v, u) not in arcs


@pytest.mark.parametrize("name", CONNECTOMES.names())
def test_each_says_what_to_cite(name):
    about = CONNECTOMES[name]
    assert about.name == name
    assert about.n > 0
    assert about.citation
    assert about.licence
    assert about.file
    assert bool(about.sha256) != bool(about.package)


@pytest.mark.parametrize("name", [name for name in CONNECTOMES if CONNECTOMES[name].package])
def test_those_of_installed_packages(name):
    about = CONNECTOMES[name]
    if importlib.util.find_spec(about.package) is None:
        pytest.skip(f"{about.package} is not installed")
    graph = load_connectome(name)
    assert graph.num_nodes == about.n
    assert graph.is_directed
    assert graph.edge_attr.shape[1] == (2 if about.package == "cect" else 1)
    assert about.package not in sys.modules


def package(monkeypatch, folder, name, files):
    """A package that must not be imported, with data files in it."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text("raise RuntimeError('imported')")
    for file, text in files.items():
        (folder / name / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / name / file).write_text(text)
    monkeypatch.syspath_prepend(folder)


def test_a_worm_without_importing_its_package(monkeypatch, tmp_path):
    n = CONNECTOMES["celegans_pharynx"].n
    chemical, gaps = np.zeros((n, n)), np.zeros((n, n))
    chemical[0, 1], gaps[1, 2], gaps[2, 1] = 8, 1, 1
    stored = {
        "nodes": [f"cell{i}" for i in range(n)],
        "connections": {"Generic_CS": chemical.tolist(), "Generic_GJ": gaps.tolist()},
    }
    files = {"cache/Cook2020DataReader.json": json.dumps(stored)}
    package(monkeypatch, tmp_path, "cect", files)
    graph = load_connectome("celegans_pharynx")
    attr = dict(zip(map(tuple, graph.edges.T.tolist()), graph.edge_attr.tolist(), strict=True))
    assert attr[0, 1] == [8, 0]
    assert attr[1, 2] == attr[2, 1] == [0, 1]
    assert (1, 0) not in attr
    assert graph.labels[1] == "cell1"
    with pytest.raises(ValueError, match="no readable Varshney"):
        load_connectome("celegans_varshney")


def test_a_fly_without_importing_its_package(monkeypatch, tmp_path):
    n = CONNECTOMES["drosophila_left"].n
    counts = np.zeros((n, n), dtype=int)
    counts[3, 4] = 7
    files = {
        "datasets/drosophila/left_adjacency.csv": "\n".join(" ".join(map(str, r)) for r in counts),
        "datasets/drosophila/left_cell_labels.csv": "\n".join("K" * n),
    }
    package(monkeypatch, tmp_path, "graspologic", files)
    graph = load_connectome("drosophila_left")
    assert graph.num_edges == n + 1
    assert graph.edge_attr.max() == 7
    assert graph.labels[3] == "K3"
    files = load_connectome("drosophila_left", undirected=True)
    assert files.num_edges == n + 2


def test_what_is_missing(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="download=True, or root="):
        load_connectome("cat", root=tmp_path)
    with pytest.raises(ValueError, match="Did you mean 'cat'"):
        load_connectome("cats")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install cect"):
        load_connectome("celegans_white")


def test_another_file_is_refused(tmp_path):
    (tmp_path / "cat.txt").write_text("01\n10\n")
    with pytest.raises(ValueError, match="not the file that is expected"):
        load_connectome("cat", root=tmp_path)


def test_a_download_is_checked(tmp_path, monkeypatch, shared_data):
    served = tmp_path / "served"
    served.mkdir()
    (served / "cat.txt").write_bytes((shared_data / "connectomes" / "cat.txt").read_bytes())
    handler = partial(SimpleHTTPRequestHandler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr("relmp.graphs.connectome.SOURCE", source)
        assert load_connectome("cat", root=tmp_path / "new", download=True).num_nodes == 52
        (served / "cat.txt").write_text("<html>")
        with pytest.raises(ValueError, match="not the file that is expected"):
            load_connectome("cat", root=tmp_path / "other", download=True)
        server.shutdown()
    assert load_connectome("cat", root=tmp_path / "new").num_nodes == 52


def test_a_download_that_fails(tmp_path, monkeypatch):
    monkeypatch.setattr("relmp.graphs.connectome.SOURCE", "http://127.0.0.1:9/")
    with pytest.raises(ValueError, match="could not be downloaded"):
        load_connectome("cat", root=tmp_path, download=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n", [1, 2, 5, 11, 12])
def test_coarsening(n):
    graph = create_graph("caveman", n=12, caves=3)
    coarse = coarsen(graph, n)
    assert coarse.num_nodes == n
    assert sorted(i for group in coarse.labels for i in group) == list(range(12))
    assert coarse.edge_attr.sum() == graph.num_edges  # every arc is counted once
    assert not coarse.is_directed
    assert np.isfinite(coarse.path_length)


def test_coarsening_finds_the_cliques():
    graph = create_graph("group", n=12, groups=3)
    coarse = coarsen(graph, 3)
    assert coarse.labels == ((0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11))
    assert coarse.num_edges == 3
    assert coarsen(graph, 2).num_nodes == 2  # nothing is joined: the lightest are merged
    assert coarsen(graph, 3) == coarse
    with pytest.raises(ValueError, match="between 1 and 12"):
        coarsen(graph, 13)


def test_coarsening_keeps_direction():
    graph = create_graph("random_directed", n=20, p=0.1, seed=3)
    assert coarsen(graph, 15).is_directed
