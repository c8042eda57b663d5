"""Power against simulation, and noise against what was planted."""

import numpy as np
import pytest
from scipy import stats

from relmp.analysis.controls.power import (
    Noise,
    measure_noise,
    needed_seeds,
    plan_designs,
    power_of_pair,
    smallest_effect,
)
from tests.analysis.planted import flat, planted


def test_noise_is_that_planted():
    def uneven(c, length):
        return 33 + 0.5 * np.random.default_rng(0).normal(size=len(c))

    noise = measure_noise(planted(uneven, seed=0, graphs=400))
    assert noise.within == pytest.approx(0.2, rel=0.05)
    assert noise.between == pytest.approx(0.5, rel=0.1)
    assert noise.reliability(4) == pytest.approx(0.25 / (0.25 + 0.04 / 4), rel=0.02)
    assert measure_noise(planted(flat, seed=1, graphs=400)).between < 0.05
    assert measure_noise(planted(flat, seed=0, seeds=1)) is None


def test_power_of_a_pair_is_that_of_simulated_t_tests():
    rng = np.random.default_rng(0)
    worse, better = rng.normal(0.4, 0.3, (20_000, 5)), rng.normal(0, 0.3, (20_000, 5))
    p = stats.ttest_ind(worse, better, axis=1, alternative="greater").pvalue
    assert power_of_pair(0.4, 0.3, 5) == pytest.approx((p < 0.05).mean(), abs=0.01)


def test_smallest_effect_is_seen_with_the_power_asked_for():
    """In simulated sweeps."""
    rng = np.random.default_rng(0)
    effect = smallest_effect(Noise(within=0.3, between=0.2), 12, 3, power=0.7)
    graphs = rng.normal(0, 0.2, (5_000, 12, 1)) + rng.normal(0, 0.3, (5_000, 12, 3))
    complete = rng.normal(effect, 0.3, (5_000, 3))
    spread = np.sqrt((0.2**2 + 0.3**2 / 3) / 12 + 0.3**2 / 3)
    z = (complete.mean(axis=1) - graphs.mean(axis=(1, 2))) / spread
    assert (z > stats.norm.isf(0.05)).mean() == pytest.approx(0.7, abs=0.02)


def test_needed_seeds_are_the_fewest():
    seeds = needed_seeds(0.5, 0.33)
    assert power_of_pair(0.5, 0.33, seeds) >= 0.8 > power_of_pair(0.5, 0.33, seeds - 1)
    assert needed_seeds(0.5, 0.33, comparisons=52) > seeds
    assert needed_seeds(1e-6, 1.0) == 1000


def test_designs_see_smaller_effects_with_more_runs():
    table = plan_designs(Noise(0.3, 0.2)).pivot(
        index="graphs", columns="seeds", values="smallest_effect"
    )
    assert (np.diff(table.to_numpy(), axis=0) < 0).all()
    assert (np.diff(table.to_numpy(), axis=1) < 0).all()
