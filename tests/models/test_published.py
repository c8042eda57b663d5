"""The published budgets, widths and parameters of the convolutional networks, to the unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relmp
from relmp.graphs import RelationalGraph, create_graph, sample_graphs
from relmp.graphs.space.design_space import PROBABILITIES, degrees
from relmp.models import MODELS, count_flops, count_parameters, create_model
from relmp.models.budget import match_widths, matched_options

CONSTANTS = {
    "mlp": 2_364_416,
    "cnn": 166_438_912,
    "resnet34": 3_663_761_408,
    "resnet34_sep": 553_614_592,
    "resnet50": 4_089_184_256,
    "efficientnet_b0": 385_824_092,
    "resnet20": 40_813_184,
}
# From the torchvision models of the same name and He et al. (the stem has no bias there either).
PARAMETERS = {"resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032,
              "efficientnet_b0": 5_288_548}  # fmt: skip


def classes(name: str) -> int:
    return 10 if name in ("mlp", "resnet20") else 1000


@pytest.mark.parametrize("name", CONSTANTS)
def test_budgets_of_the_paper_by_arithmetic(name: str) -> None:
    cls: Any = MODELS[name]
    assert cls.flops(None, cls.BASELINE_WIDTHS, num_classes=classes(name)) == CONSTANTS[name]


@pytest.mark.parametrize("name", CONSTANTS)
def test_budgets_of_the_paper_are_those_of_the_built_models(name: str) -> None:
    model = create_model(name, num_classes=classes(name))
    assert count_flops(model, model.input_shape) == CONSTANTS[name]


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_of_the_ordinary_networks(name: str) -> None:
    assert count_parameters(create_model(name, num_classes=1000)) == PARAMETERS[name]


@pytest.mark.slow
def test_relational_efficientnet_over_the_complete_graph_is_not_the_baseline() -> None:
    complete = create_graph("complete", n=16)
    model = create_model("efficientnet_b0", graph=complete, num_classes=1000)
    assert count_flops(model, (3, 224, 224)) == 467_785_436
    assert count_parameters(model) == 6_053_860
    # A sweep compares with the baseline, which is what the budget is.
    matched = relmp.match_flops("efficientnet_b0", graph=complete, num_classes=1000)
    assert count_flops(matched, (3, 224, 224)) == CONSTANTS["efficientnet_b0"]


def ws(n: int, place_k: int, place_p: int, seed: int) -> RelationalGraph:
    k, p = float(degrees(n)[place_k]), float(PROBABILITIES[place_p])
    return create_graph("ws_flex", n=n, k=k, p=p, seed=seed)


# Graphs of the set of 52, and what is published of them: width, millions of parameters,
# thousands of millions of FLOPs.
RESNET34 = {
    0: (99, 22.208, 3.664),
    1: (159, 22.944, 3.665),
    9: (173, 23.030, 3.664),
    51: (66, 21.700, 3.665),
}


@pytest.mark.parametrize("place", RESNET34)
def test_published_resnet34(place: int) -> None:
    graph = sample_graphs(64, 52)[place]
    model = relmp.match_flops("resnet34", graph=graph, num_classes=1000)
    flops = MODELS["resnet34"].flops(graph, model.widths, num_classes=1000)
    found = model.widths[0], count_parameters(model) / 1e6, flops / 1e9
    assert tuple(round(value, 3) for value in found) == RESNET34[place]
    assert flops >= CONSTANTS["resnet34"]


@pytest.mark.slow
def test_all_published_widths_of_resnet34(shared_data: Path) -> None:
    from relmp.analysis.published import read_published

    published = read_published([shared_data / "published_results" / "resnet34_imagenet_seed1"])
    rows = published.table.query("epoch == 100")
    assert len(rows) == 53
    cls: Any = MODELS["resnet34"]
    for row in rows.itertuples():
        graph = published.graphs[row.graph_key]
        width = matched_options("resnet34", graph=graph, num_classes=1000)["width"]
        flops = cls.flops(graph, tuple(width), num_classes=1000)
        assert width[0] == row.width
        assert round(flops / 1e9, 3) == round(row.flops / 1e9, 3)


def test_efficientnet_search_passes_through_layers_with_fewer_channels_than_nodes() -> None:
    """Three dense graphs end below 16 channels, where 16 nodes cannot be built; one returns."""
    cls: Any = MODELS["efficientnet_b0"]
    found = {}
    for graph in (g for g in sample_graphs(16, 48) if g.density > 0.6):
        widths = match_widths(
            lambda w, g=graph: cls.flops(g, w, num_classes=1000),
            cls.BASELINE_WIDTHS, CONSTANTS["efficientnet_b0"], rescales=9,
        )  # fmt: skip
        found[round(graph.generator.arguments["k"] / 16, 4)] = widths[0]
        if widths[0] < 16:
            with pytest.raises(ValueError, match=r"Layer 'stages.0.0.project': 1[45] channels"):
                relmp.match_flops("efficientnet_b0", graph=graph, num_classes=1000)
    assert sorted(width for width in found.values() if width < 16) == [14, 15, 15]
    assert found[0.7565] == 16


def test_narrow_layers_are_counted_over_a_smaller_graph() -> None:
    from relmp.models.cost import round_flops

    graph = create_graph("ws_flex", n=16, k=8.0, p=0.25, seed=3)
    smaller = create_graph("ws_flex", n=12, k=6.0, p=0.25, seed=3)
    assert round_flops(graph, 12, 30) == round_flops(smaller, 12, 30)
    assert round_flops(graph, 30, 12) != round_flops(graph, 30, 16)
    # Other graphs by their density; the complete graph is dense at any width.
    ring = RelationalGraph.from_edges([(i, (i + 1) % 16) for i in range(16)])
    assert round_flops(ring, 12, 30) == round(12 * 30 * 3 / 16)
    assert round_flops(create_graph("complete", n=16), 12, 30) == 12 * 30


@pytest.mark.parametrize("name", ["cnn", "resnet18", "resnet34_sep", "resnet50", "small_cnn"])
def test_other_networks_obey_the_rule(name: str) -> None:
    """What the rule promises of every result, for the graphs of the set of 52."""
    cls: Any = MODELS[name]
    count = classes(name)
    baseline = cls.BASELINE_WIDTHS
    budget = cls.flops(None, baseline, num_classes=count)
    for graph in sample_graphs(64, 52)[::5]:
        widths = tuple(matched_options(name, graph=graph, num_classes=count)["width"])
        flops = cls.flops(graph, widths, num_classes=count)
        assert budget <= flops < 1.01 * budget
        ratios = np.array(widths) / np.array(baseline)
        assert np.abs(ratios / ratios[0] - 1).max() < 0.03
        assert (ratios > 1).all()


def test_budget_of_another_input_and_baseline() -> None:
    graph = ws(16, 40, 100, 0)
    small = relmp.match_flops("resnet20", graph=graph, width=32, input_shape=(1, 28, 28))
    budget = count_flops(create_model("resnet20", width=32, in_channels=1), (1, 28, 28))
    assert budget <= count_flops(small, (1, 28, 28)) < 1.01 * budget
    with pytest.raises(ValueError, match=r"Layer 'stages.2.0.* halves its input"):
        relmp.match_flops("resnet20", graph=graph, input_shape=(1, 2, 2))
