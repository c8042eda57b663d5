"""Links of the playground: any text is read, what is wrong is said, and what the page writes comes
back; edges against the graph of the same bits, unpacked in Python."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import pytest
from hypothesis import strategies as st

from relmp.graphs import RelationalGraph
from relmp.playground import write_page
from relmp.playground.presets import graph_preset, karate_club
from tests.analysis.browser import Browser
from tests.fuzz.how import changed_text, fuzzed
from tests.strategies import relational_graphs

AT_ONCE = 40
"""So many links are given to the page in one call."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("playground") / "playground.html"
    path.write_text(write_page([karate_club()]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(page: Path) -> Iterator[Browser]:
    with Browser() as opened:
        opened.open(page)
        opened.wait_for("document.body.dataset.ready")
        yield opened


def packed(graph: RelationalGraph) -> str:
    """The edges of a graph as a link holds them."""
    there = np.zeros((graph.num_nodes,) * 2, dtype=bool)
    there[graph.edges[0], graph.edges[1]] = True
    directed = bool((there != there.T).any())
    bits = []
    for u in range(graph.num_nodes):
        for v in range(u + 1, graph.num_nodes):
            bits += [there[u, v], there[v, u]] if directed else [there[u, v]]
    content = bytes([directed]) + np.packbits(np.array(bits, dtype=bool)).tobytes()
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


VALUES = st.one_of(
    st.integers(-2, 130).map(str), st.floats().map(str), st.text(max_size=6),
    st.sampled_from(["ws_flex", "star", "edges", "karate_club", "spiral", "xor", "__proto__",
                     "constructor", "0x10", "1e1", " 5", "Infinity", "null", "AA", "AAAA", "٣",
                     "%", "%E0%A4%A", "\x00", "</script><img src=x onerror=alert(1)>"]),
)  # fmt: skip
KEYS = ["graph", "n", "k", "p", "start", "edges", "at", "task", "width", "rate", "scale", "seed",
        "node", "other", "__proto__", "toString", ""]  # fmt: skip


@st.composite
def links(draw: st.DrawFn) -> str:
    """A link that is nearly one of the page's own, or anything."""
    given = draw(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5))
    if draw(st.booleans()):
        graph = draw(relational_graphs(6))
        given |= {"graph": "edges", "n": str(graph.num_nodes), "edges": packed(graph)}
    text = urlencode(given, errors="replace") if draw(st.booleans()) else "&".join(
        f"{key}={value}" for key, value in given.items()
    )  # fmt: skip
    return draw(changed_text(st.just(text)))


CHECK = """
return LINKS.map((link) => {
  try {
    const {settings, ignored} = relmp.readLink("#" + link);
    const {graph, places, width, node, rate, scale, seed, task, source} = settings;
    const whole = (v, low, high) => Number.isInteger(v) && v >= low && v <= high;
    const fits = whole(graph.n, 1, 100) && places.length === graph.n && whole(width, 8, 128)
      && whole(node, 0, graph.n - 1) && rate > 0 && scale > 0 && whole(seed, 0, 9999)
      && typeof task === "string" && places.every((p) => p.length === 2 && p.every(
        (v) => v >= 0 && v <= 1)) && ignored.every((text) => typeof text === "string"
      && text.length < 300) && graph.edges().every(([u, v]) => whole(u, 0, graph.n - 1)
      && whole(v, 0, graph.n - 1));
    const again = relmp.readLink(relmp.writeLink(settings));
    const known = (s) => JSON.stringify([s.graph.n, s.graph.edges(), s.width, s.node, s.rate,
      s.scale, s.seed, s.task, s.source.name]);
    if (!fits) return "does not fit";
    if (again.ignored.length) return "its own link: " + again.ignored.join("; ");
    return known(again.settings) === known(settings) ? "" : "comes back as another";
  } catch (problem) { return "an error: " + problem; }
});
"""


@fuzzed(25, st.lists(links(), min_size=AT_ONCE, max_size=AT_ONCE))
def test_any_link(browser: Browser, given: list[str]) -> None:
    script = CHECK.replace("LINKS", json.dumps(given, ensure_ascii=True))
    found = browser.run(script)
    assert dict(zip(given, found, strict=True)) == dict.fromkeys(given, "")


@fuzzed(8, st.lists(relational_graphs(9), min_size=AT_ONCE, max_size=AT_ONCE))
def test_edges_in_a_link(browser: Browser, graphs: list[RelationalGraph]) -> None:
    given = [f"#graph=edges&n={g.num_nodes}&edges={packed(g)}" for g in graphs]
    found: Any = browser.run(
        f"""return {json.dumps(given)}.map((link) => {{
          const {{settings, ignored}} = relmp.readLink(link), {{graph}} = settings, heard = [];
          for (let u = 0; u < graph.n; u++) for (let v = 0; v < graph.n; v++) {{
            if (u !== v && graph.hears(v, u)) heard.push([u, v]);
          }}
          return [ignored.length, graph.n, heard,
            new URLSearchParams(relmp.writeLink(settings).slice(1)).get("edges")];
        }})"""
    )
    for graph, (ignored, n, heard, text) in zip(graphs, found, strict=True):
        arcs = {(int(u), int(v)) for u, v in graph.edges.T if u != v}
        assert (ignored, n, set(map(tuple, heard)), text) == (
            0, graph.num_nodes, arcs, packed(graph))  # fmt: skip


@fuzzed(3, st.lists(links(), min_size=1, max_size=1))
def test_a_page_that_is_opened_by_any_link(browser: Browser, page: Path, given: list[str]) -> None:
    browser.open(page, f"#{quote(given[0], safe='=&%', errors='replace')}")
    browser.run("location.reload()")
    browser.wait_for("document.body.dataset.ready")
    assert browser.run("return document.querySelectorAll('img').length") == 0
    browser.run("document.getElementById('train-step').click()")
    assert browser.run("return relmp.trainer.steps") == 1


@fuzzed(15, relational_graphs(9), st.text(max_size=30))
def test_any_name_of_a_graph_in_the_page(graph: RelationalGraph, name: str) -> None:
    """What a graph is called ends no element of the page, and its edges are in it."""
    text = write_page([graph_preset("graph-0-x", graph, name + "</script><b>")])
    data = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    (preset,) = json.loads(data[0])["presets"]
    arcs = {(int(u), int(v)) for u, v in graph.edges.T if u != v}
    assert {tuple(edge) for edge in preset["edges"]} == arcs
    assert preset["n"] == graph.num_nodes
    assert "</script><b>" not in text
