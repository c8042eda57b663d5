"""Paired comparisons: intervals that hold, axes of a grid, two sweeps."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from relmp.analysis import Results
from relmp.analysis.pairs import compare_sweeps, compare_values, paired_difference
from relmp.analysis.pairs.paired import holm
from relmp.cli import main
from tests.analysis.planted import bowl, flat, planted_table


@pytest.mark.parametrize(("graph", "seed"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.7, 0.7)])
def test_the_interval_covers_for_graphs_and_seeds_as_drawn(graph: float, seed: float) -> None:
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        values = 0.5 + rng.normal(0, 0.5, (8, 6))
        values += rng.normal(0, graph, (8, 1)) + rng.normal(0, seed, (1, 6))
        low, high = paired_difference(pd.DataFrame(values)).interval
        covered.append(low < 0.5 < high)
    assert np.mean(covered) >= 0.93


@pytest.mark.parametrize("shape", [(1, 6), (6, 1)])
def test_one_graph_or_one_seed_is_a_plain_t_test(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(0).normal(0.3, 1, shape)
    found = paired_difference(pd.DataFrame(values))
    expected = stats.ttest_1samp(values.ravel(), 0)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval()))


def test_what_cannot_be_said() -> None:
    assert paired_difference(pd.DataFrame([[np.nan, 1.0]])) is None
    single = paired_difference(pd.DataFrame([[2.0]]))
    assert single.mean == 2
    assert np.isnan(single.p_value)
    same = paired_difference(pd.DataFrame(np.zeros((3, 3))))
    assert (same.p_value, same.interval) == (1.0, (0.0, 0.0))


def test_holm() -> None:
    assert holm(np.array([0.04, 0.01, 0.03])).tolist() == pytest.approx([0.06, 0.03, 0.06])
    assert holm(np.array([0.9, 0.6])).tolist() == [1.0, 1.0]
    assert holm(np.array([])).tolist() == []


def grid() -> pd.DataFrame:
    """Two messages x two rates over the same graphs and seeds; gated is half a point better."""
    rng = np.random.default_rng(1)
    parts = []
    for message, gain in (("linear", 0.0), ("gated", 0.5)):
        for rate in (0.1, 0.03):
            table = planted_table(flat, seed=0, graphs=6, seeds=3, noise=0.2)
            noise = rng.normal(0, 0.05, len(table))
            parts.append(
                table.assign(
                    **{"model.message": message, "training.lr": rate},
                    run=table["run"] + f"-{message}-{rate}",
                    test_error=table["test_error"] - gain + noise,
                )
            )
    return pd.concat(parts, ignore_index=True)


def test_values_of_an_axis_are_compared_pair_by_pair() -> None:
    table = grid()
    found = compare_values(table.sample(frac=1, random_state=0), "model.message")
    assert found.by_value["value"].tolist() == ["gated", "linear"]
    (pair,) = found.pairs.itertuples()
    assert pair.difference == pytest.approx(0.5, abs=0.1)
    assert pair.low > 0.3
    assert pair.p_holm < 1e-3
    assert (pair.graphs, pair.seeds) == (12, 3)  # graph and rate are one
    assert "linear - gated: +0.5" in str(found)
    rates = compare_values(table, "training.lr")
    assert rates.pairs["p_value"].iloc[0] > 0.05


def test_an_axis_that_did_not_vary() -> None:
    with pytest.raises(ValueError, match="'model.aggr' did not vary .* model.message, training.lr"):
        compare_values(grid(), "model.aggr")
    with pytest.raises(ValueError, match="no column 'val_error'"):
        compare_values(grid(), "training.lr", error="val_error")


def test_values_that_share_no_run_are_not_compared() -> None:
    table = grid()
    other = (table["model.message"] == "linear") & (table["graph_key"] != table["graph_key"][0])
    same = (table["model.message"] == "gated") & (table["graph_key"] == table["graph_key"][0])
    found = compare_values(table[other | same], "model.message")
    assert found.pairs.empty
    assert "No two values share a graph and a seed" in str(found)


def test_two_sweeps_paired_by_graph_and_seed() -> None:
    first = planted_table(bowl, seed=0, noise=0.05)
    second = first.assign(test_error=first["test_error"] + 1)
    found = compare_sweeps(Results.of(first), Results.of(second), ("a", "b"))
    assert found.difference.mean == pytest.approx(1)
    assert found.correlation.pearson == pytest.approx(1)
    assert found.complete.graphs == 1
    turned = first.assign(test_error=66 - first["test_error"])
    against = compare_sweeps(Results.of(first), Results.of(turned), ("a", "b"))
    assert against.correlation.pearson == pytest.approx(-1)


def test_two_folders_by_command(tmp_path, capsys) -> None:
    for name, rate in (("one", "0.1"), ("two", "0.03")):
        main(
            ["sweep", "--out", str(tmp_path / name), "--nodes", "16", "--size", "4", "--seeds", "2",
             "--epochs", "1", "--train-size", "128", "--width", "16", "--lr", rate,
             "--workers", "0"]
        )  # fmt: skip
    capsys.readouterr()
    folders = [str(tmp_path / name) for name in ("one", "two")]
    main(["analyse", *folders, "--out", str(tmp_path / "both")])
    said = capsys.readouterr().out
    assert "training.lr: 0.1 there, 0.03 here" in said
    assert "all graphs: two - one" in said
    assert (tmp_path / "both" / "maps.png").stat().st_size > 10_000
    with pytest.raises(SystemExit, match="2"):
        main(["analyse", *folders])
    assert "Name a folder" in capsys.readouterr().err
