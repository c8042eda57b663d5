"""Every registered model: what it computes, what it costs, what it tells of mistakes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import relmp
from relmp.graphs import RelationalGraph, create_graph
from relmp.models import MODELS, ModelConfig, count_flops, count_parameters, create_model, to_dense
from relmp.models.cnn import CNN
from relmp.models.resnet import ResNet34, ResNet50
from relmp.rounds import Message, Round, WeightedMessage
from tests.models.zoo import GRAPH, NAMES, SMALL


def small(name: str, graph: RelationalGraph | None = GRAPH, **options: Any) -> nn.Module:
    return create_model(name, graph=graph, num_classes=5, **(SMALL[name][0] | options))


def images(name: str, count: int = 4) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(count, *SMALL[name][1])


def awake(model: nn.Module) -> nn.Module:
    """With batch norms at random, so that no block is switched off."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    return model


def rounds_of(model: nn.Module) -> dict[str, Round]:
    return {name: module for name, module in model.named_modules() if isinstance(module, Round)}


def test_every_model_is_tested() -> None:
    assert sorted(SMALL) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_scores_and_gradients(name: str) -> None:
    model = awake(small(name))
    scores = model(images(name))
    assert scores.shape == (4, 5)
    assert torch.isfinite(scores).all()
    scores.square().sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.abs().max() > 0, key
    assert {layer.graph for layer in rounds_of(model).values()} == {GRAPH}


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_built_again(name: str) -> None:
    model = awake(small(name)).eval()
    config = ModelConfig.from_dict(json.loads(json.dumps(model.config.to_dict())))
    twin = config.create().eval()
    expected = model(images(name))
    assert not torch.equal(twin(images(name)), expected)
    twin.load_state_dict(model.state_dict())
    torch.testing.assert_close(twin(images(name)), expected)

    other = small(name, create_graph("ws_flex", n=8, k=3, p=0.3, seed=1))
    first = next(iter(rounds_of(model)))
    with pytest.raises(RuntimeError, match=f"layer '{first}' was saved for another graph"):
        other.load_state_dict(model.state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_complete_graph_is_the_ordinary_network(name: str) -> None:
    options = {"expand_by": "input"} if name == "efficientnet_b0" else {}
    complete = awake(small(name, create_graph("complete", n=8), **options)).double()
    ordinary = small(name, None).double()
    ordinary.load_state_dict(to_dense(complete).state_dict())
    assert count_parameters(complete) == sum(p.numel() for p in ordinary.parameters())
    x = images(name).double()
    for train in (True, False):
        found, expected = complete.train(train)(x), ordinary.train(train)(x)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert not rounds_of(ordinary)


@pytest.mark.parametrize("name", NAMES)
def test_counts_real_edges_only(name: str) -> None:
    model = small(name)
    inside = {
        id(layer.message_module.weight): layer.message_module.weight
        for layer in rounds_of(model).values()
    }
    rest = sum(p.numel() for p in model.parameters() if id(p) not in inside)
    real = sum(int((weight != 0).sum()) for weight in inside.values())
    assert real < sum(weight.numel() for weight in inside.values()), "nothing is padded here"
    assert count_parameters(model) == rest + real


@pytest.mark.parametrize("graph", [GRAPH, None], ids=["sparse", "dense"])
@pytest.mark.parametrize("name", NAMES)
def test_flops_by_arithmetic_are_those_of_the_model(
    name: str, graph: RelationalGraph | None
) -> None:
    options, shape = SMALL[name]
    model = small(name, graph)
    known = {k: v for k, v in options.items() if k != "width"} | {"num_classes": 5}
    known |= {} if name in ("mlp", "residual_mlp") else {"input_shape": shape}
    assert type(model).flops(graph, model.widths, **known) == count_flops(model, shape)
    # Names of the listed layers are names of modules.
    layers = list(type(model).plan(model.widths, **known))
    assert set(layers) <= {key for key, _ in model.named_modules()}


@pytest.mark.parametrize("name", NAMES)
def test_matched_model_reaches_the_budget(name: str) -> None:
    options, shape = SMALL[name]
    graph = create_graph("ws_flex", n=8, k=4, p=0.3, seed=0)
    common = {k: v for k, v in options.items() if k not in ("width", "in_channels", "in_features")}
    width = {"efficientnet_b0": 24, "resnet50": 64}.get(name, 16)
    model = relmp.match_flops(
        name, graph=graph, num_classes=5, width=width, input_shape=shape, **common
    )
    complete = relmp.match_flops(
        name, graph=create_graph("complete", n=8), num_classes=5, width=width, input_shape=shape,
        **common,
    )  # fmt: skip
    budget = count_flops(complete, shape)
    assert budget <= count_flops(model, shape) < 1.08 * budget
    ordinary = create_model(name, graph=None, num_classes=5, **complete.config.options)
    assert count_flops(ordinary, shape) == budget
    assert complete.widths[0] == width


def test_inner_layers_are_relational_and_nothing_else() -> None:
    """The specification, model by model: what stays dense."""
    kinds = (nn.Conv2d, nn.Linear)
    dense = {
        name: [key for key, module in small(name).named_modules() if isinstance(module, kinds)]
        for name in NAMES
    }
    ends = ["stem.0", "head"]
    for name in ("cnn", "small_cnn", "resnet18", "resnet20", "resnet34", "mlp", "residual_mlp"):
        assert dense[name] == ends, name
    depthwise = [name for name in dense["resnet34_sep"] if name not in ends]
    assert len(depthwise) == 32
    assert all(name.endswith((".body.0", ".body.2")) for name in depthwise)
    assert [name for name in dense["resnet50"] if name not in ends] == [
        f"stages.{stage}.0.projection.0" for stage in range(4)
    ]
    left = [name for name in dense["efficientnet_b0"] if name not in [*ends, "top.0"]]
    assert all(".depthwise.0" in name or ".squeeze.scale" in name for name in left)
    assert len(left) == 3 * 16
    assert "stages.0.0.projection" in rounds_of(small("resnet18"))
    assert len(rounds_of(create_model("resnet34", graph=GRAPH))) == 32 + 3
    assert len(rounds_of(create_model("efficientnet_b0", graph=GRAPH))) == 15 + 16


@pytest.mark.parametrize("name", ["resnet20", "resnet50", "resnet34_sep", "cnn"])
def test_agrees_with_the_counter_of_torch(name: str) -> None:
    model = small(name, None).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(images(name, 1))
    assert counter.get_total_flops() == 2 * count_flops(model, SMALL[name][1])


def test_initial_weights_follow_the_paper() -> None:
    graph = create_graph("ws_flex", n=16, k=5, p=0.2, seed=0)
    model = create_model("resnet50", graph=graph, seed=3)
    for key, layer in rounds_of(model).items():
        weight = relmp.rounds.dense_weight(layer).detach()
        real = weight[weight != 0]
        density = len(real) / weight.numel()
        std = (2 / (weight[0, 0].numel() * weight.size(0) * density)) ** 0.5
        assert float(real.std()) == pytest.approx(std, rel=0.06), key
    assert float(model.stem[0].weight.detach().std()) == pytest.approx(
        (2 / (49 * 64)) ** 0.5, rel=0.03
    )
    assert float(model.head.weight.detach().std()) == pytest.approx(0.01, rel=0.05)
    assert (model.head.bias == 0).all()
    block = model.stages[1][0]
    assert (block.body[-1].update_module[-1].weight == 0).all()
    assert (block.body[0].update_module[0].weight == 1).all()
    assert (block.projection[1].weight == 1).all()
    again = create_model("resnet50", graph=graph, seed=3)
    assert torch.equal(again.stages[0][0].body[0].message_module.weight,
                       model.stages[0][0].body[0].message_module.weight)  # fmt: skip


class Sharpened(Message):
    """A convolutional message of a user: it is told the geometry by name."""

    def __init__(
        self,
        num_edges: int,
        in_dim: int,
        out_dim: int,
        *,
        kernel_size: int,
        stride: int,
        padding: int,
    ) -> None:
        super().__init__()
        self.stride, self.out_dim = stride, out_dim
        self.scale = nn.Parameter(torch.ones(num_edges, 1, 1, 1, 1))

    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        x = (self.scale * x_j)[..., :: self.stride, :: self.stride]
        return x.mean(2, keepdim=True).expand(-1, -1, self.out_dim, -1, -1)


def test_messages_and_aggregations_of_users() -> None:
    model = small("resnet20", message=f"{__name__}:Sharpened", aggr="max")
    layers = rounds_of(model).values()
    assert {type(layer.message_module) for layer in layers} == {Sharpened}
    assert {layer.execution for layer in layers} == {"message_passing"}
    assert torch.isfinite(model(images("resnet20"))).all()
    assert not any(isinstance(layer.message_module, WeightedMessage) for layer in layers)


def test_trained_run_is_loaded_again(tmp_path: Path) -> None:
    model = relmp.match_flops("resnet20", graph=create_graph("ws_flex", n=8, k=3, p=0.1, seed=0),
                              width=8, stem_width=8, input_shape=(1, 8, 8))  # fmt: skip
    history = relmp.train(model, "digits", epochs=1, train_size=256, batch_size=32,
                          out=tmp_path, device="cpu")  # fmt: skip
    run = relmp.load_run(tmp_path, device="cpu")
    assert run.model.widths == model.widths
    data = relmp.load_data("digits")
    wrong = (run.predict(data.test_images) != data.test_labels).double().mean()
    assert 100 * float(wrong) == pytest.approx(history["test_error"].iloc[-1])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet20", {"width": 7}, r"Layer 'stages.0.0.body.0': 7 channels cannot be shared by 8"),
        ("cnn", {"width": (9, 9, 5)}, r"Layer 'stages.2.0': 5 channels cannot be shared by 8"),
        ("efficientnet_b0", {"width": 7}, r"Layer 'stages.0.0.project': 7 channels cannot"),
        ("resnet18", {"width": (9, 9)}, r"width must be .* all 4 stages, .* but is \(9, 9\)"),
        ("resnet18", {"width": 0}, "width must be a whole number between 1 and .*but is 0"),
        ("efficientnet_b0", {"expand_by": "output"}, "must be 'input' or 'stage'"),
        ("resnet18", {"wdith": 9}, "Model 'resnet18' has no option 'wdith'"),
    ],
)
def test_mistakes_are_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(name, **options)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("cnn", (1, 16, 64), r"Layer 'stages.2.0' halves its input, which is 1 x 4 already"),
        ("resnet18", (3, 16, 16), r"Layer 'stages.3.0' halves its input, which is 1 x 1 already"),
        ("resnet20", (2, 2, 9), r"Layer 'stages.2.0' halves its input, which is 1 x 5 already"),
        ("efficientnet_b0", (3, 1, 1), r"Layer 'stem.0' halves its input"),
        ("resnet18", (1, 64, 64), r"takes images \[B, 3, H, W\], but was given \[2, 1, 64, 64\]"),
    ],
)
def test_images_that_do_not_fit_are_named(name: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(name)(torch.zeros(2, *shape))
    if shape[0] == SMALL[name][1][0]:
        with pytest.raises(ValueError, match="halves its input"):
            MODELS[name].flops(None, MODELS[name].BASELINE_WIDTHS, input_shape=shape)


def test_smallest_images_that_fit() -> None:
    for name, size in (("resnet18", 17), ("resnet20", 3), ("cnn", 17), ("efficientnet_b0", 17)):
        channels = SMALL[name][1][0]
        assert small(name)(torch.randn(2, channels, size, size)).shape == (2, 5)
        with pytest.raises(ValueError, match="halves its input"):
            small(name)(torch.randn(2, channels, size - 1, size))


def test_plain_modules_cannot_be_matched() -> None:
    @MODELS.register("plain")
    class Plain(nn.Module):
        def __init__(self, graph: RelationalGraph | None, num_classes: int) -> None:
            super().__init__()
            self.head = nn.Linear(3, num_classes)

    try:
        assert create_model("plain").head.out_features == 10
        with pytest.raises(
            ValueError, match="Model 'plain' has no width to be matched to a budget"
        ):
            relmp.match_flops("plain", graph=GRAPH)
    finally:
        del MODELS._items["plain"]


def test_widths_follow_the_first_stage() -> None:
    assert create_model("resnet34", width=32).widths == (32, 64, 128, 256)
    assert create_model("resnet34").widths == ResNet34.BASELINE_WIDTHS
    assert create_model("cnn", width=[9, 9, 9]).widths == (9, 9, 9)
    assert math.isclose(ResNet50.flops(None, (256, 512, 1024, 2048)) / 4.09e9, 1, rel_tol=0.01)
    assert CNN.flops(None, (64, 128, 256)) < CNN.flops(None, (64, 128, 257))


@pytest.mark.parametrize("name", ["graph", "num_classes", "seed"])
def test_what_a_config_holds_itself_is_not_an_option(name):
    with pytest.raises(ValueError, match=f"^{name} is a part of ModelConfig itself"):
        ModelConfig("mlp", options={name: 2})
