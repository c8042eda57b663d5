"""A graph for every layer, and the arithmetic of densities of the papers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

import relmp
from relmp.graphs import RelationalGraph, create_graph
from relmp.graphs.layers.mapping import LayerGraphs
from relmp.models import ModelConfig
from relmp.models.inspection import rewired_flops

RING = create_graph("cycle", n=8)
SMALL = create_graph("ws_flex", n=4, k=2, p=0.5, seed=1)


def resnet50_shapes() -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        model = torchvision.models.resnet50()
    layers = model.named_modules()
    return {name: tuple(m.weight.shape) for name, m in layers if hasattr(m, "weight")
            and m.weight.dim() in (2, 4)}  # fmt: skip


# The shape of a weight, how large its densities are at sparsities .8 and .9 (section 3f).
GOLDEN = [
    ("conv1", 0.857195, 0.420038),
    ("layer1.0.conv1", 1, 1),
    ("layer1.0.conv2", 0.361905, 0.177338),
    ("layer1.0.conv3", 1, 0.958819),
    ("layer1.1.conv1", 1, 0.958819),
    ("layer2.0.conv1", 1, 0.574696),
    ("layer2.0.conv2", 0.176901, 0.086684),
    ("layer2.0.conv3", 0.975320, 0.477921),
    ("layer2.0.downsample.0", 0.584888, 0.286603),
    ("layer3.0.conv2", 0.087438, 0.042846),
    ("layer3.0.conv3", 0.486901, 0.238588),
    ("layer3.0.downsample.0", 0.292064, 0.143116),
    ("layer4.0.conv2", 0.043466, 0.021299),
    ("layer4.0.conv3", 0.243260, 0.119201),
    ("layer4.0.downsample.0", 0.145937, 0.071511),
    ("fc", 0.148176, 0.072608),
]


@pytest.mark.parametrize(
    ("sparsity", "column", "full"), [(0.8, 1, 8), (0.9, 2, 1), (0.95, None, 0)]
)
def test_densities_of_resnet50_are_those_of_the_paper(
    sparsity: float, column: int | None, full: int
) -> None:
    shapes = resnet50_shapes()
    found = relmp.layer_densities(shapes, density=1 - sparsity, allocation="erk")
    if column is not None:
        for row in GOLDEN:
            assert found[row[0]] == pytest.approx(row[column], abs=1e-6), row[0]
    assert sum(density == 1 for density in found.values()) == full
    kept = sum(found[name] * np.prod(shape) for name, shape in shapes.items())
    assert kept / sum(np.prod(shape) for shape in shapes.values()) == pytest.approx(
        1 - sparsity, rel=3e-5
    )  # zeros are rounded down


def test_a_layer_that_is_dense_by_choice_lies_outside_the_sum() -> None:
    shapes = resnet50_shapes()
    for allocation in ("uniform", "er", "erk"):
        found = relmp.layer_densities(shapes, density=0.2, allocation=allocation, dense="conv1")
        assert found["conv1"] == 1
        rest = {name: np.prod(shape) for name, shape in shapes.items() if name != "conv1"}
        kept = sum(found[name] * size for name, size in rest.items())
        assert kept / sum(rest.values()) == pytest.approx(0.2, rel=3e-5)
    kept = sum(found[name] * np.prod(shape) for name, shape in shapes.items())
    total = sum(np.prod(shape) for shape in shapes.values())
    assert 1 - kept / total == pytest.approx(0.7997, abs=5e-5)


# Multiply-adds of an image against the dense network, weights alone (section 3f).
@pytest.mark.parametrize(
    ("sparsity", "erk", "uniform"),
    [(0.8, 0.41380, 0.22309), (0.9, 0.24184, 0.12597), (0.95, 0.12168, 0.07742),
     (0.965, 0.08517, 0.06285)],
)  # fmt: skip
def test_flops_of_sparse_resnet50(sparsity: float, erk: float, uniform: float) -> None:
    shapes, costs = resnet50_shapes(), {}
    with torch.device("meta"):
        model = torchvision.models.resnet50()
        names = {module: name for name, module in model.named_modules()}

        def note(module: nn.Module, _: Any, out: torch.Tensor) -> None:
            costs[names[module]] = module.weight[0].numel() * out[0].numel()

        for name in shapes:
            model.get_submodule(name).register_forward_hook(note)
        model.eval()(torch.zeros(1, 3, 224, 224))
    assert sum(costs.values()) == 4_089_184_256
    for allocation, dense, expected in (("erk", (), erk), ("uniform", "conv1", uniform)):
        found = relmp.layer_densities(
            shapes, density=1 - sparsity, allocation=allocation, dense=dense
        )
        total = sum(found[name] * cost for name, cost in costs.items())
        assert total / sum(costs.values()) == pytest.approx(expected, abs=5e-6)


@pytest.mark.parametrize(
    ("erk", "uniform", "published"),
    [(0.4153, 0.2254, (2.086, 1.140)), (0.2431, 0.1285, (1.228, 0.657)),
     (0.1230, 0.0801, (0.630, 0.416)), (0.0865, 0.0656, (0.448, 0.343))],
)  # fmt: skip
def test_published_flops_of_training(
    erk: float, uniform: float, published: tuple[float, float]
) -> None:
    """Five times the steps, an update every 100, against one dense training."""
    dense = 10**9
    for share, ratio in zip((erk, uniform), published, strict=True):
        spent = rewired_flops(round(share * dense), dense, images=100, watched=1)
        assert 5 * spent / (101 * 3 * dense) == pytest.approx(ratio, abs=7.5e-4)


def test_every_layer_has_its_graph() -> None:
    graphs = {"rounds.0": RING, "rounds.[12]": SMALL}
    model = relmp.create_model("mlp", graph=graphs, in_features=64, width=16)
    assert model.graphs == {"rounds.0": RING, "rounds.1": SMALL, "rounds.2": SMALL}
    half = relmp.create_model("mlp", graph={"rounds.1": SMALL}, in_features=64, width=16)
    assert half.graphs == {"rounds.1": SMALL}
    assert isinstance(half.rounds[0][0], nn.Linear)
    out = half(torch.randn(3, 64))
    assert out.shape == (3, 10)
    whole = relmp.create_model("mlp", graph=RING, in_features=64, width=16)
    same = relmp.create_model("mlp", graph={"*": RING}, in_features=64, width=16)
    for a, b in zip(whole.parameters(), same.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", ["mlp", "small_cnn", "resnet20", "efficientnet_b0"])
def test_every_model_is_matched_over_graphs_of_layers(name: str) -> None:
    shape = (3, 32, 32) if name != "efficientnet_b0" else (3, 224, 224)
    layers = relmp.create_model(name).layers
    rounds = [layer for layer, spec in layers.items() if spec.relational]
    graphs = {
        rounds[0]: SMALL,
        "*": None,
    }
    dense = relmp.create_model(name, **({"in_features": 3072} if name == "mlp" else {}))
    model = relmp.match_flops(name, graph=graphs, input_shape=shape)
    assert list(model.graphs) == rounds[:1]
    cost = relmp.count_flops(dense, shape)
    assert 0.99 < relmp.count_flops(model, shape) / cost < 1.05


def test_graphs_of_layers_travel_in_configurations() -> None:
    bare = RelationalGraph(8, [[0, 1], [1, 0]], self_loops=False)
    config = ModelConfig("mlp", {"rounds.0": bare, "rounds.1": None, "*": RING},
                         options={"in_features": 64, "width": 16})  # fmt: skip
    read = ModelConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert read.graph == config.graph
    assert isinstance(read.graph, LayerGraphs)
    model = read.create()
    assert model.graphs == {"rounds.0": bare, "rounds.2": RING}
    other = ModelConfig("mlp", {"rounds.0": bare, "*": RING}, options=config.options)
    assert other.graph.key != config.graph.key
    run = relmp.RunConfig(config, relmp.DataConfig(), relmp.TrainConfig())
    plan = relmp.grid(run, **{"model.graph": [RING, {"rounds.0": SMALL}]})
    assert len({run.key for run in plan}) == 2


def test_any_model_takes_graphs_of_layers() -> None:
    resnet = torchvision.models.resnet18()
    model = relmp.relationalize(resnet, {"layer1.*": RING, "layer2.0.conv1": SMALL})
    rounds = {n: m.graph for n, m in model.named_modules() if isinstance(m, relmp.Round)}
    assert rounds["layer2.0.conv1"] == SMALL
    assert len(rounds) == 5
    assert model.kept_dense["layer3.0.conv1"] == "no graph given"


def test_random_graphs_of_all_layers() -> None:
    graphs = relmp.layer_graphs("small_cnn", n=16, density=0.2, allocation="erk", width=32,
                                self_loops=False, seed=3)  # fmt: skip
    model = relmp.create_model("small_cnn", graph=graphs, width=32)
    assert list(model.graphs) == list(graphs)
    weights = {name: m.weight.numel() for name, m in _rounds(model)}
    full = relmp.create_model("small_cnn", graph=create_graph("complete", n=16), width=32)
    share = sum(weights.values()) / sum(m.weight.numel() for _, m in _rounds(full))
    assert share == pytest.approx(0.2, abs=0.01)
    assert len({graph.key for graph in graphs.values()}) == len(graphs)
    again = relmp.layer_graphs("small_cnn", n=16, density=0.2, allocation="erk", width=32,
                               self_loops=False, seed=3)  # fmt: skip
    assert again.key == graphs.key
    with_loops = relmp.layer_graphs(torchvision.models.resnet18(), n=16, density=0.2)
    assert all(g.num_edges == 51 and g.num_self_loops == 16 for g in with_loops.values())


def _rounds(model: nn.Module) -> list[tuple[str, Any]]:
    named = model.named_modules()
    return [(n, m.message_module) for n, m in named if isinstance(m, relmp.Round)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: relmp.create_model("mlp", graph={"round.*": RING}),
         "graph names 'round.*', but no relational layer is called so; they are rounds.0"),
        (lambda: relmp.create_model("mlp", graph={}), "needs at least one graph"),
        (lambda: relmp.create_model("mlp", graph={"*": "ring"}), "A RelationalGraph is needed"),
        (lambda: relmp.layer_graphs("mlp", n=16, density=0.01),
         "Layer 'rounds.0' gets a density of 0.01, 3 edges, fewer than 16"),
        (lambda: relmp.layer_graphs("mlp", n=16, density=1.5), "density must"),
        (lambda: relmp.layer_densities({"a": (3, 3)}, density=0.5, allocation="erkk"),
         "Unknown allocation 'erkk'"),
        (lambda: relmp.layer_densities({"a": (3,)}, density=0.5), "layer 'a' must have a shape"),
        (lambda: relmp.layer_densities({"a": (3, 3)}, density=0.5, dense="b"),
         "dense names 'b', but no layer is called so; they are a"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("*", r"\*").replace("(", r"\(")) as error:
        call()
    assert "\n" not in str(error.value)
