"""FLOPs by arithmetic, widths matched to them: the published numbers, to the unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from relmp.graphs import RelationalGraph, create_graph, sample_graphs
from relmp.graphs.space.design_space import PROBABILITIES, degrees
from relmp.models import count_flops, count_parameters, create_model, match_flops
from relmp.models.budget import match_widths, matched_options
from relmp.models.mlp import MLP
from relmp.rounds import RelationalLinear
from tests.strategies import graphs_and_channels

REFERENCE = 2_364_416  # You et al., the complete-graph MLP on CIFAR-10

# The widths recorded for the set of 52 graphs, in its order.
WIDTHS_52 = [
    843, 1410, 1048, 656, 1441, 664, 1387, 850, 547, 1539, 1153, 797, 1530, 890, 1402, 1103, 1143,
    1202, 850, 825, 1191, 981, 965, 1070, 1066, 1287, 1374, 1324, 1109, 1514, 1300, 1458, 1213,
    1346, 1098, 1013, 1332, 1464, 1410, 1530, 1255, 1287, 1495, 1522, 1506, 1530, 1487, 1539, 1418,
    610, 571, 525,
]  # fmt: skip


def test_reference_constant() -> None:
    for graph in (None, create_graph("complete", n=64)):
        model = create_model("mlp", graph=graph)
        assert count_flops(model, (3, 32, 32)) == REFERENCE
        assert MLP.flops(graph, (512,)) == REFERENCE


# (place of k, place of p, seed) on the grid of the design space -> recorded width.
@pytest.mark.parametrize(
    ("place", "width"),
    [
        (None, 512),
        ((298, 144, 21), 519),
        ((36, 135, 13), 1272),
        ((12, 122, 16), 1440),
        ((0, 27, 22), 1539),
    ],
)
def test_five_recorded_widths(place: tuple[int, int, int] | None, width: int) -> None:
    graph = create_graph("complete", n=64)
    if place is not None:
        k, p = degrees(64)[place[0]], PROBABILITIES[place[1]]
        graph = create_graph("ws_flex", n=64, k=float(k), p=float(p), seed=place[2])
    model = match_flops("mlp", graph=graph)
    assert model.config.options["width"] == width
    assert count_flops(model, (3072,)) >= REFERENCE
    assert place is None or MLP.flops(graph, (width - 1,)) < REFERENCE


def test_widths_and_parameters_of_the_52_graphs(shared_data: Path) -> None:
    folder = shared_data / "published_results" / "mlp_cifar10"
    names = np.load(folder / "names_mlp_cifar10_epoch200.npy", allow_pickle=False)
    results = np.load(folder / "results_mlp_cifar10_epoch200.npy", allow_pickle=False)
    settings_of = {(n[4], n[5], float(n[7])): r[0] for n, r in zip(names, results, strict=True)}
    sets = np.load(shared_data / "graph_sets" / "graphs_n64_52.npy", allow_pickle=False)
    for graph, row, width in zip(sample_graphs(64, 52), sets, WIDTHS_52, strict=True):
        published = settings_of[str(round(row[1], 6)), str(round(row[2], 6)), row[3]]
        model = match_flops("mlp", graph=graph)
        assert model.config.options["width"] == published[6] == width
        assert round(count_parameters(model) / 1e6, 3) == published[0]
        assert round(count_flops(model, (3072,)) / 1e9, 3) == published[1]


def test_smallest_width_that_reaches_the_budget() -> None:
    for graph, width in zip(sample_graphs(64, 52), WIDTHS_52, strict=True):
        matched = matched_options("mlp", graph=graph, num_classes=10)["width"]
        assert matched == width
        assert MLP.flops(graph, (width - 1,)) < REFERENCE <= MLP.flops(graph, (width,))


@settings(deadline=None, max_examples=40)
@given(graphs_and_channels())
def test_two_ways_of_counting_agree(case: tuple[RelationalGraph, int, int]) -> None:
    graph, width, stem = case
    model = create_model("mlp", graph=graph, in_features=9, width=width, stem_width=stem)
    counted = count_flops(model, (9,))
    assert counted == MLP.flops(graph, (width,), in_features=9, stem_width=stem)
    ones = sum(int((p != 0).sum()) for n, p in model.named_parameters() if "norm" not in n)
    # Weights are never drawn as zero, biases start at zero and are counted all the same.
    assert count_parameters(model) == ones + width * 3 + stem + 10
    assert counted == count_parameters(model) - 10 - 2 * (3 * width + stem)


def test_budget_of_another_baseline_and_input() -> None:
    graph = create_graph("ws_flex", n=64, k=10, p=0.2, seed=0)
    baseline = create_model("mlp", in_features=64, width=128)
    model = match_flops("mlp", graph=graph, width=128, input_shape=(1, 8, 8))
    budget = count_flops(baseline, (1, 8, 8))
    assert budget <= count_flops(model, (1, 8, 8)) < 1.01 * budget
    assert model.config.options["stem_width"] == 128


def test_counting_leaves_the_model_as_it_was() -> None:
    model = create_model("mlp", graph=create_graph("complete", n=4), in_features=9, width=8)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    model.head.eval()
    count_flops(model, (9,))
    assert model.training
    assert not model.head.training
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_counts_layers_on_tokens_and_convolutions() -> None:
    graph = create_graph("ws_flex", n=4, k=2, p=0, seed=0)
    layer = RelationalLinear(graph, 8, 8, bias=False)
    assert count_flops(layer, (5, 8)) == 5 * layer.num_parameters()
    convolution = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    assert count_flops(convolution, (3, 8, 8)) == 8 * 3 * 9 * 16
    with pytest.raises(ValueError, match=r"Conv2d cannot take an image of shape \[4, 8, 8\]"):
        count_flops(convolution, (4, 8, 8))


@settings(max_examples=200)
@given(st.integers(20, 400), st.floats(0.05, 1), st.integers(1, 4))
def test_matched_widths_reach_the_reference(first: int, density: float, stages: int) -> None:
    """On costs with a known answer: quadratic in the widths, sparser by a factor."""
    widths = tuple(first * (stage + 1) for stage in range(stages))

    def cost(widths: tuple[int, ...], share: float = density) -> int:
        return sum(round(share * a * b) for a, b in zip((3, *widths), widths, strict=False))

    reference = cost(widths, 1.0)
    found = match_widths(cost, widths, reference, rescales=9)
    assert cost(found) >= reference
    if stages == 1:
        assert found == widths or cost((found[0] - 1,)) < reference
