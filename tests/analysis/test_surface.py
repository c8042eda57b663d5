"""The smooth surface and the bootstrap of corners, against a known truth."""

import numpy as np
import pytest

from relmp.analysis import Results, find_sweet_spot
from relmp.analysis.spot.corners import bootstrap_corners
from relmp.analysis.spot.surface import smooth_surface
from relmp.analysis.spot.sweet_spot import spot_of
from tests.analysis.planted import bowl, flat, planted, planted_table


def test_surface_covers_the_truth():
    inside = []
    for seed in range(5):
        surface = smooth_surface(planted(bowl, seed=seed), resolution=20)
        x, y = np.meshgrid(surface.x, surface.y)
        gap = np.abs(surface.mean - bowl(x, y)) / surface.deviation
        inside.append((gap[~np.isnan(gap)] < 2).mean())
    assert np.mean(inside) > 0.85


def test_lowest_point_is_near_the_planted_one():
    places = [smooth_surface(planted(bowl, seed=seed)).lowest[:2] for seed in range(8)]
    assert np.median(places, axis=0) == pytest.approx([0.4, 2.5], abs=0.25)


def test_probability_of_beating_the_complete_graph():
    surface = smooth_surface(planted(bowl, seed=0, noise=0.05))
    assert surface.beats_complete is not None
    assert np.nanmax(surface.beats_complete) > 0.99  # a point better than the complete graph
    assert np.nanmin(surface.beats_complete) < 0.9  # as good as it
    away = smooth_surface(planted(flat, seed=1))
    assert 0.01 < np.nanmean(away.beats_complete) < 0.99


def test_no_claims_away_from_the_graphs():
    surface = smooth_surface(planted(bowl, seed=0))
    assert surface.at((0.4, 2.5)) is not None
    table = planted_table(bowl, seed=0)
    corner = (table["clustering"] > 0.5) & (table["path_length"] > 3)
    assert smooth_surface(Results.of(table[~corner])).at((0.74, 3.95)) is None


def test_many_graphs_are_averaged_in_cells():
    surface = smooth_surface(planted(bowl, seed=0, graphs=600, seeds=2), resolution=20)
    assert 50 < surface.points <= 250
    assert surface.lowest[:2] == pytest.approx((0.4, 2.5), abs=0.2)


@pytest.mark.parametrize("change", [{"graphs": 8}, {"noise": 0.0}])
def test_too_little_for_a_surface(change):
    assert smooth_surface(planted(flat, seed=0, **change)) is None


def test_one_seed_gives_a_surface_without_probabilities():
    surface = smooth_surface(planted(bowl, seed=0, seeds=1))
    assert surface.beats_complete is None


def test_corners_hold_the_spot_and_narrow_with_less_noise():
    widths = []
    for noise in (0.3, 0.02):
        table = planted_table(bowl, seed=0, noise=noise)
        spot = find_sweet_spot(table)
        corners = bootstrap_corners(Results.of(table), spot, samples=100)
        widths.append(sum(high - low for ends in corners.intervals for low, high in ends))
        assert corners.kept[int(np.argmax(spot.bins["best"]))] > 0.3
        assert len(corners.kept) == len(spot.bins)
    assert widths[1] < widths[0]


def test_corners_without_noise_are_the_spot():
    """Every sample is then the sweep itself."""
    table = planted_table(bowl, seed=0, noise=1e-9)
    spot = find_sweet_spot(table)
    corners = bootstrap_corners(Results.of(table), spot, samples=20)
    assert corners.intervals == tuple(((low, low), (high, high)) for low, high in spot.ranges)


def test_no_spot_has_no_corners():
    results = Results.of(planted_table(flat, seed=0))
    assert bootstrap_corners(results, spot_of(results)) is None
