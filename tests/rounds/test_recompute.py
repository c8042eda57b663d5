"""Rounds of which the backward pass keeps the input alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import relmp
from relmp.rounds import Conv2dMessage, LinearMessage, Round
from relmp.training.config import Settings
from relmp.training.state import TrainState

GRAPH = relmp.create_graph("random_directed", n=6, p=0.5, seed=1)


def layer_of(execution: str, *, images: bool, momentum: float | None = 0.1) -> Round:
    def message(*sizes: int) -> nn.Module:
        return Conv2dMessage(*sizes, kernel_size=3, padding=1) if images else LinearMessage(*sizes)

    norm = nn.BatchNorm2d if images else nn.BatchNorm1d
    update = nn.Sequential(norm(15, momentum=momentum), nn.ReLU())
    layer = Round(GRAPH, 13, 15, message=message, update=update, bias=False, execution=execution)
    return layer.double()


def input_of(images: bool) -> Tensor:
    shape = (7, 13, 4, 5) if images else (7, 13)
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("execution", ["message_passing", "dense", "cpu_kernel"])
@pytest.mark.parametrize("images", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_nothing_but_memory_changes(
    execution: str, images: bool, training: bool, momentum: float | None
) -> None:
    plain = layer_of(execution, images=images, momentum=momentum).train(training)
    layer = copy.deepcopy(plain)
    layer.recompute = True
    for one in (plain, layer):
        x = input_of(images).requires_grad_()
        for _ in range(2):
            out = one(x)
            out.square().sum().backward()
        one.found = [x.grad, *(p.grad for p in one.parameters())]  # type: ignore[assignment]
    assert torch.equal(layer(input_of(images)), plain(input_of(images)))
    torch.testing.assert_close(layer.found, plain.found, rtol=0, atol=0)
    torch.testing.assert_close(layer.state_dict(), plain.state_dict(), rtol=0, atol=0)
    counted = layer.update_module[0].num_batches_tracked  # type: ignore[index]
    assert int(counted) == (3 if training else 0)


@pytest.mark.parametrize("images", [False, True])
def test_it_can_be_differentiated_again(images: bool) -> None:
    plain = layer_of("cpu_kernel", images=images)
    layer = copy.deepcopy(plain)
    layer.recompute = True
    found = []
    for one in (plain, layer):
        x = input_of(images).requires_grad_()
        (first,) = torch.autograd.grad(one(x).square().sum(), x, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), [x, *one.parameters()]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-12)


def kept_by(call: Any, x: Tensor) -> int:
    """Bytes that are kept for the backward pass."""
    storages: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        out = call(x)
    assert out.requires_grad
    return sum(storages.values())


@pytest.mark.parametrize("execution", ["message_passing", "dense", "cpu_kernel"])
def test_the_backward_pass_keeps_the_input_alone(execution: str) -> None:
    layer, x = layer_of(execution, images=True), input_of(True).requires_grad_()
    before = kept_by(layer, x)
    layer.recompute = True
    assert kept_by(layer, x) <= x.untyped_storage().nbytes() < before


@pytest.mark.parametrize("model", ["mlp", "residual_mlp", "cnn"])
def test_it_is_a_setting_of_training(model: str) -> None:
    histories, size = [], 32 if model == "cnn" else 8
    data = (torch.rand(96, 1, size, size), torch.arange(96) % 10)
    for recompute in (False, True):
        net = relmp.create_model(
            model, graph=GRAPH, width=12, seed=0,
            **({"in_channels": 1} if model == "cnn" else {"in_features": 64}),
            **({"fold": (1,)} if model == "residual_mlp" else {}),
        )  # fmt: skip
        history = relmp.train(net, data, epochs=2, batch_size=32, recompute=recompute)
        histories.append(history[["train_loss", "test_loss"]].to_numpy().tolist())
        assert not any(m.recompute for m in net.modules() if isinstance(m, Round))
    if model != "cnn":
        assert histories[0] == histories[1]
    else:  # a block in lanes adds up in another order
        torch.testing.assert_close(*map(torch.tensor, histories), rtol=1e-3, atol=1e-3)


def test_all_rounds_of_a_model_in_training_are_told() -> None:
    model = relmp.create_model("mlp", graph=GRAPH, width=12)
    TrainState(model, Settings.of("digits", {"recompute": True}).training)
    assert all(m.recompute for m in model.modules() if isinstance(m, Round))


@pytest.mark.parametrize("images", [False, True])
def test_normalisations_that_take_turns_take_the_same_ones_again(images: bool) -> None:
    """Every iteration of a fold has its own; the backward pass comes when all turns are over."""
    norm = nn.BatchNorm2d if images else nn.BatchNorm1d

    def message(*sizes: int) -> nn.Module:
        return Conv2dMessage(*sizes, kernel_size=3, padding=1) if images else LinearMessage(*sizes)

    layer = Round(GRAPH, 13, 13, message=message, update=nn.Sequential(norm(13), nn.Tanh()))
    plain = relmp.Folded(layer, 3).double()
    for number, part in enumerate(m for m in plain.modules() if isinstance(m, norm)):
        nn.init.constant_(part.weight, number + 1.0)
    for inner, outer in ((True, False), (False, True), (True, True)):
        ours = copy.deepcopy(plain)
        ours.recompute = outer
        ours.get_submodule("block").recompute = inner  # type: ignore[assignment]
        found = []
        for one in (ours, copy.deepcopy(plain)):
            x = input_of(images).requires_grad_()
            one(x).square().sum().backward()
            found.append(([x.grad, *(p.grad for p in one.parameters())], one.state_dict()))
        torch.testing.assert_close(*found, rtol=0, atol=0)


def test_a_compiled_model_decides_itself_what_it_keeps() -> None:
    with pytest.raises(ValueError, match="set recompute or compile, not both"):
        Settings.of("digits", {"recompute": True, "compile": True})


def test_what_was_told_by_hand_stays() -> None:
    model = relmp.create_model("mlp", graph=GRAPH, width=12)
    rounds = [module for module in model.modules() if isinstance(module, Round)]
    rounds[0].recompute = True
    for recompute in (False, True):
        state = TrainState(model, Settings.of("digits", {"recompute": recompute}).training)
        assert [layer.recompute for layer in rounds] == [True, recompute, recompute]
        state.finish()
        assert [layer.recompute for layer in rounds] == [True, False, False]
