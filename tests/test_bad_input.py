"""What is wrong gets one sentence, before work starts; what is plainly meant is taken."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from torch import nn

import relmp
from relmp.cli import main
from relmp.graphs import create_graph

GRAPH = create_graph("ws_flex", n=16, k=4, p=0.2, seed=1)


def model(**options: Any) -> Any:
    return relmp.create_model("mlp", graph=GRAPH, in_features=64, width=32, **options)


def train(**settings: Any) -> Any:
    return relmp.train(model(), **{"epochs": 1, **settings})


TOO_LARGE = [
    "hypercube(n=134217727)", "paley(n=99999999)", "flat_butterfly(n=134217727)",
    "random_in_regular(n=1000000, k=4)", "complete(n=1000000)", "complete(n=9223372036854775808)",
    "complete(n=65536)", "erdos_renyi(n=60000, p=0.5)", "caveman(n=60000, caves=2)",
    "random_geometric(n=60000, radius=1)", "star(n=100000000)", "ws_flex(n=60000, k=1000, p=0.1)",
    "stochastic_block(n=60000, blocks=2, p_in=0.5, p_out=0.1)", "paley(n=65521)",
    "group(n=60000, groups=2)", "barabasi_albert(n=60000, m=1000)",
]  # fmt: skip


@pytest.mark.parametrize("text", TOO_LARGE)
def test_what_no_machine_holds_is_refused_at_once(text: str) -> None:
    began = time.monotonic()
    with pytest.raises(ValueError, match="A generated graph has at most"):
        relmp.parse_graph(text)
    assert time.monotonic() - began < 5, "it began to work"


def test_large_graphs_within_the_limits() -> None:
    assert relmp.parse_graph("random_in_regular(n=20000, k=4, seed=1)").num_edges == 100_000
    assert relmp.parse_graph("hypercube(n=4096)").num_edges == 4096 * 13


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: relmp.parse_graph("ws_flex(n=8,k=4,p=.1,seed=[1])"), "seed must be a whole"),
        (lambda: relmp.parse_graph("ws_flex(n={[]:1})"), "is no graph"),
        (lambda: relmp.parse_graph("complete(n=16,generator=3)"), "is no graph"),
        (lambda: relmp.parse_graph("complete(n=16,n=16)"), "an argument is there twice"),
        (lambda: relmp.parse_graph("complete(n=True)"), "n must be a whole number"),
        (lambda: relmp.parse_graph("complete"[:-2]), "Did you mean 'complete'"),
        (
            lambda: relmp.parse_graph("stochastic_block(n=9,blocks=3,p_in=1e-300,p_out=0)"),
            "no connected graph",
        ),
        (lambda: relmp.RelationalGraph(2**63, [[0], [1]]), "at most 10,000,000, but num_nodes"),
        (lambda: relmp.Round(GRAPH, 16, 16, message=relmp.LinearMessage(80, 1, 1)), "was given a"),
        (lambda: relmp.Round(GRAPH, 16, 16, message=3), "takes a class, or a callable"),
        (lambda: relmp.Round(GRAPH, 16, 16, message=lambda *_: 3), "must be an nn.Module, but 3"),
        (lambda: relmp.Round(GRAPH, 16, 16, aggr=nn.ReLU()), r"aggr must be a name.*ReLU\(\)"),
        (lambda: relmp.Round(GRAPH, 16, 16, aggr=lambda *_: 3), "must make an Aggregation"),
        (lambda: relmp.match_flops(nn.Linear, graph=GRAPH), "takes no argument graph"),
        (lambda: relmp.create_model(nn.Linear(4, 4)), "A model is given by its name"),
        (lambda: relmp.create_model("mlp", graph=nx.path_graph(8)), "make one by .*from_networkx"),
        (lambda: relmp.match_flops("mlp", graph=GRAPH, input_shape="a"), "input_shape is"),
        (lambda: relmp.match_flops("mlp", graph=GRAPH, width="64"), "width must be a whole number"),
        (lambda: relmp.create_model("mlp", width=10**9), "width must be a whole number between"),
        (lambda: relmp.match_flops("mlp", graph=GRAPH, width=10**9), "width must be a whole"),
        (lambda: relmp.create_model("mlp", in_features=0), "in_features must be a whole number"),
        (lambda: relmp.create_model("mlp", seed="a"), "seed must be a whole number"),
        (lambda: relmp.create_model("mlp", num_classes="a"), "num_classes must be a whole number"),
        (lambda: relmp.count_flops(model(), 3072), r"cannot take an image of shape \[3072\]"),
        (lambda: relmp.count_flops(3, (64,)), "A model is needed, but 3"),
        (lambda: relmp.train("mlp"), "A model is trained, but 'mlp' was given"),
        (lambda: relmp.train(model(), 3), "data must be the name of a data set, a data"),
        (lambda: train(lr="0.1"), "lr must be a number of at least 0, but is '0.1'"),
        (lambda: train(optimizer="adam"), "Unknown optimizer 'adam'; choose one of sgd, adamw"),
        (lambda: train(train_size=1), "at least 2 training images, but there is 1"),
        (lambda: train(batch_size=1.5), "batch_size must be a whole number"),
        (lambda: train(epohcs=3), "Unknown setting 'epohcs'.*Did you mean 'epochs'"),
        (
            lambda: relmp.train(relmp.create_model("mlp", in_features=63, width=16)),
            r"does not take the images of digits, \[1, 8, 8\]",
        ),
        (lambda: relmp.run_sweep(graphs="ws_flex", out="never"), "'w' was given"),
        (lambda: relmp.find_sweet_spot(3), "A table of results is needed, but 3 was given"),
        pytest.param(
            lambda: relmp.match_flops(
                "mlp", graph=create_graph("path", n=64), message="low_rank", width=512
            ),
            "over 32 times the 512 of the complete-graph model",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_mistakes_in_python(call: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()


def test_what_is_plainly_meant_is_taken(tmp_path: Path) -> None:
    assert relmp.count_flops(model(), 64) == relmp.count_flops(model(), (64,))
    assert relmp.match_flops("mlp", graph=GRAPH, input_shape=64, width=32).input_shape == (64,)
    table = relmp.run_sweep(
        graphs=[GRAPH], seeds=2, out=tmp_path, epochs=1, width=32, train_size=100, workers=0,
        show_progress=False,
    )  # fmt: skip
    assert sorted(set(table["seed"])) == [0, 1]


def test_missing_and_broken_graph_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no file 'foo\.csv'"):
        relmp.load_graph("foo.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        relmp.load_graph(tmp_path / "pipe.csv")
    buffer = io.BytesIO()
    np.save(buffer, np.eye(3))
    whole = buffer.getvalue()
    broken = [
        whole[:20], whole[:80], whole.replace(b"(3, 3)", b"(9, 9)"), b"PK\x03\x04aaaa",
        whole.replace(b"<f8", b"|O "), whole.replace(b"descr", b"dexcr"),
        whole.replace(b"(3, 3)", b"(-3,3)"), whole.replace(b"(3, 3)", b"(3, %d)" % 10**12),
        b"\x93NUMPY\x01\x00\xff\xff" + b"{" * 70_000,
    ]  # fmt: skip
    for number, content in enumerate(broken):
        path = tmp_path / f"{number}.npy"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"'{number}\.npy' is no array of numbers"):
            relmp.load_graph(path)
    np.savez(tmp_path / "several.npz", a=np.eye(3))
    (tmp_path / "several.npz").rename(tmp_path / "several.npy")
    with pytest.raises(ValueError, match="holds several arrays"):
        relmp.load_graph(tmp_path / "several.npy")


def test_labels_come_back_in_their_order(tmp_path: Path) -> None:
    for labels in (["a", "b", "c", "d"], [7, 3, 5, 4], ["d", "c", "b", "a"]):
        graph = relmp.RelationalGraph(4, [[0, 2, 1], [2, 1, 3]], labels=labels)
        relmp.save_graph(graph, tmp_path / "g.csv")
        again = relmp.load_graph(tmp_path / "g.csv", directed=True)
        assert again == graph
        assert again.labels == tuple(labels)
    text = (tmp_path / "g.csv").read_text()
    (tmp_path / "g.csv").write_text(text.replace("# nodes: d,", "# nodes: x,"))
    with pytest.raises(ValueError, match="node 'd' is not among them"):
        relmp.load_graph(tmp_path / "g.csv")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["analyse", "none", "--error", "train_error"], "holds no runs"),
        (["train", "complete(n=16)", "--out", "o", "--train-size", "1"], "at least 2 training"),
        (["train", "complete(n=16)", "--out", "o", "--seed", "-1"], "seed must be a whole number"),
        (["graphs", "show", "complete(n=1000000)"], "at most 65,536 nodes"),
        (["predict", "none", "x.png"], "holds no run"),
    ],
)
def test_mistakes_on_the_command_line(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("relmp: ")
    assert sentence in line


def test_a_name_alone_is_said_to_be_an_example(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["train", "ring_lattice", "--out", str(tmp_path / "o"), "--epochs", "1", "--width", "32"])
    assert "'ring_lattice' alone stands for its example, ring_lattice(n=32" in (
        capsys.readouterr().err
    )
