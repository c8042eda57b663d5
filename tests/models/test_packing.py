"""Images handed on in lanes: a model gives what its layers give one after the other."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from relmp.graphs import RelationalGraph
from relmp.models import create_model
from relmp.models.parts.packing import in_turn
from relmp.rounds import Conv2dMessage, RelationalConv2d, Round

GRAPH = RelationalGraph.from_edges([(0, 1), (1, 2), (3, 0), (4, 2)], 5, directed=True)
MODELS: dict[str, dict[str, Any]] = {
    "resnet20": {"width": (7, 11, 16)},
    "resnet34_sep": {"width": (6, 7, 8, 10)},
    "resnet50": {"width": (20, 24, 28, 32), "stem": "cifar"},
    "small_cnn": {"width": (7, 8, 9)},
}
PACKED = {"resnet20": (1, 1, 21), "resnet50": (5, 5, 48), "small_cnn": (1, 1, 6)}
"""How often images, eight or more, go into lanes and back, and rounds between them."""


def make(name: str = "resnet20", dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    model = create_model(name, graph=GRAPH, num_classes=3, execution="cpu_kernel", **MODELS[name])
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            with torch.no_grad():
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-1, 1)
    return model.to(dtype)


def by_layers(model: nn.Module) -> nn.Module:
    """A copy whose rounds are one dense product, so that PyTorch does everything."""
    twin = copy.deepcopy(model)
    for layer in twin.modules():
        if isinstance(layer, Round):
            layer.set_execution("dense")
    return twin


def steps_of(out: Tensor) -> tuple[int, int, int]:
    """How often images went into lanes and back, and rounds in lanes, on the way here."""
    seen, left, names = set(), [out.grad_fn], Counter[str]()
    while left:
        step = left.pop()
        if step is not None and step not in seen:
            seen.add(step)
            names[type(step).__name__] += 1
            left += [before for before, _ in step.next_functions]
    return names["_PackBackward"], names["_UnpackBackward"], names["_PackedRoundBackward"]


def agree(model: nn.Module, x: Tensor, tolerance: float = 1e-10) -> Tensor:
    twin, x = by_layers(model), x.detach().requires_grad_()
    out, expected = model(x), twin(x)
    direction = torch.randn_like(expected)
    found = torch.autograd.grad(out, [x, *model.parameters()], direction)
    wanted = torch.autograd.grad(expected, [x, *twin.parameters()], direction)
    pairs = [(out, expected), *zip(found, wanted, strict=True)]
    pairs += list(zip(statistics(model), statistics(twin), strict=True))
    for one, other in pairs:
        allowed = tolerance * max(1.0, float(other.detach().abs().max()))
        torch.testing.assert_close(one, other, rtol=0, atol=allowed)
    return out


def statistics(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            yield from module.buffers()


@pytest.mark.parametrize("trains", [True, False])
@pytest.mark.parametrize("images", [1, 9, 17])
@pytest.mark.parametrize("name", MODELS)
def test_models_agree(name: str, images: int, trains: bool) -> None:
    size = 32 if name.startswith("resnet34") else 16
    model = make(name).train(trains)
    if name.startswith("resnet34"):  # its images become too small for one in training
        images = max(images, 2)
    tolerance = 1e-7 if name == "resnet50" else 1e-10  # 53 norms of a few values each
    out = agree(model, torch.randn(images, 3, size, size, dtype=torch.float64), tolerance)
    if name in PACKED:
        assert steps_of(out) == PACKED[name]


def test_in_float32() -> None:
    model = make(dtype=torch.float32)
    out = agree(model, torch.randn(33, 3, 16, 16), tolerance=1e-3)
    assert steps_of(out) == PACKED["resnet20"]


def test_without_gradients() -> None:
    model, x = make(), torch.randn(8, 3, 16, 16, dtype=torch.float64)
    expected = by_layers(model)(x)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected)
    with torch.inference_mode():
        torch.testing.assert_close(twin(x), expected)


def test_frozen_weights() -> None:
    model, x = make(), torch.randn(8, 3, 16, 16, dtype=torch.float64)
    for parameter in model.stages.parameters():
        parameter.requires_grad_(False)
    twin = by_layers(model)
    for one in (model, twin):
        one(x).square().sum().backward()
    assert all(p.grad is None for p in model.stages.parameters())
    torch.testing.assert_close(model.stem[0].weight.grad, twin.stem[0].weight.grad)


def test_every_hook_sees_what_it_saw() -> None:
    model = make()
    twin = by_layers(model)
    x = torch.randn(8, 3, 8, 8, dtype=torch.float64)
    expected = twin(x)
    seen: list[Tensor] = []
    for name, module in model.named_modules():
        if not name.startswith("stages") or ".executor" in name or ".aggr" in name:
            continue
        seen.clear()
        both = (module, twin.get_submodule(name))
        handles = [m.register_forward_hook(lambda *a: seen.append(a[2])) for m in both]
        found, wanted = model(x), twin(x)
        for handle in handles:
            handle.remove()
        torch.testing.assert_close(found, wanted)
        torch.testing.assert_close(found, expected)
        here, there = seen
        torch.testing.assert_close(here, there)


def test_hooks_on_gradients_and_all_modules() -> None:
    model, x = make(), torch.randn(8, 3, 8, 8, dtype=torch.float64)
    seen: list[torch.Size] = []
    block = model.stages[1][1]
    handle = block.body[0].register_full_backward_hook(lambda *a: seen.append(a[2][0].shape))
    out = agree(model, x)
    assert steps_of(out) != PACKED["resnet20"]
    assert seen == [torch.Size([8, 11, 4, 4])] * 2  # the copy has the hook as well
    handle.remove()
    count = []
    with torch.nn.modules.module.register_module_forward_hook(lambda *a: count.append(a[0])):
        model(x)
    assert block.body[0].update_module[0] in count
    assert steps_of(model(x)) == PACKED["resnet20"]


def test_a_module_of_ones_own_takes_images() -> None:
    torch.manual_seed(0)
    seen = []

    class Looks(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.shape)
            return 2 * x

    def one(channels: int, out: int) -> Round:
        norm = nn.Sequential(nn.BatchNorm2d(out), nn.ReLU())
        message = partial(Conv2dMessage, kernel_size=3, padding=1)
        how: dict[str, Any] = {"update": norm, "bias": False, "execution": "cpu_kernel"}
        return Round(GRAPH, channels, out, message=message, **how)

    bare = RelationalConv2d(GRAPH, 9, 7, 1, bias=False, execution="cpu_kernel")
    with_bias = RelationalConv2d(GRAPH, 7, 7, 1, execution="cpu_kernel")
    parts = [one(6, 8), nn.Sequential(one(8, 9), Looks()), one(9, 9), bare, with_bias]
    modules = nn.Sequential(*parts).double()
    x = torch.randn(8, 6, 5, 4, dtype=torch.float64, requires_grad=True)
    twin = by_layers(modules)
    out, expected = in_turn(modules, x), twin(x)
    torch.testing.assert_close(out, expected)
    assert steps_of(out) == (3, 3, 5)
    assert seen == [torch.Size([8, 9, 5, 4])] * 2
    found, wanted = (torch.autograd.grad(y.sin().sum(), x)[0] for y in (out, expected))
    torch.testing.assert_close(found, wanted)
    with pytest.raises(ValueError, match=r"takes \[B, 6, H, W\], but was given \[8, 7, 5, 4\]"):
        in_turn(nn.Sequential(modules[3], modules[0]), torch.randn(8, 9, 5, 4).double())


def test_a_sum_of_other_images_is_refused() -> None:
    block = make().stages[1][0]
    block.body[1].message_module.geometry = block.body[0].message_module.geometry  # a stride more
    with pytest.raises(ValueError, match=r"gives \[8, 11, 2, 2\], but what is to be added is"):
        block(torch.randn(8, 7, 8, 8, dtype=torch.float64))


def test_second_derivatives_of_a_block() -> None:
    for trains in (True, False):
        model = make().train(trains)
        block, twin = model.stages[1][0], by_layers(model).stages[1][0]
        x = torch.randn(8, 7, 4, 4, dtype=torch.float64, requires_grad=True)
        results = []
        for one in (block, twin):
            inputs = [x, *one.parameters()]
            first = torch.autograd.grad(one(x).sin().sum(), inputs, create_graph=True)
            size = sum(g.square().sum() for g in first)
            results.append([*first, *torch.autograd.grad(size, inputs)])
        assert steps_of(block(x)) == (1, 1, 3)
        for found, wanted in zip(*results, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-9)


def test_autocast_as_before() -> None:
    model, x = make(dtype=torch.float32).eval(), torch.randn(8, 3, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, expected = model(x), by_layers(model)(x)
    assert steps_of(out) == (0, 0, 0) or steps_of(out)[0] == steps_of(out)[2]  # round by round
    assert out.dtype == expected.dtype
    torch.testing.assert_close(out, expected, rtol=0.1, atol=0.1)


def test_checkpoints_count_statistics_as_pytorch_does() -> None:
    model, x = make(), torch.randn(8, 7, 6, 6, dtype=torch.float64, requires_grad=True)
    block = model.stages[0][1]
    twin = copy.deepcopy(block)
    out = torch.utils.checkpoint.checkpoint(block, x, use_reentrant=False)
    inputs = [x, *block.parameters()]
    found = torch.autograd.grad(out.sin().sum(), inputs)
    wanted = torch.autograd.grad(twin(x).sin().sum(), [x, *twin.parameters()])
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_states_and_copies_are_those_of_the_layers() -> None:
    model, x = make().eval(), torch.randn(8, 3, 8, 8, dtype=torch.float64)
    twin = make().eval()
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1)
    twin.load_state_dict(model.state_dict())
    torch.testing.assert_close(twin(x), model(x), rtol=0, atol=0)


def test_under_ddp(tmp_path: Path) -> None:
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    where = f"file://{tmp_path / 'meeting'}"
    dist.init_process_group("gloo", init_method=where, rank=0, world_size=1)
    try:
        model, x = make(), torch.randn(8, 3, 8, 8, dtype=torch.float64)
        twin = by_layers(model)
        out = DistributedDataParallel(model)(x)
        assert steps_of(out) == PACKED["resnet20"]
        out.square().sum().backward()
        twin(x).square().sum().backward()
        for one, other in zip(model.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-8, atol=1e-9)
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_compiled_model_agrees() -> None:
    model, x = make("small_cnn", torch.float32), torch.randn(8, 3, 16, 16)
    twin = copy.deepcopy(model)
    out, expected = torch.compile(model, fullgraph=True)(x), twin(x)
    torch.testing.assert_close(out, expected, rtol=1e-3, atol=1e-4)
    for one in (out, expected):
        one.square().sum().backward()
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-2, atol=1e-3)
