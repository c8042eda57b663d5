"""Honest numbers: choosing and judging on different seeds."""

import numpy as np
import pytest

from relmp.analysis import Results, compare_graphs
from relmp.analysis.controls.selection import choose_and_judge
from tests.analysis.planted import bowl, flat, planted, planted_table


def test_choosing_by_luck_shows_a_gain_that_judging_does_not():
    choices = [choose_and_judge(planted(flat, seed=trial)) for trial in range(20)]
    assert np.mean([choice.shown for choice in choices]) < 32.75
    assert np.mean([choice.honest for choice in choices]) == pytest.approx(33, abs=0.03)


def test_interval_covers_no_gain_on_a_flat_surface():
    covered = 0
    for trial in range(40):
        choice = choose_and_judge(planted(flat, seed=trial))
        covered += choice.interval[0] <= 0 <= choice.interval[1]
    assert covered >= 36


def test_real_gain_is_seen():
    summary = compare_graphs(planted_table(bowl, seed=0, noise=0.1))
    assert summary.choice.interval[0] > 0
    assert summary.choice.gain == pytest.approx(1, abs=0.3)
    assert summary.quadratic.r2 > 0.5
    assert summary.surely_better > 5


def test_worse_is_better_upside_down():
    table = planted_table(bowl, seed=0, noise=0.1)
    summary = compare_graphs(table)
    down = compare_graphs(table.assign(test_error=66 - table["test_error"]))
    assert (down.surely_worse, down.surely_better) == (summary.surely_better, summary.surely_worse)
    assert f"{down.surely_worse} worse at a false discovery rate" in down.describe()


def test_fixed_choice_by_hand():
    table = planted_table(bowl, seed=3)
    block = Results.of(table).block.iloc[:-1]
    chosen = block[[0, 1]].mean(axis=1).nsmallest(10).index
    choice = choose_and_judge(Results.of(table), top=10, choosing=(0, 1))
    assert choice.shown == pytest.approx(block.loc[chosen, [0, 1]].to_numpy().mean())
    assert choice.honest == pytest.approx(block.loc[chosen, [2, 3]].to_numpy().mean())
    assert np.isnan(choice.interval[0])


def test_complete_graph_has_mean_deviation_and_n():
    table = planted_table(bowl, seed=0)
    errors = table.loc[table["density"] == 1, "test_error"].to_numpy()
    complete = compare_graphs(table).complete
    assert (complete.mean, complete.deviation, complete.n) == (errors.mean(), errors.std(), 4)


def test_without_complete_graph():
    table = planted_table(bowl, seed=0)
    summary = compare_graphs(table[table["density"] < 1])
    assert summary.complete is None
    assert summary.beat_complete is None
    assert "The complete graph was not run" in summary.describe()
    assert "nan" not in summary.describe()


def test_only_the_complete_graph_is_an_error():
    table = planted_table(bowl, seed=0)
    with pytest.raises(ValueError, match="only the complete graph"):
        compare_graphs(table[table["density"] == 1])


def test_one_seed():
    summary = compare_graphs(planted_table(bowl, seed=0, seeds=1))
    assert summary.choice is None
    assert "only one seed" in summary.describe()
    assert "nan" not in summary.describe()
