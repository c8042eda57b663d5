"""Training on the page: what is learned, what the runs say, what is read aloud."""

from __future__ import annotations

import pytest

from tests.analysis.browser import Browser


@pytest.mark.parametrize("task", ["circles", "spiral", "checkerboard"])
def test_every_task_is_learned_from_every_seed(task: str, running: Browser) -> None:
    steps = running.run(
        f"""
        relmp.state.task = "{task}";
        return [1, 2, 3].map((seed) => {{
          relmp.state.seed = seed;
          relmp.resetTraining();
          while (relmp.trainer.steps < 1000 && !relmp.trainer.reached.yours) relmp.trainOnce();
          return relmp.trainer.reached.yours;
        }});
        """
    )
    assert all(step is not None and step <= 800 for step in steps), steps


def test_hints_go_on_where_a_network_does_not_learn(browser: Browser) -> None:
    browser.run(
        """
        document.getElementById("preset-star").click();
        document.getElementById("task-spiral").click();
        """
    )
    browser.wait_for("relmp.trainer.settings.task === 'spiral'")
    browser.run(
        """
        relmp.trainer.steps = 2999;
        relmp.trainOnce();
        """
    )
    assert "Not learned by both: your graph not yet" in browser.text_of("hint-text")
    assert "not in 3000" in browser.text_of("runs-table")


RUN = """
const [task, graph, reached, steps] = %s;
Object.assign(relmp.state, {task});
relmp.setGraph({name: "star", n: graph}, relmp.GENERATORS.star({n: graph}));
relmp.resetTraining();
Object.assign(relmp.trainer, {steps});
Object.assign(relmp.trainer.reached, reached);
relmp.resetTraining();
"""


def test_runs_of_other_graphs_are_not_counted_together(browser: Browser) -> None:
    for run in (
        '["spiral", 8, {yours: 30, complete: 40}, 50]',
        '["spiral", 9, {yours: 30, complete: 40}, 50]',
        '["circles", 9, {yours: 30, complete: 40}, 50]',
        '["spiral", 9, {yours: 70, complete: 20}, 90]',
        '["spiral", 9, {yours: 70, complete: 70}, 90]',
        '["spiral", 9, {}, 200]',
        '["spiral", 9, {yours: null, complete: null}, 99]',  # too short to say anything
    ):
        browser.run(RUN % run)
    assert browser.run("return relmp.runs.map((run) => run.graph)") == [
        *["star, n 9"] * 5, "star, n 8",
    ]  # fmt: skip
    assert browser.text_of("runs-text") == (
        "Spiral, star, n 9, 4 runs. First at 95 %: your graph in 1, the complete graph in 1; "
        "both at once in 1, neither in 1. One seed alone tells nothing."
    )


def test_a_run_at_more_than_one_rate_says_so(browser: Browser) -> None:
    browser.run(
        """
        for (const rate of [0.02, 0.02, 0.05, 0.02]) {
          relmp.state.rate = rate;
          relmp.trainOnce();
        }
        """
    )
    assert browser.run("return relmp.trainer.settings.rate") == "varied"


def test_a_single_step_shows_what_it_did(browser: Browser) -> None:
    """And reaches nothing earlier than a run without it would."""
    shown = "return document.getElementById('results').tBodies[0].rows[2].textContent"
    browser.wait_for("document.getElementById('results').tBodies[0].rows.length")
    before = browser.run(shown)
    browser.run("document.getElementById('train-step').click()")
    browser.wait_for(f"(() => {{{shown}}})() !== {before!r}")
    for _ in range(12):
        browser.run("document.getElementById('train-step').click()")
    assert browser.run("return relmp.trainer.history.length") == 14
    accuracy = "const {fresh, yours} = relmp.trainer; return relmp.evaluate(yours, fresh.points, fresh.labels).accuracy"  # noqa: E501
    assert browser.run("return relmp.trainer.generalised.yours") == browser.run(accuracy)
    reached = browser.run("return Object.values(relmp.trainer.reached)")
    assert all(step is None or step % 10 == 0 for step in reached)


def test_settings_that_blow_up_are_said(browser: Browser) -> None:
    browser.run(
        "Object.assign(relmp.state, {rate: 1e200}); document.getElementById('train').click()"
    )
    browser.wait_for("document.getElementById('notice').textContent.includes('without bound')")
    assert not browser.run("return relmp.trainer.running")


def test_training_is_not_counted_aloud(browser: Browser) -> None:
    counting = "return document.querySelectorAll('output:not([aria-live=off])').length"
    assert browser.run(counting) == 0
    browser.run("document.getElementById('round-step').click()")
    live = "return document.getElementById('round-text').ariaLive"
    assert browser.run(live) == "polite"
    browser.run("document.getElementById('train').click()")
    assert browser.run(live) == "off"
    browser.run("document.getElementById('train').click()")
    assert browser.run(live) == "polite"


def test_what_is_not_yet_learned_does_not_read_95_percent(browser: Browser) -> None:
    for right, shown in ((227, "94.6 %"), (228, "95 %"), (239, "99.6 %"), (240, "100 %")):
        browser.run(
            f"""
            relmp.trainer.history.at(-1).yours.accuracy = {right} / 240;
            document.getElementById("theme").click();  // paints the results again
            """
        )
        browser.wait_for(f"document.getElementById('yours-score').textContent === {shown!r}")
