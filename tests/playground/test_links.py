"""The page's state is in its link, and a link that was tampered with does no harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.analysis.browser import Browser

NOW = """
const {source, graph, places, task, width, rate, scale, seed, node} = relmp.state;
return {name: source.name, n: graph.n, edges: graph.edges(), task, width, rate, scale, seed, node,
  places: places.map((place) => place.map((v) => Math.round(50 * v)))};
"""


def now(browser: Browser) -> dict[str, Any]:
    state = browser.run(NOW)
    assert isinstance(state, dict)
    return state


def open_link(browser: Browser, page: Path, link: str) -> str:
    """Open a link; what the page says about it."""
    browser.open(page, link)
    browser.run("location.reload()")
    browser.wait_for("document.body.dataset.ready")
    return str(browser.run("return document.getElementById('notice').textContent"))


def test_a_link_brings_everything_back(browser: Browser, page: Path) -> None:
    browser.run(
        """
        relmp.setGraph({name: "edited"}, new relmp.RelationalGraph(5, [[0, 1], [1, 2], [3, 2]]),
          [[0, 0], [0.2, 1], [1, 0.4], [0.6, 0.6], [0.9, 0.1]]);
        Object.assign(relmp.state, {task: "checkerboard", width: 48, rate: 0.02, scale: 0.5,
          seed: 12, node: 3});
        """
    )
    before, link = now(browser), browser.run("return relmp.writeLink(relmp.state)")
    assert open_link(browser, page, link) == ""
    assert now(browser) == before
    assert len(link) < 200


@pytest.mark.parametrize("graph", ["ws_flex&n=20&k=6.5&p=0.3&start=4", "star&n=9", "karate_club"])
def test_graphs_by_name(graph: str, browser: Browser, page: Path) -> None:
    assert open_link(browser, page, f"#graph={graph}") == ""
    assert now(browser)["name"] == graph.split("&")[0]
    browser.wait_for(f"location.hash.startsWith('#graph={graph.split('&')[0]}')")


def test_the_link_follows_the_page(browser: Browser) -> None:
    browser.run("document.getElementById('task-spiral').click()")
    browser.wait_for("location.hash.includes('task=spiral')")


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("n=500", "takes, 3 to 100; 100 was taken"),
        ("n=-3", "3 was taken."),
        ("graph=star&n=1", "the number of nodes n, 1, is outside what this page takes, 3 to 100"),
        ("n=3", ""),
        ("graph=edges&n=1&edges=AA", ""),
        ("n=12.5", "not a whole number"),
        ("n=", "not a whole number"),
        ("k=1e99", "100 was taken"),
        ("p=NaN", "which is not a number"),
        ("k=30&n=12", "12 was taken"),
        ("graph=hydra", "the graph “hydra”"),
        ("graph=__proto__", "the graph “__proto__”"),
        ("graph=toString", "the graph “toString”"),
        ("task=constructor", "the task “constructor”"),
        ("rate=9&scale=-1", "the scale of the initial weights, -1"),
        ("graph=edges&n=9&edges=AA", "the edges, which are damaged"),
        ("graph=edges&n=500&edges=AAAA", "the edges, which are damaged"),
        ("graph=edges&n=4&edges=%00%ff!", "the edges, which are damaged"),
        ("at=AAAA", "the places of the nodes"),
        ("seed=1&seed=2", "a second “seed”"),
        ("node=99", "the chosen node, 99, which the graph does not have"),
        ("rate=0.003", "0.003, has no place on its slider; 0.002 was taken"),
        ("%E0%A4%A", "unknown"),
        ("<img src=x onerror=alert(1)>=1", "unknown"),
    ],
)
def test_tampered_links_are_named_and_the_page_works(
    link: str, said: str, browser: Browser, page: Path
) -> None:
    notice = open_link(browser, page, f"#{link}")
    assert said in notice
    assert notice == "" or notice.startswith("Not all of this link was taken: ")
    assert (notice == "") == (said == "")
    state = now(browser)
    assert 1 <= state["n"] <= 100
    assert 0 <= state["node"] < state["n"]
    browser.run("document.getElementById('train-step').click()")
    assert browser.run("return relmp.trainer.steps") == 1
    assert browser.run("return document.querySelectorAll('img').length") == 0


def test_random_links_never_break_the_page(running: Browser) -> None:
    """Every key with every awkward value: what comes back can be drawn."""
    keys = ["graph", "n", "k", "p", "start", "edges", "at", "task", "width", "rate", "scale",
            "seed", "node", "other"]  # fmt: skip
    values = ["", "0", "-1", "1e309", "NaN", "null", "edges", "star", "AAAA", "x" * 3000, "1,5"]
    links = [f"#graph=edges&n=3&{key}={value}" for key in keys for value in values]
    links += [f"#{key}={value}" for key in keys for value in values]
    bad = running.run(
        f"""return {json.dumps(links)}.filter((link) => {{
          const {{settings, ignored}} = relmp.readLink(link);
          const {{graph, places, width, node, rate, scale}} = settings;
          return !(graph.n >= 1 && graph.n <= 100 && places.length === graph.n && width >= 8
            && width <= 128 && node < graph.n && rate > 0 && scale > 0
            && ignored.join("").length < 500);
        }})"""
    )
    assert bad == []


def test_a_link_that_is_pasted_into_the_open_page(browser: Browser) -> None:
    browser.run("location.hash = '#graph=star&n=7'")
    browser.wait_for("relmp.state.source.name === 'star' && relmp.state.graph.n === 7")


def test_a_link_to_a_file_says_what_others_can_do_with_it(browser: Browser) -> None:
    browser.run("document.getElementById('copy-link').click()")
    notice = browser.run("return document.getElementById('notice').textContent")
    assert "works in every copy" in notice
