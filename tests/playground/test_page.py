"""The file and the command: size, no network, presets, mistakes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from relmp.cli import main
from relmp.graphs import RelationalGraph, create_graph
from relmp.playground import Preset, write_page
from relmp.playground.page import SCRIPTS
from relmp.playground.presets import karate_club

SOURCES = Path(__file__).parents[2] / "relmp" / "playground" / "page"


@pytest.fixture(autouse=True)
def no_cached_connectomes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELMP_CACHE", str(tmp_path / "cache"))


def test_one_small_file_that_asks_nobody(page: Path) -> None:
    text = page.read_text()
    assert page.stat().st_size < 1_000_000
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=[\"'](?!data:)", text)
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|sendBeacon|import)\s*\(", text)
    assert not re.search(r"@import|url\(", text)
    addresses = set(re.findall(r"https?://[^\"'\s<]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}


def test_every_source_is_part_of_the_page_and_short() -> None:
    assert {path.stem for path in SOURCES.glob("*.js")} == set(SCRIPTS)
    for path in SOURCES.iterdir():
        assert len(path.read_text().splitlines()) <= 350, path.name


def test_names_cannot_break_the_page() -> None:
    preset = Preset("x", "</script><b>", create_graph("cycle", n=5))
    assert "</script><b>" not in write_page([preset])


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.html"
    main(["playground", "barabasi_albert(n=20, m=2, seed=3)", "--out", str(out), "--no-open"])
    assert str(out) in capsys.readouterr().out
    text = out.read_text()
    assert 'relmp.create_graph(\\"barabasi_albert\\", n=20, m=2, seed=3)' in text
    assert "Karate club" in text


def test_the_command_opens_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or True)
    main(["playground", "star(n=9)", "--out", str(tmp_path / "page.html")])
    assert opened == [(tmp_path / "page.html").as_uri() + "#graph=graph-0-star-n-9"]


def test_connectomes_at_hand_are_offered(tmp_path: Path, shared_data: Path) -> None:
    out = tmp_path / "page.html"
    main(["playground", "--root", str(shared_data / "connectomes"), "--out", str(out), "--no-open"])
    text = out.read_text()
    assert 'relmp.load_connectome(\\"cat\\")' in text
    assert "Scannell" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["cycle(n=500)"], "at most 100 nodes, but 'cycle(n=500)' has 500"),
        (["hydra"], "no file, connectome or generator"),
        (["cat"], "needs cat.txt"),
        (["--out", "nowhere/page.html"], "There is no folder nowhere"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(["playground", "--no-open", *arguments])
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.glob("*.html")) == []


def test_the_karate_club_is_the_one_of_networkx() -> None:
    graph = karate_club().graph
    assert (graph.num_nodes, graph.num_edges) == (34, 2 * 78 + 34)
    assert isinstance(graph, RelationalGraph)
