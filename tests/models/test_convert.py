"""Ordinary models made relational, and relational models made ordinary."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

import relmp
from relmp.graphs import RelationalGraph, create_graph
from relmp.models import count_parameters, create_model, dense_reasons, relationalize, to_dense
from relmp.rounds import RelationalConv2d, RelationalLinear, Round, dense_weight
from tests.models.zoo import GRAPH, NAMES, SMALL

RING = RelationalGraph.from_edges([(0, 1), (1, 2), (2, 3), (3, 0)], directed=True)


def rounds_of(model: nn.Module) -> dict[str, Round]:
    return {name: module for name, module in model.named_modules() if isinstance(module, Round)}


class Net(nn.Module):
    """Something of everything that a model may hold."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.same = nn.Conv2d(8, 8, 3, padding="same", bias=False)
        self.grouped = nn.Conv2d(8, 8, 1, groups=2)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.reflecting = nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect")
        self.narrow = nn.Conv2d(8, 3, 1)
        self.wide = nn.Conv2d(3, 8, 1)
        self.strided = nn.Conv2d(8, 10, (3, 1), stride=2, padding=(1, 0), dilation=(2, 1))
        self.one = nn.Linear(10, 10)
        self.other = nn.Linear(10, 10)
        self.other.weight = self.one.weight
        self.normed = weight_norm(nn.Linear(10, 10))
        self.read = nn.Linear(10, 10)
        self.twice = nn.Linear(10, 10)
        self.again = self.twice
        self.head = nn.Linear(10, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(self.grouped(self.same(self.stem(x))))
        x = self.strided(self.wide(self.narrow(self.reflecting(x)))).mean((2, 3))
        x = self.normed(self.other(self.one(x))) @ self.read.weight
        return self.head(self.again(self.twice(x)))


REASONS = {
    "stem": "first layer",
    "same": None,
    "grouped": "grouped",
    "depthwise": "depth-wise",
    "reflecting": "padding mode 'reflect'",
    "narrow": "fewer channels (8 to 3) than 4 nodes",
    "wide": "fewer channels (3 to 8) than 4 nodes",
    "strided": None,
    "one": "shares its weight with another layer",
    "other": "shares its weight with another layer",
    "normed": "ParametrizedLinear is a kind of its own",
    "read": "Net reads its weight directly",
    "twice": None,
    "head": "last layer",
}


def test_every_layer_has_its_reason() -> None:
    net = Net()
    assert dense_reasons(net, RING) == REASONS
    assert dense_reasons(net, RING, skip="str*") == dense_reasons(net, RING, skip=["str*"])
    found = dense_reasons(net, RING, skip=["str*", "twice"])
    assert found == REASONS | {"strided": "skipped as asked", "twice": "skipped as asked"}


@pytest.mark.parametrize("keep_weights", [True, False])
def test_a_copy_is_made_relational(keep_weights: bool) -> None:
    net = Net().double().eval()
    net.strided.weight.requires_grad_(False)
    net.twice.bias.requires_grad_(False)
    state = {key: value.clone() for key, value in net.state_dict().items()}
    model = relationalize(net, RING, keep_weights=keep_weights)
    x = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    assert model(x).shape == (2, 2)
    assert model.kept_dense == {k: v for k, v in REASONS.items() if v is not None}
    assert set(rounds_of(model)) == {"same", "strided", "twice"}
    assert model.again is model.twice
    assert all(not layer.training for layer in rounds_of(model).values())
    assert not model.strided.weight.requires_grad
    assert not model.twice.bias.requires_grad
    assert model.same.weight.requires_grad
    assert all(torch.equal(net.state_dict()[key], value) for key, value in state.items())

    # The same, made by hand: zeros off the graph where weights are kept, other values else.
    for name, layer in rounds_of(model).items():
        dense = net.get_submodule(name)
        kept = dense_weight(layer)
        assert torch.equal(kept, dense.weight * (kept != 0)) is keep_weights
        if dense.bias is not None:
            assert torch.equal(layer.bias, dense.bias) is keep_weights
            dense.bias.data.copy_(layer.bias)
        else:
            assert layer.bias is None
        dense.weight.data.copy_(kept)
    torch.testing.assert_close(model(x), net(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(to_dense(model)(x), net(x), rtol=0, atol=1e-12)


def test_complete_graph_changes_nothing() -> None:
    model = torchvision.models.resnet18(num_classes=5).eval()
    relational = relationalize(model, create_graph("complete", n=16), keep_weights=True)
    x = torch.randn(1, 3, 33, 33)
    torch.testing.assert_close(relational(x), model(x), rtol=1e-4, atol=1e-4)
    assert count_parameters(relational) == count_parameters(model)
    dense = to_dense(relational)
    assert dense.state_dict().keys() == model.state_dict().keys()
    for key, value in dense.state_dict().items():
        assert torch.equal(value, model.state_dict()[key]), key


# Relational, too few channels, grouped or depth-wise, read by the parent; of all layers.
COUNTS = {
    ("resnet18", 64): (19, 0, 0, 0, 21),
    ("resnet50", 64): (52, 0, 0, 0, 54),
    ("vgg11_bn", 64): (9, 0, 0, 0, 11),
    ("densenet121", 64): (61, 58, 0, 0, 121),
    ("mobilenet_v2", 64): (22, 12, 17, 0, 53),
    ("efficientnet_b0", 64): (22, 42, 16, 0, 82),
    ("regnet_y_400mf", 64): (41, 27, 16, 0, 86),
    ("convnext_tiny", 64): (39, 0, 18, 0, 59),
    ("vit_b_16", 64): (24, 0, 0, 12, 38),
    ("resnet18", 16): (19, 0, 0, 0, 21),
    ("resnet50", 16): (52, 0, 0, 0, 54),
    ("vgg11_bn", 16): (9, 0, 0, 0, 11),
    ("densenet121", 16): (119, 0, 0, 0, 121),
    ("mobilenet_v2", 16): (34, 0, 17, 0, 53),
    ("efficientnet_b0", 16): (52, 12, 16, 0, 82),
    ("regnet_y_400mf", 16): (64, 4, 16, 0, 86),
    ("convnext_tiny", 16): (39, 0, 18, 0, 59),
    ("vit_b_16", 16): (24, 0, 0, 12, 38),
}


@pytest.mark.parametrize(("name", "nodes"), COUNTS)
def test_what_becomes_relational_in_models_of_torchvision(name: str, nodes: int) -> None:
    # The builder of RegNet reads numbers from tensors; the others need no storage.
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        model = getattr(torchvision.models, name)()
    reasons = dense_reasons(model, create_graph("complete", n=nodes))
    words = Counter((reason or "relational").split()[0] for reason in reasons.values())
    assert (words.pop("first"), words.pop("last")) == (1, 1)
    few, read = words.pop("fewer", 0), words.pop("MultiheadAttention", 0)
    grouped = words.pop("grouped", 0) + words.pop("depth-wise", 0)
    assert (words.pop("relational"), few, grouped, read, len(reasons)) == COUNTS[name, nodes]
    assert not words


@pytest.mark.parametrize(
    "name", ["mobilenet_v2", pytest.param("regnet_y_400mf", marks=pytest.mark.slow)]
)
def test_converted_models_learn_and_convert_back(name: str) -> None:
    graph = create_graph("ws_flex", n=16, k=4, p=0.2, seed=0)
    model = relationalize(getattr(torchvision.models, name)(num_classes=3), graph)
    x = torch.randn(2, 3, 64, 64)
    model(x).square().sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
    model.eval()
    torch.testing.assert_close(to_dense(model)(x), model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [64, 16])
@pytest.mark.parametrize("name", sorted({name for name, _ in COUNTS}))
def test_all_models_of_torchvision_run_relational_and_dense(name: str, nodes: int) -> None:
    graph = create_graph("ws_flex", n=nodes, k=nodes / 4, p=0.2, seed=0)
    model = relationalize(getattr(torchvision.models, name)(), graph, keep_weights=True).eval()
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(to_dense(model)(x), model(x), rtol=1e-4, atol=1e-5)


def test_attention_stays_and_its_feed_forward_reads_weights_too() -> None:
    """The encoder layer of torch reads ``linear1.weight`` itself, on its fast path."""
    encoder = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    model = nn.Sequential(nn.Linear(8, 16), encoder, nn.Linear(16, 16), nn.Linear(16, 2))
    reasons = dense_reasons(model, RING)
    assert reasons["1.self_attn.out_proj"] == "MultiheadAttention reads its weight directly"
    assert reasons["1.linear1"] == "TransformerEncoderLayer reads its weight directly"
    assert reasons["2"] is None
    out = relationalize(model, RING).eval()(torch.randn(2, 5, 8))
    assert out.shape == (2, 5, 2)


def test_rounds_are_left_alone() -> None:
    model = create_model("mlp", graph=GRAPH, in_features=9, width=16)
    with pytest.raises(ValueError, match="MLP has no inner layer that can become relational"):
        relationalize(model, RING)
    inner = nn.Sequential(nn.Linear(4, 8), model.rounds[0], nn.Linear(16, 8), nn.Linear(8, 2))
    inner[1] = Round(RING, 8, 16, update=nn.Sequential(nn.Linear(16, 16)))
    twin = relationalize(inner, RING)
    assert set(rounds_of(twin)) == {"1", "2"}
    assert twin(torch.randn(3, 4)).shape == (3, 2)


@pytest.mark.parametrize("name", NAMES)
def test_to_dense_has_the_same_function(name: str) -> None:
    model = create_model(name, graph=GRAPH, num_classes=5, **SMALL[name][0])
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    dense = to_dense(model)
    x = torch.randn(3, *SMALL[name][1])
    model.eval(), dense.eval()
    torch.testing.assert_close(dense(x), model(x), rtol=1e-4, atol=1e-5)
    assert not rounds_of(dense)
    assert rounds_of(model)
    buffer = io.BytesIO()
    torch.save(dense.state_dict(), buffer)
    buffer.seek(0)
    plain = create_model(name, num_classes=5, **model.config.options)
    if name != "efficientnet_b0":
        plain.load_state_dict(torch.load(buffer, weights_only=True))
        torch.testing.assert_close(plain.eval()(x), dense(x))


def test_a_converted_model_is_not_saved_as_what_it_was(tmp_path: Path) -> None:
    dense = to_dense(create_model("mlp", graph=GRAPH, in_features=64, width=16))
    with pytest.warns(UserWarning, match="keeps its weights alone"):
        relmp.train(dense, "digits", epochs=1, train_size=32, out=tmp_path / "run")
    with pytest.raises(ValueError, match="MLP was built by hand"):
        relmp.load_run(tmp_path / "run")


def test_single_layers_convert_too() -> None:
    assert isinstance(to_dense(RelationalLinear(RING, 8, 8)), nn.Linear)
    assert isinstance(to_dense(RelationalConv2d(RING, 8, 8, 3)), nn.Conv2d)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"skip names 'layer4.\*', but no .* they are stem, same"):
        relationalize(Net(), RING, skip=["layer4.*"])
    with pytest.raises(ValueError, match=r"Sequential has no inner .*'0': first layer; '1': last"):
        relationalize(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)), RING)
    with pytest.raises(ValueError, match="it has no linear or convolutional layer"):
        relationalize(nn.ReLU(), RING)
    model = create_model("mlp", graph=GRAPH, aggr="max", in_features=9, width=16)
    with pytest.raises(ValueError, match=r"Layer 'rounds.0': .* 'max' is not linear"):
        to_dense(model)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", ["mlp", "small_cnn", "resnet20"])
def test_trained_models_export_to_onnx(name: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    options = {"mlp": {"width": 64}, "small_cnn": {"width": 16, "stem_width": 16}}.get(name, {})
    graph = create_graph("ws_flex", n=16, k=5, p=0.2, seed=0)
    model = relmp.match_flops(name, graph=graph, input_shape=(1, 8, 8), **options)
    relmp.train(model, "digits", epochs=4, batch_size=32, lr=0.05, device="cpu")
    model.eval()
    dense = to_dense(model)
    x = torch.randn(16, 1, 8, 8)
    with torch.no_grad():
        expected = model(x)
        assert expected.abs().max() > 1, "it has not learned anything to compare"
        torch.testing.assert_close(dense(x), expected, rtol=0, atol=1e-5)
    path = tmp_path / "model.onnx"
    batch = torch.export.Dim("batch")
    torch.onnx.export(
        dense, (x[:2],), path, dynamo=True, verbose=False, dynamic_shapes=({0: batch},)
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    difference = float(np.abs(found - expected.numpy()).max())
    print(f"{name}: ONNX differs by {difference:.1e}")
    assert difference < 1e-5
