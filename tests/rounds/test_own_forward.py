"""A round computes what its message says, whatever it overrides, holds or is watched by."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad

import relmp
from relmp.graphs import RelationalGraph, create_graph
from relmp.rounds import Round
from relmp.rounds.execution import EXECUTIONS, MESSAGE_PASSING, possible_executions
from relmp.testing import check_message

GRAPH = create_graph("ws_flex", n=8, k=4, p=0.3, seed=1)
ARC = RelationalGraph(2, [[0], [1]])
LINEAR_ONLY = [name for name in EXECUTIONS if name not in ("auto", "gpu_kernel")]
FUSED = [name for name in LINEAR_ONLY if name != MESSAGE_PASSING]


class Doubled(relmp.LinearMessage):
    def forward(self, x_i: Tensor | None, x_j: Tensor) -> Tensor:
        return 2 * super().forward(x_i, x_j)


class DoubledKernel(relmp.Conv2dMessage):
    def forward(self, x_i: Tensor | None, x_j: Tensor) -> Tensor:
        return 2 * super().forward(x_i, x_j)


class Stated(relmp.LinearMessage):
    """The same map, computed another way, and its class says so."""

    is_linear_map = True
    listens = False

    def forward(self, x_i: Tensor | None, x_j: Tensor) -> Tensor:
        return torch.einsum("ebi,eoi->ebo", x_j, self.weight)


class Liar(relmp.LinearMessage):
    is_linear_map = True

    def forward(self, x_i: Tensor | None, x_j: Tensor) -> Tensor:
        return super().forward(x_i, x_j) + 1


def twice(layer: Round, x: Tensor) -> Tensor:
    """Twice the linear round with the same weights."""
    message: Any = layer.message_module
    if x.dim() == 2:
        plain: Round = relmp.RelationalLinear(layer.graph, layer.in_channels, layer.out_channels)
    else:
        plain = relmp.RelationalConv2d(layer.graph, layer.in_channels, layer.out_channels, 3)
    plain_message: Any = plain.message_module
    plain_message.weight.data = message.weight.data.clone()
    assert plain.bias is not None
    assert layer.bias is not None
    return 2 * (plain(x) - plain.bias.view(-1, *[1] * (x.dim() - 2))) + layer.bias.view(
        -1, *[1] * (x.dim() - 2)
    )


@pytest.mark.parametrize("images", [False, True])
def test_an_overridden_forward_is_what_is_computed(images: bool) -> None:
    torch.manual_seed(0)
    if images:
        layer: Round = relmp.RelationalConv2d(GRAPH, 19, 21, 3, message=DoubledKernel)
        x = torch.randn(2, 19, 5, 5)
    else:
        layer, x = Round(GRAPH, 19, 21, message=Doubled), torch.randn(3, 19)
    assert layer.execution == MESSAGE_PASSING
    assert possible_executions(layer) == [MESSAGE_PASSING]
    torch.testing.assert_close(layer(x), twice(layer, x))


@pytest.mark.parametrize("execution", FUSED)
def test_no_other_execution_takes_a_forward_of_its_own(execution: str) -> None:
    with pytest.raises(ValueError, match="Doubled has a forward of its own.*is_linear_map = True"):
        Round(GRAPH, 16, 16, message=Doubled, execution=execution)
    with pytest.raises(ValueError, match="has no dense form: Doubled has a forward of its own"):
        relmp.RelationalLinear(GRAPH, 16, 16, message=Doubled).to_dense()


def test_a_forward_that_is_set_on_one_message_is_called() -> None:
    layer = Round(GRAPH, 16, 16)
    message: Any = layer.message_module
    message.forward = lambda x_i, x_j: torch.zeros_like(x_j)
    layer.set_execution("auto")
    assert layer.execution == MESSAGE_PASSING
    torch.testing.assert_close(layer(torch.randn(3, 16)), layer.bias.expand(3, -1))


@pytest.mark.parametrize("execution", LINEAR_ONLY)
def test_a_class_may_state_that_it_is_the_map(execution: str) -> None:
    torch.manual_seed(0)
    layer = Round(GRAPH, 19, 21, message=Stated, execution=execution)
    x = torch.randn(3, 19)
    expected = layer(x)
    layer.set_execution(MESSAGE_PASSING)
    torch.testing.assert_close(layer(x), expected)
    assert check_message(Stated) == []


def test_check_message_finds_a_false_statement() -> None:
    with pytest.raises(AssertionError, match="Liar states is_linear_map, but its forward is not"):
        check_message(Liar)


@pytest.mark.parametrize("execution", LINEAR_ONLY)
def test_hooks_see_and_change_messages(execution: str) -> None:
    torch.manual_seed(0)
    layer = Round(GRAPH, 16, 24, execution=execution, bias=False)
    x = torch.randn(3, 16)
    plain, seen = layer(x), []

    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        seen.append((inputs[1].shape, output.shape))
        return 3 * output

    handle = layer.message_module.register_forward_hook(hook)
    torch.testing.assert_close(layer(x), 3 * plain)
    edges = GRAPH.num_edges
    assert seen == [((edges, 3, 2), (edges, 3, 3))]
    assert layer.execution == execution
    handle.remove()
    assert torch.equal(layer(x), plain)


COMPLEX = pytest.mark.filterwarnings("ignore:Complex modules are a new feature")


@COMPLEX
@pytest.mark.parametrize("execution", ["cpu_kernel", "gathered"])
def test_a_pinned_execution_is_judged_again_when_the_type_changes(execution: str) -> None:
    torch.manual_seed(0)
    layer = relmp.RelationalLinear(GRAPH, 16, 16, execution=execution)
    with pytest.raises(ValueError, match=f"'{execution}' cannot run this round.*complex64"):
        layer.to(torch.complex64)
    x = torch.randn(3, 16, dtype=torch.complex64)
    expected = F.linear(x, layer.to_dense().weight, layer.bias)  # it has moved, and messages pass
    torch.testing.assert_close(layer(x), expected)


@COMPLEX
def test_auto_keeps_imaginary_parts() -> None:
    torch.manual_seed(0)
    layer = relmp.RelationalLinear(GRAPH, 1600, 1600, bias=False)
    assert layer.execution == "cpu_kernel"
    layer.to(torch.complex64)
    x = torch.randn(2, 1600, dtype=torch.complex64)
    expected = F.linear(x, layer.to_dense().weight)
    torch.testing.assert_close(layer(x), expected)
    assert layer(x).imag.abs().max() > 0.1


def test_the_loops_refuse_complex_input() -> None:
    layer = relmp.RelationalLinear(GRAPH, 16, 16, execution="cpu_kernel")
    with pytest.raises(ValueError, match="float32|real numbers"):
        layer(torch.randn(3, 16, dtype=torch.complex64))


# Composition ----------------------------------------------------------------------------------


class Mixed(relmp.Message):
    """Two messages inside one, of which one has other sizes than the round."""

    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.both = relmp.LinearMessage(num_edges, 2 * in_dim, 7)
        self.out = relmp.LinearMessage(num_edges, 7, out_dim)
        self.gate = nn.Linear(in_dim, 1)

    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        hidden = self.both(None, torch.cat([x_i, x_j], -1)).relu()
        return self.gate(x_j).sigmoid() * self.out(None, hidden)


class Plain(nn.Module):
    """No relmp.Message, but made of one."""

    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.inner = nn.ModuleList([relmp.LinearMessage(num_edges, in_dim, out_dim)])

    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return self.inner[0](x_i, x_j)


class Silent(Plain, relmp.Message):
    def reset_parameters(self, edges: relmp.rounds.Edges) -> None:
        pass


@pytest.mark.parametrize("message", [Mixed, Plain])
def test_parts_draw_themselves(message: type[nn.Module]) -> None:
    torch.manual_seed(0)
    layer = Round(GRAPH, 19, 21, message=message)
    for part in layer.message_module.modules():
        if isinstance(part, relmp.LinearMessage):
            assert part.weight.std() > 0.1 * part.weight.size(2) ** -0.5
    before = [p.clone() for p in layer.parameters()]
    layer.reset_parameters()
    assert not any(
        torch.equal(a, b) for a, b in zip(before, layer.message_module.parameters(), strict=False)
    )


def test_parts_clear_their_padding_and_count_real_parameters() -> None:
    layer = Round(GRAPH, 19, 21, message=Plain, bias=False)
    part: Any = layer.message_module.inner[0]
    real = layer.edges.target_mask[:, :, None] & layer.edges.source_mask[:, None, :]
    assert not bool(part.weight[~real].any())
    plain = relmp.RelationalLinear(GRAPH, 19, 21, bias=False)
    wrapped = Round(GRAPH, 19, 21, message=WrappedAsMessage, bias=False)
    assert wrapped.num_parameters() == plain.num_parameters()


class WrappedAsMessage(Plain, relmp.Message):
    pass


def test_a_composed_message_learns() -> None:
    model = relmp.create_model(
        "mlp", graph=GRAPH, in_features=64, width=64, message=Mixed, aggr="mean"
    )
    history = relmp.train(model, "digits", epochs=3)
    assert history["train_error"].iloc[-1] < 20


def test_check_message_finds_parts_that_nobody_draws() -> None:
    with pytest.raises(AssertionError, match=r"weights of 'inner\.0' in Silent are zero"):
        check_message(Silent)


# What check_message sees ----------------------------------------------------------------------


class Echo(nn.Module):
    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(num_edges, 1, 1))

    def forward(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return x_j * self.scale


class SpeakerFirst(nn.Module):
    """In PyG's order: told apart by name all the same."""

    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_edges, in_dim, out_dim))

    def forward(self, x_j: Tensor, x_i: Tensor) -> Tensor:
        return x_j @ self.weight


class SpeakerAlone(SpeakerFirst):
    def forward(self, x_j: Tensor) -> Tensor:  # type: ignore[override]
        return x_j @ self.weight


class Deaf(SpeakerFirst):
    def forward(self, x_j: Tensor, x_i: Tensor) -> Tensor:
        return x_i @ self.weight


class WrongFlops(SpeakerFirst):
    def flops(self) -> int:
        return 1


class Normed(SpeakerFirst):
    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__(num_edges, in_dim, out_dim)
        self.norm = nn.BatchNorm1d(out_dim)

    def forward(self, x_j: Tensor, x_i: Tensor) -> Tensor:
        out = x_j @ self.weight
        return self.norm(out.flatten(0, 1)).view_as(out)


@pytest.mark.parametrize("message", [SpeakerFirst, SpeakerAlone])
def test_states_are_told_apart_by_name(message: type[SpeakerFirst]) -> None:
    layer = Round(ARC, 2, 2, message=message, bias=False)
    weight: Any = layer.message_module.weight
    nn.init.ones_(weight)
    # Node 0 hears itself; node 1 hears node 0 and itself.
    assert layer(torch.tensor([[1.0, 10.0]])).tolist() == [[1.0, 11.0]]
    assert "cannot be matched to a budget" in check_message(message)[0]


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (Echo, "cannot turn nodes of 3 channels into larger ones"),
        (Deaf, "Nothing crosses an edge: Deaf does not say anything of x_j"),
        (WrongFlops, r"flops of WrongFlops cannot be counted by flops\(edges, positions\)"),
    ],
)
def test_check_message_says_what_is_wrong(message: type[nn.Module], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_message(message)


def test_a_batch_norm_inside_a_message_is_no_global_state() -> None:
    check_message(Normed)


# Drop-in --------------------------------------------------------------------------------------


@pytest.mark.parametrize("execution", ["message_passing", "dense", "cpu_kernel"])
def test_an_empty_batch_of_images(execution: str) -> None:
    layer = relmp.RelationalConv2d(GRAPH, 16, 24, 3, stride=2, padding=1, execution=execution)
    x = torch.zeros(0, 16, 7, 5, requires_grad=True)
    out = layer(x)
    assert out.shape == layer.to_dense()(x).shape == (0, 24, 4, 3)
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape


@pytest.mark.parametrize("execution", ["message_passing", "dense", "cpu_kernel"])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_images_without_rows_are_refused_as_torch_does(execution: str, padding: int) -> None:
    layer = relmp.RelationalConv2d(GRAPH, 16, 16, 3, padding=padding, execution=execution)
    with pytest.raises((RuntimeError, ValueError)) as caught:
        layer(torch.zeros(2, 16, 0, 5))
    assert not isinstance(caught.value, ZeroDivisionError)


@pytest.mark.parametrize("execution", LINEAR_ONLY)
def test_meta_tensors(execution: str) -> None:
    layer = relmp.RelationalLinear(GRAPH, 16, 24, execution=execution).to("meta")
    assert layer(torch.zeros(3, 16, device="meta")).shape == (3, 24)


@pytest.mark.parametrize("execution", LINEAR_ONLY)
@pytest.mark.parametrize("bias", [True, False])
def test_autocast_gives_the_type_of_a_dense_layer(execution: str, bias: bool) -> None:
    layer = relmp.RelationalLinear(GRAPH, 16, 24, bias=bias, execution=execution)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        x = torch.randn(3, 16)
        assert layer(x).dtype == layer.to_dense()(x).dtype == torch.bfloat16


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # PyTorch's own call
@pytest.mark.parametrize("execution", LINEAR_ONLY)
def test_function_transforms(execution: str) -> None:
    torch.manual_seed(0)
    layer = relmp.RelationalLinear(GRAPH, 16, 24, execution=execution)
    dense, x, tangent = layer.to_dense(), torch.randn(3, 16), torch.randn(3, 16)
    weights = dict(layer.named_parameters())

    def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(layer, weights, (x,)).square().sum()

    found = torch.func.grad(loss)(weights, x)
    loss(weights, x).backward()
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad)
    torch.testing.assert_close(torch.func.vmap(lambda x: layer(x[None])[0])(x), dense(x))
    _, moved = torch.func.jvp(layer, (x,), (tangent,))
    torch.testing.assert_close(moved, F.linear(tangent, dense.weight))
    with forward_ad.dual_level():
        out = layer(forward_ad.make_dual(x, tangent))
        torch.testing.assert_close(
            forward_ad.unpack_dual(out).tangent, F.linear(tangent, dense.weight)
        )
