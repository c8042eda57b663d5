"""What a table of results must hold, and what is said of the rest."""

import numpy as np
import pytest

from relmp.analysis import Results
from tests.analysis.planted import bowl, planted_table


def test_missing_column_is_named():
    with pytest.raises(ValueError, match="no column density"):
        Results.of(planted_table(bowl, seed=0).drop(columns="density"))


def test_empty_table():
    with pytest.raises(ValueError, match="no rows"):
        Results.of(planted_table(bowl, seed=0).iloc[:0])


def test_two_tasks():
    table = planted_table(bowl, seed=0)
    table.loc[:3, "data"] = "digits"
    with pytest.raises(ValueError, match="One task is analysed at a time"):
        Results.of(table)


def test_a_run_twice():
    table = planted_table(bowl, seed=0)
    table.loc[1, "seed"] = 0
    with pytest.raises(ValueError, match="two runs with seed 0"):
        Results.of(table)


def test_nan_errors_are_named_and_left_out():
    table = planted_table(bowl, seed=0)
    table.loc[0, "test_error"] = np.nan
    results = Results.of(table)
    assert len(results.runs) == len(table) - 1
    assert results.notes == ("1 run has no finite test_error and was left out: graph 0 (seed 0).",)
    assert results.gaps == ["graph 0"]


def test_nothing_but_nan():
    with pytest.raises(ValueError, match="No run has a finite"):
        Results.of(planted_table(bowl, seed=0).assign(test_error=np.nan))


def test_disconnected_graphs_are_left_off_the_map():
    table = planted_table(bowl, seed=0)
    table.loc[table["graph_key"] == f"{7:016x}", "path_length"] = np.inf
    results = Results.of(table)
    assert len(results.graphs) == 51
    assert "4 runs have no finite path_length" in results.notes[0]


def test_unfinished_runs_are_named():
    table = planted_table(bowl, seed=0)
    table.loc[5, "epoch"] = 2
    results = Results.of(table)
    assert results.notes == ("1 run has not reached epoch 3 and was left out: run-1-1.",)


def test_block_is_the_largest_part_without_gaps():
    table = planted_table(bowl, seed=0, graphs=6)
    rare = table[(table["seed"] < 3) | (table["graph_key"] == f"{0:016x}")]
    block = Results.of(rare).block
    assert block.shape == (6, 3)
    missing = table.drop(index=2)
    assert Results.of(missing).block.shape == (5, 4)


def test_deviation_is_over_n():
    table = planted_table(bowl, seed=0)
    first = table.loc[table["graph_key"] == f"{0:016x}", "test_error"]
    assert Results.of(table).graphs["deviation"].iloc[0] == pytest.approx(first.std(ddof=0))
