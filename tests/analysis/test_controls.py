"""Measures are told from density and width, on data where one or the other is the cause."""

import numpy as np
import pytest

from relmp.analysis import Results, find_sweet_spot
from relmp.analysis.controls.matching import fit_nested, match_controls
from relmp.analysis.spot.dependence import dependence
from tests.analysis.planted import bowl, flat, planted, planted_table


def with_density_effect(seed: int):
    """Errors rise with density, and C falls with it: the measures only look like the cause."""
    table = planted_table(flat, seed=seed, graphs=80)
    rng = np.random.default_rng(seed)
    noise = dict(zip(table["graph_key"].unique(), rng.normal(0, 0.03, 80), strict=True))
    sparse = table["density"] < 1
    table.loc[sparse, "clustering"] = 0.7 - table["density"] + table["graph_key"].map(noise)
    table["test_error"] += 3 * table["density"].where(sparse, 0.5)
    return table


def test_density_alone_leaves_nothing_to_the_measures():
    fits = [fit_nested(Results.of(with_density_effect(seed))) for seed in range(20)]
    assert np.mean([fit.r2_measures for fit in fits]) > 0.8
    assert np.mean([fit.r2_control for fit in fits]) > 0.8
    assert sum(fit.p_value < 0.05 for fit in fits) <= 3


def test_measures_add_to_density_where_they_are_the_cause():
    fit = fit_nested(planted(bowl, seed=0))
    assert fit.p_value < 0.001
    assert fit.partial_r2 > 0.3
    assert fit.r2_control < 0.2


def test_r2_is_that_of_least_squares():
    results = Results.of(planted_table(bowl, seed=0))
    y = results.sparse["mean"].to_numpy()
    coefficients = np.polyfit(results.sparse["density"], y, 2)
    residual = y - np.polyval(coefficients, results.sparse["density"])
    assert fit_nested(results).r2_control == pytest.approx(1 - residual.var() / y.var())


def test_matched_difference_is_chance_where_density_is_the_cause():
    """The rectangle was found on the same runs; the test must not be fooled by that."""
    found = []
    for seed in range(10):
        table = with_density_effect(seed)
        found.append(match_controls(Results.of(table), find_sweet_spot(table), samples=99))
    assert min(matched.raw for matched in found) > 0.2
    assert abs(np.mean([m.matched - m.by_chance for m in found])) < 0.05
    assert sum(matched.p_value < 0.05 for matched in found) <= 2


def test_matched_difference_stays_where_the_measures_are_the_cause():
    table = planted_table(bowl, seed=0, graphs=150)
    matched = match_controls(Results.of(table), find_sweet_spot(table))
    assert matched.matched == pytest.approx(matched.raw, rel=0.3)
    assert matched.by_chance < 0.5 * matched.matched
    assert matched.p_value < 0.01


def test_nothing_to_say():
    table = planted_table(bowl, seed=0)
    assert fit_nested(Results.of(table, measures=("density", "width"))) is None
    assert fit_nested(planted(bowl, seed=0, graphs=8)) is None
    assert fit_nested(planted(flat, seed=0, noise=0)) is None
    assert (
        match_controls(planted(flat, seed=0), find_sweet_spot(planted_table(flat, seed=0))) is None
    )


def test_dependence_is_exact_under_the_hypothesis():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 2))
    p = [dependence(x, rng.exponential(size=30), seed=i) for i in range(100)]
    assert 1 <= sum(value <= 0.1 for value in p) <= 20


def test_dependence_is_seen():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2))
    for y in (x[:, 0], x[:, 0] ** 2, np.exp(-((x - 1) ** 2).sum(axis=1))):
        assert dependence(x, y + rng.normal(0, 0.05, 40)) < 0.01
