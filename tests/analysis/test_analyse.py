"""Everything that one call and the command write, and what they refuse."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import tyro

from relmp.analysis import analyse
from relmp.analysis.report.conclusions import as_json
from relmp.cli.analyse import AnalyseCommand
from relmp.graphs import create_graph
from relmp.sweep import run_sweep
from tests.analysis.planted import bowl, flat, planted_table


def test_writes_table_figures_numbers_text_and_report(tmp_path):
    table = planted_table(bowl, seed=0)
    known = create_graph("ws_flex", n=64, k=8, p=0.15, seed=1, name="known")
    text = analyse(table, tmp_path / "out", landmarks=[known])
    out = tmp_path / "out"
    assert "Sweet spot: C" in text
    assert "known (64 nodes): C = 0." in text
    assert (out / "summary.txt").read_text() == text
    for figure in ("sweet_spot", "slices", "best", "surface"):
        for suffix in ("png", "pdf"):
            assert (out / f"{figure}.{suffix}").stat().st_size > 5000
    (task,) = json.loads((out / "analysis.json").read_text())["tasks"]
    assert task["comparison"]["complete"]["n"] == 4
    assert task["sweet_spot"]["ranges"] is not None
    assert task["landmarks"][0]["graph"] == "known"
    assert "known" in (out / "report.html").read_text()
    pd.testing.assert_frame_equal(pd.read_parquet(out / "results.parquet"), table)
    assert len(pd.read_csv(out / "results.csv")) == len(table)


def test_results_have_a_row_a_run_and_epochs_a_file_of_their_own(tmp_path):
    last = planted_table(bowl, seed=0).assign(epoch=3)
    table = pd.concat([last.assign(epoch=epoch) for epoch in (1, 2, 3)])
    unfinished = table[(table["run"] != "run-0-0") | (table["epoch"] < 3)]
    analyse(unfinished, tmp_path)
    results = pd.read_csv(tmp_path / "results.csv")
    assert len(results) == len(last) - 1
    assert results["run"].is_unique
    assert set(results["epoch"]) == {3}
    epochs = pd.read_parquet(tmp_path / "epochs.parquet")
    assert len(epochs) == len(pd.read_csv(tmp_path / "epochs.csv")) == len(unfinished)


def named(table):
    """The graphs have the names of calls."""
    number = table["graph_key"].map(lambda key: int(key, 16))
    calls = number.map(lambda i: f"ws_flex(n=64, k={4 + i / 10}, p=0.1, seed={i})")
    return table.assign(graph=calls.where(table["density"] < 1, "complete(n=64)"))


def test_report_and_summary_open_with_the_verdict(tmp_path):
    lines = analyse(named(planted_table(bowl, seed=0, noise=0.05)), tmp_path).splitlines()
    assert lines[0] == "mlp on planted"
    assert lines[1].startswith("Of 51 graphs ")
    assert "are better than the complete one and none is worse" in lines[1]
    assert "; the best gains " in lines[1]
    assert "Good graphs lie at C" in lines[1]
    assert lines[2].startswith("At equal density graphs still differ: C and L explain")
    assert lines[2].endswith("Each graph's own learning rate was not tried.")
    assert lines[3].startswith("Next: several learning rates with validation images")
    assert lines[4] == ""
    numbers = " | ".join(lines[5:11])
    assert "complete graph" in numbers
    assert " k=" in numbers
    assert "ws_flex(" not in numbers
    assert lines.index("In full:") < lines.index("51 graphs and 4 seeds (0, 1, 2, 3).")
    page = (tmp_path / "report.html").read_text()
    opening = page[page.index('<section id="verdict">') : page.index('<details id="conclusions">')]
    assert lines[1] in opening
    assert 'data-text="ws_flex(n=64, k=' in opening
    assert opening.index("<ol>") < opening.index('<table id="numbers">')


def test_few_seeds_and_many_better_graphs_do_not_contradict_each_other(tmp_path):
    table = named(planted_table(flat, seed=0, seeds=3, noise=1.0))
    table["test_error"] -= np.where(table["density"] < 1, 4.0, 0.0)
    first, second, third = analyse(table, tmp_path).splitlines()[1:4]
    better = int(first.removeprefix("Of 51 graphs ").split()[0])
    assert better > 25
    assert "can be told from" not in first
    low = float(first[first.index("choose it (") + len("choose it (") :].split(" to ")[0])
    assert low < 0, "the interval of three seeds is meant to be wide here"
    assert second.startswith("Density may be all there is to it")
    assert third.startswith("Next: several learning rates")


def test_where_nothing_differs_the_verdict_says_so(tmp_path):
    lines = analyse(named(planted_table(flat, seed=1)), tmp_path).splitlines()
    assert lines[1].startswith("None of 51 graphs can be told from the complete one")
    assert "No region of the map stands out" in lines[1]
    assert "at equal density C and L explain nothing more (p = " in lines[2]
    assert "takes" in lines[3]
    one = planted_table(bowl, seed=0)
    lines = analyse(one[one["seed"] == 0], tmp_path).splitlines()
    assert "cannot be said from 1 seed" in lines[1]
    assert lines[3].startswith("Next: more seeds; 1 cannot tell")


def no_complete(table):
    return table[table["density"] < 1]


def one_seed(table):
    return table[table["seed"] == 0]


def partial(table):
    """The sweep was stopped: some runs are missing, one has no error."""
    table = table.sample(frac=0.6, random_state=0).reset_index(drop=True)
    table.loc[3, "test_error"] = np.nan
    return table


def all_equal(table):
    return table.assign(test_error=33.0)


def few(table):
    return table[table["graph_key"] < f"{4:016x}"]


def disconnected(table):
    return table.assign(path_length=table["path_length"].where(table["seed"] >= 0, 1).mask(
        table["graph_key"] < f"{20:016x}", np.inf))  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (no_complete, "complete graph was not run"),
        (one_seed, "only one seed"),
        (partial, "has no finite test_error"),
        (all_equal, "all errors equal 33"),
        (few, "only 4 graphs have 4 seeds"),
        (disconnected, "have no finite path_length"),
    ],
)
def test_what_cannot_be_said_is_said_and_nothing_invented(tmp_path, change, said):
    text = analyse(change(planted_table(bowl, seed=0)), tmp_path)
    assert said in text
    assert "nan" not in text
    numbers = (tmp_path / "analysis.json").read_text()
    assert "NaN" not in numbers
    assert "Infinity" not in numbers
    report = (tmp_path / "report.html").read_text()
    assert said.replace("'", "&#x27;") in report


def test_other_measures(tmp_path):
    analyse(planted_table(bowl, seed=0), tmp_path, measures=("density", "path_length"))
    (task,) = json.loads((tmp_path / "analysis.json").read_text())["tasks"]
    assert task["sweet_spot"]["measures"] == ["density", "path_length"]
    assert [fit["control"] for fit in task["nested"]] == ["width"]


def test_two_tasks_are_analysed_and_compared(tmp_path):
    first = planted_table(bowl, seed=0)
    second = first.assign(data="other", run=first["run"] + "-other")
    text = analyse(pd.concat([first, second]), tmp_path)
    assert "mlp on planted against mlp on other" in text
    assert (tmp_path / "mlp_other" / "report.html").is_file()
    assert (tmp_path / "mlp_planted_against_mlp_other.png").is_file()
    (pair,) = json.loads((tmp_path / "analysis.json").read_text())["transfer"]
    assert pair["graphs"]["pearson"] == pytest.approx(1)


def test_an_earlier_epoch(tmp_path):
    late = planted_table(bowl, seed=0)
    early = planted_table(flat, seed=1).assign(epoch=1)
    table = pd.concat([early, late])
    assert "No sweet spot" in analyse(table, tmp_path, epoch=1)
    with pytest.raises(ValueError, match="no record of epoch 7|No run has a record of epoch 7"):
        analyse(table, tmp_path, epoch=7)


def test_out_is_a_file(tmp_path):
    (tmp_path / "taken").write_text("kept")
    with pytest.raises(ValueError, match="cannot be written to"):
        analyse(planted_table(bowl, seed=0), tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "kept"


def test_json_values_are_plain():
    values = {"a": np.float64(1), "b": [math.inf, np.nan, np.int64(2)], 3: np.array([True])}
    assert as_json(values) == {"a": 1.0, "b": [None, None, 2], "3": [True]}


def test_command_analyses_a_sweep(tmp_path, capsys):
    """The graphs that the sweep stored are drawn in the report."""
    graphs = [create_graph("ws_flex", n=16, k=4, p=0.3, seed=seed) for seed in range(3)]
    run_sweep("mlp", data="digits", graphs=graphs, seeds=range(2), out=tmp_path / "sweep",
              width=32, epochs=2, train_size=200, workers=1)  # fmt: skip
    capsys.readouterr()
    AnalyseCommand(source=(str(tmp_path / "sweep"),), out=str(tmp_path / "out")).run()
    said = capsys.readouterr().out
    assert "mlp on digits" in said
    assert "only 4 graphs have 2 seeds" in said
    report = (tmp_path / "out" / "report.html").read_text()
    data = json.loads(report.split('id="data">')[1].split("</script>")[0])
    assert all(graph["edges"] for graph in data["graphs"])
    assert data["graphs"][0]["curves"]["epoch"] == [1, 2]


@pytest.mark.parametrize(
    ("source", "out", "message"),
    [
        (("published", "here"), None, "name a folder for the analysis"),
        (("published",), "out", "No folder of published results was given"),
        (("a", "b"), None, "Name a folder for the comparison of two sweeps"),
        ((), None, "0 folders were given"),
    ],
)
def test_command_refuses(source, out, message):
    with pytest.raises(ValueError, match=message):
        AnalyseCommand(source=source, out=out).run()


def test_command_line():
    parsed = tyro.cli(
        AnalyseCommand,
        args=[
            "published",
            "a",
            "b",
            "--out",
            "c",
            "--epoch",
            "3",
            "--measures",
            "density",
            "width",
        ],
    )
    assert parsed == AnalyseCommand(
        ("published", "a", "b"), out="c", epoch=3, measures=("density", "width")
    )
    assert tyro.cli(AnalyseCommand, args=["runs/quick"]).source == ("runs/quick",)
