"""Tasks, epochs and selections of graphs held against each other."""

import numpy as np
import pandas as pd
import pytest

from relmp.analysis import Results
from relmp.analysis.controls.identification import identify_cheaply
from relmp.analysis.controls.transfer import bin_means, compare_subset, compare_tasks, correlate
from tests.analysis.planted import bowl, flat, planted, planted_table


def test_correlation_is_pearson_over_what_is_shared():
    rng = np.random.default_rng(0)
    a = pd.Series(rng.normal(size=30), index=range(30))
    b = pd.Series(rng.normal(size=30) + a, index=range(30))
    found = correlate(a, b.iloc[5:].sample(frac=1, random_state=0), ("a", "b"))
    assert found.n == 25
    assert found.pearson == pytest.approx(np.corrcoef(a[5:], b[5:])[0, 1])
    assert found.interval[0] < found.pearson < found.interval[1]
    assert correlate(a.iloc[:3], b.iloc[:3], ("a", "b")) is None
    assert correlate(a * 0, b, ("a", "b")) is None


def test_bins_average_their_graphs_and_leave_the_complete_graph_out():
    results = Results.of(planted_table(bowl, seed=0, graphs=200))
    means = bin_means(results)
    assert means["complete"] == pytest.approx(results.complete.mean())
    inside = results.sparse
    bins = list(
        zip(
            inside["clustering"] // (1 / 15), (inside["path_length"] - 1) // (3.5 / 15), strict=True
        )
    )
    fullest = max(bins, key=bins.count)
    chosen = [place == fullest for place in bins]
    assert sum(chosen) > 2
    name = f"{fullest[0]:.0f}, {fullest[1]:.0f}"
    assert means[name] == pytest.approx(inside["mean"][chosen].mean())


def test_tasks_with_the_same_truth_go_together_whatever_their_order():
    first = planted_table(bowl, seed=0, noise=0.05)
    rng = np.random.default_rng(1)
    second = first.assign(
        data="other", test_error=first["test_error"] + rng.normal(0, 0.05, len(first))
    )
    second = second.sample(frac=1, random_state=0)
    pairs = compare_tasks(Results.of(first), Results.of(second))
    assert pairs["graphs"].pearson > 0.95
    assert pairs["bins_and_complete"].n == pairs["bins"].n + 1


def test_few_graphs_against_all():
    results = Results.of(planted_table(bowl, seed=0, graphs=300, noise=0.05))
    few = compare_subset(results, list(results.sparse.index[:60]))
    assert few.pearson > 0.9
    assert few.n <= 60
    assert compare_subset(results, ["none of them"]) is None


def with_epochs(late_only: bool):
    """Epoch 1 is noise, epoch 2 shows the truth, epoch 3 is the end."""
    table = planted_table(bowl, seed=0, noise=0.05)
    rng = np.random.default_rng(0)
    first = table.assign(epoch=1, test_error=50 + rng.normal(0, 1, len(table)))
    second = table.assign(epoch=2, test_error=table["test_error"] + rng.normal(5, 0.05, len(table)))
    return pd.concat([first, table] if late_only else [first, second, table])


def test_the_first_epoch_that_suffices_is_advised():
    advice = identify_cheaply(Results.of(with_epochs(late_only=False)))
    assert [epoch.epoch for epoch in advice.epochs] == [1, 2]
    assert abs(advice.epochs[0].graphs.pearson) < 0.5
    assert "2 of 3 epochs would have sufficed: r = 0.9" in advice.describe()


def test_no_epoch_suffices():
    advice = identify_cheaply(Results.of(with_epochs(late_only=True)))
    assert "No early epoch goes with the last" in advice.describe()


def test_no_early_epochs():
    assert "no early epochs" in identify_cheaply(planted(bowl, seed=0)).describe()


def test_more_graphs_predict_better_up_to_the_noise():
    advice = identify_cheaply(planted(bowl, seed=0, graphs=300, noise=0.3), draws=40)
    rs = [few.r for few in advice.graphs]
    assert rs[0] < rs[-1] <= np.sqrt(advice.reliability) + 0.05
    flat_advice = identify_cheaply(planted(flat, seed=0, graphs=300), draws=40)
    assert abs(flat_advice.graphs[-1].r) < 0.3


def test_few_graphs_say_so():
    assert "too few graphs" in identify_cheaply(planted(bowl, seed=0, graphs=10)).describe()
