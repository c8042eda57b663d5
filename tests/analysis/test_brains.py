"""Brains against their null models, and pictures of them."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import relmp
from relmp.analysis.pairs import compare_nulls, learning_measures
from relmp.analysis.report.brains import plot_places, write_states
from relmp.graphs import create_graph


def curves(effect, seeds=10, noise=0.1):
    """Losses of a brain and its nulls that fall over five epochs; the nulls' end ``effect`` up."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        luck = rng.normal()
        for name in ("mac", f"shuffled of mac, seed {seed}", f"degrees of mac, seed {seed}"):
            end = 1 + luck + noise * rng.normal() + (effect if name != "mac" else 0)
            for epoch in range(1, 6):
                loss = end + 8 * 0.1 ** (epoch - 1)
                rows.append(
                    {"run": f"{name}/{seed}", "graph": name, "seed": seed, "epoch": epoch,
                     "test_loss": loss}
                )  # fmt: skip
    return pd.DataFrame(rows)


def test_measures_of_learning():
    found = learning_measures(curves(0.0))
    assert len(found) == 30
    assert found["variant"].value_counts().to_dict() == {"brain": 10, "shuffled": 10, "degrees": 10}
    table = curves(0.0)
    run = table[table["run"] == "mac/3"]
    row = found[found["run"] == "mac/3"].iloc[0]
    assert row["lowest"] == run["test_loss"].min()
    losses = run["test_loss"].to_numpy()
    scaled = 100 * (losses - losses.min()) / np.ptp(losses)
    assert row["epochs"] == next(e for e, s in enumerate(scaled, 1) if s <= 1)


def test_a_planted_difference_is_seen_and_none_is_not():
    seen = compare_nulls(learning_measures(curves(0.5)))
    for row in seen.differences.to_dict("records"):
        assert row["low"] < 0.5 < row["high"]
        assert row["p_holm"] < 0.001
        assert row["seeds"] == 10
    assert "no difference" not in str(seen)
    none = compare_nulls(learning_measures(curves(0.0)))
    assert "no difference is seen" in str(none)
    row = none.differences.iloc[0]
    assert row["low"] < 0 < row["high"]
    # Pairs of one seed share its luck: what could be seen is far below the deviation of seeds.
    assert row["detectable"] < 0.2 < none.means["lowest_deviation"].min()
    by_hand = learning_measures(curves(0.0)).pivot_table(
        index="seed", columns="variant", values="lowest"
    )
    test = stats.ttest_rel(by_hand["shuffled"], by_hand["brain"])
    row = none.differences.set_index("variant").loc["shuffled"]
    assert row["p_value"] == pytest.approx(test.pvalue)
    assert (row["low"], row["high"]) == pytest.approx(tuple(test.confidence_interval()))


def test_what_cannot_be_compared():
    with pytest.raises(ValueError, match="no column epoch"):
        learning_measures(curves(0).drop(columns="epoch"))
    measured = learning_measures(curves(0))
    with pytest.raises(ValueError, match="run the brain and its null models"):
        compare_nulls(measured[measured["variant"] == "brain"])
    with pytest.raises(ValueError, match="fewer than 2 seeds"):
        compare_nulls(measured[measured["seed"] == 0])
    with pytest.raises(ValueError, match="no column capacity"):
        compare_nulls(measured, measures=("capacity",))


def test_the_page_of_states_holds_the_states(tmp_path):
    torch.manual_seed(0)
    graph = create_graph("random_directed", n=10, p=0.3, seed=0)
    layer = relmp.RelationalRNN(graph, 2, 20)
    x = torch.randn(6, 2)
    path = write_states(layer, x, tmp_path / "states.html")
    text = path.read_text(encoding="utf-8")
    data = json.loads(re.search(r"const data = (\{.*\});", text)[1])
    states = layer(x)[0].detach().view(6, 10, 2).mean(-1)
    assert np.allclose(data["states"], states, atol=1e-4)
    assert len(data["places"]) == 10
    assert len(data["inputs"]) == 6
    pairs = {tuple(sorted(edge)) for edge in graph.edges.T.tolist() if edge[0] != edge[1]}
    assert {tuple(edge) for edge in data["edges"]} == pairs
    assert "{{" not in text
    assert "http" not in text
    with pytest.raises(ValueError, match=r"One sequence \[T, C\]"):
        write_states(layer, x[None], path)
    with pytest.raises(ValueError, match="at most 1000 can be told apart"):
        write_states(relmp.RelationalRNN(create_graph("ring_lattice", n=1001, k=2), 2), x, path)


def test_the_map_shows_every_connected_graph():
    brain = create_graph("ws_flex", n=20, k=4, p=0.1, seed=0)
    nulls = [relmp.null_model(brain, "shuffled", seed) for seed in range(3)]
    apart = relmp.RelationalGraph(4, [[0], [1]])
    (axes,) = plot_places({"brain": brain, "nulls": nulls, "apart": apart}).axes
    drawn = {line.get_label(): line.get_xydata() for line in axes.lines}
    assert drawn["brain"].tolist() == [[brain.clustering, brain.path_length]]
    assert "apart" not in drawn
    finite = [g for g in nulls if np.isfinite(g.path_length)]
    assert len(drawn["nulls"]) == len(finite) > 0
    with pytest.raises(ValueError, match="nothing to place"):
        plot_places({"apart": apart})
