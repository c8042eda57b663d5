"""The fast executions equal the definition: over types, shapes, graphs and wrappers."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from relmp.graphs import RelationalGraph, create_graph
from relmp.rounds import Conv2dMessage, RelationalConv2d, RelationalLinear, Round
from relmp.rounds.execution import cpu_kernel, possible_executions, rule
from relmp.rounds.execution.convolution import Convolution, convolution_of
from tests.strategies import graphs_and_channels

ASYMMETRIC = RelationalGraph.from_edges([(0, 1), (1, 2), (3, 0), (4, 2)], 5, directed=True)
STAR = RelationalGraph.from_edges([(0, leaf) for leaf in range(1, 20)], 20)
SPARSE = create_graph("ws_flex", n=16, k=3, p=0.3, seed=0)

# What a sum of some hundred products may differ by, in units of its size.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 4e-2}


def results(layer: Round, x: Tensor, execution: str) -> list[Tensor]:
    """Output and gradients, all with the same incoming gradient."""
    layer.set_execution(execution)
    x = x.detach().clone().requires_grad_()
    out = layer(x)
    direction = torch.linspace(-1, 1, out.numel()).view_as(out).to(out.dtype)
    return [out.detach(), *torch.autograd.grad(out, [x, *layer.parameters()], direction)]


def agree(
    layer: Round,
    x: Tensor,
    reference: str = "message_passing",
    computed: torch.dtype | None = None,
) -> None:
    """All executions that can run the layer give what ``reference`` gives."""
    expected = results(layer, x, reference)
    for execution in possible_executions(layer):
        found = results(layer, x, execution)
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == other.dtype
            allowed = TOLERANCE[computed or one.dtype] * max(1.0, float(other.abs().max()))
            torch.testing.assert_close(one, other, rtol=0, atol=allowed)


@settings(deadline=None, max_examples=25)
@given(
    case=graphs_and_channels(max_nodes=6),
    images=st.sampled_from([1, 3, 16, 17, 33, 49]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    aggr=st.sampled_from(["sum", "mean"]),
    bias=st.booleans(),
)
def test_linear_rounds_agree(
    case: tuple[RelationalGraph, int, int], images: int, dtype: torch.dtype, aggr: str, bias: bool
) -> None:
    graph, c_in, c_out = case
    layer = Round(graph, c_in, c_out, aggr=aggr, bias=bias).to(dtype)
    agree(layer, torch.randn(images, c_in, dtype=dtype))


@settings(deadline=None, max_examples=25)
@given(
    case=graphs_and_channels(max_nodes=4),
    kernel=st.sampled_from([1, 3, (3, 2), 5]),
    stride=st.sampled_from([1, 2, (3, 1)]),
    padding=st.sampled_from([0, 1, (2, 1)]),
    dilation=st.sampled_from([1, 2]),
    height=st.integers(9, 12),
    images=st.sampled_from([1, 17, 33]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_convolutions_agree(
    case: tuple[RelationalGraph, int, int],
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    height: int,
    images: int,
    dtype: torch.dtype,
) -> None:
    graph, c_in, c_out = case
    layer = RelationalConv2d(graph, c_in, c_out, kernel, stride, padding, dilation).to(dtype)
    agree(layer, torch.randn(images, c_in, height, 9, dtype=dtype), reference="dense")


@settings(deadline=None, max_examples=25)
@given(
    case=graphs_and_channels(max_nodes=4),
    kernel=st.sampled_from([1, 3, (3, 2), 5]),
    stride=st.sampled_from([1, 2, (3, 1)]),
    padding=st.sampled_from([0, 1, (2, 1)]),
    dilation=st.sampled_from([1, 2]),
    height=st.sampled_from([9, 11, 12]),
    images=st.sampled_from([1, 2, 3, 7]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_a_few_images_in_parts_agree(
    case: tuple[RelationalGraph, int, int],
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    height: int,
    images: int,
    dtype: torch.dtype,
) -> None:
    graph, c_in, c_out = case
    geometry = (kernel, stride, padding, dilation)
    layer = RelationalConv2d(graph, c_in, c_out, *geometry, execution="cpu_kernel").to(dtype)
    x = torch.randn(images, c_in, height, 12, dtype=dtype)
    agree(layer, x, reference="dense")
    whole = results(layer, torch.cat([x] * 16)[:16], "cpu_kernel")[0][:images]
    allowed = TOLERANCE[dtype] * max(1.0, float(whole.abs().max()))
    torch.testing.assert_close(results(layer, x, "cpu_kernel")[0], whole, rtol=0, atol=allowed)


@pytest.mark.parametrize(("in_size", "out_size"), [(13, 13), (25, 7), (1, 30), (5, 4)])
def test_nodes_larger_than_a_tile_agree(in_size: int, out_size: int) -> None:
    layer = RelationalLinear(ASYMMETRIC, 5 * in_size + 3, 5 * out_size + 1).double()
    agree(layer, torch.randn(40, 5 * in_size + 3, dtype=torch.float64))
    images = RelationalConv2d(ASYMMETRIC, 5 * in_size + 3, 5 * out_size + 1, 3, 2, 1).double()
    agree(images, torch.randn(40, 5 * in_size + 3, 5, 6, dtype=torch.float64), reference="dense")


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_by_name(padding: str) -> None:
    layer = RelationalConv2d(ASYMMETRIC, 7, 6, (2, 3), padding=padding, dilation=(1, 2)).double()
    agree(layer, torch.randn(3, 7, 6, 7, dtype=torch.float64))


def test_degrees_that_differ_widely() -> None:
    layer = RelationalLinear(STAR, 47, 43).double()
    assert possible_executions(layer) == ["message_passing", "dense", "cpu_kernel"]
    agree(layer, torch.randn(9, 47, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"'gathered' cannot run .* 2.9 edges on average.*20"):
        layer.set_execution("gathered")


def test_images_in_any_memory_format() -> None:
    layer = RelationalConv2d(ASYMMETRIC, 7, 6, 3, padding=1).double()
    x = torch.randn(4, 7, 6, 8, dtype=torch.float64)
    agree(layer, x.to(memory_format=torch.channels_last))
    agree(layer, x.transpose(2, 3))
    linear = RelationalLinear(ASYMMETRIC, 7, 6).double()
    agree(linear, torch.randn(7, 4, dtype=torch.float64).t())


@pytest.mark.parametrize("execution", ["dense", "gathered", "cpu_kernel"])
def test_a_mean_stays_exact_in_another_type(execution: str) -> None:
    layer = Round(STAR if execution != "gathered" else SPARSE, 47, 43, aggr="mean")
    layer.set_execution(execution)
    x = torch.randn(9, 47, dtype=torch.float64)
    moved = layer.double()(x)
    expected = results(layer, x, "message_passing")[0]
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("execution", ["gathered", "cpu_kernel"])
def test_no_images(execution: str) -> None:
    layer = RelationalLinear(ASYMMETRIC, 7, 6, execution=execution)
    x = torch.randn(0, 7, requires_grad=True)
    out = layer(x)
    assert out.shape == (0, 6)
    out.sum().backward()
    assert layer.weight.grad is not None
    assert not layer.weight.grad.any()


@pytest.mark.parametrize("execution", ["gathered", "cpu_kernel"])
def test_derivatives_of_any_order(execution: str) -> None:
    layer = RelationalLinear(ASYMMETRIC, 6, 7, execution=execution).double()
    x = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    weight = layer.weight.detach().clone().requires_grad_()

    def call(x: Tensor, w: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"message_module.weight": w}, (x,))

    assert torch.autograd.gradcheck(call, (x, weight))
    assert torch.autograd.gradgradcheck(call, (x, weight))


def test_derivatives_of_a_convolution() -> None:
    layer = RelationalConv2d(ASYMMETRIC, 5, 6, 3, 2, 1, bias=False, execution="cpu_kernel")
    layer.double()
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64, requires_grad=True)
    weight = layer.weight.detach().clone().requires_grad_()

    def call(x: Tensor, w: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"message_module.weight": w}, (x,))

    real = (weight != 0).double()  # padded slots are held at zero
    assert torch.autograd.gradcheck(lambda x, w: call(x, w * real), (x, weight))
    assert torch.autograd.gradgradcheck(lambda x, w: call(x, w * real), (x, weight))


@pytest.mark.parametrize("execution", ["message_passing", "gathered", "cpu_kernel", "dense"])
def test_only_what_is_wanted_is_differentiated(execution: str) -> None:
    layer = RelationalLinear(ASYMMETRIC, 7, 6, execution=execution)
    x = torch.randn(3, 7)
    layer(x).sum().backward()
    layer.requires_grad_(False)
    assert layer(x.requires_grad_()).sum().backward() is None
    assert x.grad is not None


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_the_operators_are_well_formed() -> None:
    """PyTorch's own check of schema, fake kernels and autograd, with compilation."""
    from relmp.rounds.execution.cpu.operators import round_forward

    layer = RelationalConv2d(ASYMMETRIC, 7, 6, 3, 2, 1, execution="cpu_kernel")
    table = layer.executor.table
    geometry = convolution_of(layer.message_module.geometry, (5, 6)).numbers()
    x = torch.randn(3, 7, 5, 6, requires_grad=True)
    weight = layer.weight.detach().clone().requires_grad_()
    torch.library.opcheck(round_forward, (x, weight, table, layer.executor.dims, geometry))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_the_operators_of_vectors_are_well_formed() -> None:
    from relmp.rounds.execution.cpu.vectors.operators import round_forward

    layer = RelationalLinear(ASYMMETRIC, 7, 6, execution="cpu_kernel")
    x, weight = torch.randn(3, 7), layer.weight.detach().clone()
    rest = (layer.executor.table, layer.executor.dims)
    torch.library.opcheck(round_forward, (x.requires_grad_(), weight.requires_grad_(), *rest))


@pytest.mark.parametrize("form", ["linear", "convolution"])
def test_under_autocast(form: str) -> None:
    if form == "linear":
        layer: Round = RelationalLinear(SPARSE, 70, 50)
        x = torch.randn(33, 70)
    else:
        layer = RelationalConv2d(SPARSE, 37, 50, 3, padding=1)
        x = torch.randn(5, 37, 4, 5)
    for dtype in (torch.bfloat16, torch.float32):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            agree(layer, x, reference="dense", computed=dtype)
    layer.double()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        agree(layer, x.double(), reference="dense")


def test_layers_in_half_precision() -> None:
    layer = RelationalLinear(SPARSE, 70, 50, bias=False).bfloat16()
    assert layer.execution == "dense"
    agree(layer, torch.randn(33, 70, dtype=torch.bfloat16))
    layer.float().set_execution("cpu_kernel")
    with pytest.raises(ValueError, match="input is torch.float64 but the weights are torch.float3"):
        layer(torch.randn(33, 70, dtype=torch.float64))


@pytest.mark.parametrize("execution", ["gathered", "cpu_kernel"])
def test_state_copies_and_modes(execution: str) -> None:
    layer = RelationalLinear(ASYMMETRIC, 11, 13, execution=execution)
    assert set(layer.state_dict()) == {"message_module.weight", "bias", "edge_index"}
    x = torch.randn(3, 11)
    twin = copy.deepcopy(layer)
    with torch.no_grad():
        twin.weight.mul_(2)
    assert not torch.equal(twin(x), layer(x))
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), layer.to_dense()(x))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_compiled_model_uses_the_kernels() -> None:
    torch.manual_seed(0)
    geometry = {"kernel_size": 3, "padding": 1}
    model = nn.Sequential(
        Round(
            SPARSE,
            32,
            40,
            message=partial(Conv2dMessage, **geometry),
            update=nn.Sequential(nn.BatchNorm2d(40), nn.ReLU()),
            execution="cpu_kernel",
        ),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        RelationalLinear(SPARSE, 40, 24, execution="gathered"),
    )
    twin = copy.deepcopy(model)
    compiled = torch.compile(model, fullgraph=True)
    for images in (4, 6):
        x = torch.randn(images, 32, 6, 6)
        (found, expected) = (call(x) for call in (compiled, twin))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        found.square().sum().backward()
        expected.square().sum().backward()
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-4)


def test_threads_and_callers_do_not_disturb_each_other() -> None:
    layer = RelationalLinear(SPARSE, 70, 50, execution="cpu_kernel")
    inputs = [torch.randn(33, 70) for _ in range(8)]
    expected = [layer(x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(pool.map(layer, inputs), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            torch.testing.assert_close(layer(inputs[0]), expected[0], rtol=0, atol=0)
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_runs_the_kernels() -> None:
    """Workers of a data loader are forked, after kernels have run in the parent."""
    code = (
        "import os, torch, relmp\n"
        "torch.set_num_threads(2)\n"
        "graph = relmp.create_graph('ws_flex', n=16, k=3, p=0.3, seed=0)\n"
        "layer = relmp.RelationalLinear(graph, 64, 64, execution='cpu_kernel')\n"
        "layer(torch.ones(2, 64)); child = os.fork()\n"
        "if child == 0:\n    layer(torch.ones(2, 64)); os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.strip() == "7"


def test_without_openmp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's threads share the tasks; the results are the same to the last bit."""
    from relmp.rounds.execution.cpu import threads

    layer = RelationalConv2d(SPARSE, 37, 50, 3, execution="cpu_kernel")
    x = torch.randn(33, 37, 5, 5)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        expected = results(layer, x, "cpu_kernel")
        monkeypatch.setattr(threads, "openmp", lambda: 0)
        for one, other in zip(results(layer, x, "cpu_kernel"), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
    finally:
        torch.set_num_threads(before)


DDP_SCRIPT = """
import sys, torch, torch.distributed as dist
from torch import nn
import relmp
rank, meeting, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
graph = relmp.create_graph("ws_flex", n=8, k=3, p=0.3, seed=0)
torch.manual_seed(0)
model = nn.Sequential(
    relmp.RelationalConv2d(graph, 17, 20, 3, padding=1, execution="cpu_kernel"),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    relmp.RelationalLinear(graph, 20, 9, execution="gathered"),
).double()
x = torch.randn(6, 17, 4, 4, dtype=torch.float64)
part = nn.parallel.DistributedDataParallel(model)
part(x[3 * rank : 3 * rank + 3]).square().mean().backward()
if rank == 0:
    found = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    model(x).square().mean().backward()
    torch.save([found, [p.grad for p in model.parameters()]], out)
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    out, meeting = tmp_path / "gradients.pt", str(tmp_path / "meeting")
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", DDP_SCRIPT, rank, meeting, str(out)]
        )
        for rank in "01"
    ]
    assert [process.wait(timeout=180) for process in processes] == [0, 0]
    for one, other in zip(*torch.load(out, weights_only=True), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


# What is chosen -------------------------------------------------------------------------------


def test_auto_takes_the_table() -> None:
    complete, ring = create_graph("complete", n=16), create_graph("ws_flex", n=16, k=2, p=0, seed=0)
    assert RelationalLinear(complete, 64, 64).execution == "dense"
    assert RelationalLinear(ring, 640, 640).execution == "cpu_kernel"
    assert RelationalConv2d(ring, 64, 64, 3).execution == "cpu_kernel"
    assert Round(ring, 640, 640, aggr="mean").execution == "cpu_kernel"
    assert Round(ring, 640, 640, aggr="max").execution == "message_passing"
    for table in rule.SHIPPED:
        smallest = {row.kind for row in table.rows if row.size == 1}
        assert smallest == {"linear", "pointwise", "spatial"}


def test_auto_chooses_again_for_another_type() -> None:
    layer = RelationalLinear(SPARSE, 640, 640)
    assert layer.execution == "cpu_kernel"
    assert layer.half().execution == "dense"
    assert layer.double().execution == "cpu_kernel"
    layer.set_execution("gathered")
    assert layer.float().execution == "gathered"


def test_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    from relmp.rounds import execution

    execution._warn_once.cache_clear()
    for module in (execution, cpu_kernel):
        monkeypatch.setattr(module, "numba_refusal", lambda: "numba cannot be used (gone)")
    with pytest.warns(UserWarning, match="more slowly .* numba cannot be used"):
        layer = RelationalLinear(SPARSE, 640, 640)
    assert layer.execution in ("gathered", "dense")
    RelationalConv2d(SPARSE, 32, 32, 3)  # the second says nothing: warnings are errors here
    with pytest.raises(ValueError, match="'cpu_kernel' cannot run this round: numba cannot be"):
        layer.set_execution("cpu_kernel")


def test_a_table_for_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.json"
    rows = [
        f'{{"kind": "{kind}", "size": 1, "cpu_kernel": 0.0, "gathered": 1.0}}'
        for kind in ("linear", "pointwise", "spatial")
    ]
    path.write_text(f'{{"table": [{", ".join(rows)}]}}')
    monkeypatch.setenv(rule.TABLE_VARIABLE, str(path))
    assert RelationalLinear(SPARSE, 640, 640).execution == "gathered"
    assert RelationalConv2d(SPARSE, 32, 32, 3).execution == "dense"
    (tmp_path / "other.json").write_text('{"table": []}')
    monkeypatch.setenv(rule.TABLE_VARIABLE, str(tmp_path / "other.json"))
    with pytest.raises(ValueError, match=r"other.json', which holds no table: it needs a row"):
        RelationalLinear(SPARSE, 640, 640)


def test_small_images_are_named() -> None:
    layer = RelationalConv2d(ASYMMETRIC, 5, 5, 5, execution="cpu_kernel")
    with pytest.raises(ValueError, match="images, 4 x 6, are smaller than the kernel"):
        layer(torch.randn(1, 5, 4, 6))


def test_a_subclass_with_another_forward_is_not_taken_for_its_parent() -> None:
    class Doubled(Conv2dMessage):
        def forward(self, x_i: Tensor | None, x_j: Tensor) -> Tensor:
            return 2 * super().forward(x_i, x_j)

    layer = Round(ASYMMETRIC, 5, 5, message=partial(Doubled, kernel_size=1))
    assert "cpu_kernel" not in possible_executions(layer)


def test_pixels_by_hand() -> None:
    from relmp.rounds.execution.cpu.pixels import backward_taps, forward_taps, tap_pairs

    geometry = Convolution((1, 3), (1, 2), (0, 1), (1, 1), (1, 4), (1, 2))
    taps = forward_taps(geometry)
    assert taps.ptr.tolist() == [0, 2, 5]
    assert taps.other.tolist() == [0, 1, 1, 2, 3]
    assert taps.tap.tolist() == [1, 2, 0, 1, 2]
    back = backward_taps(geometry)
    assert np.diff(back.ptr).tolist() == [1, 2, 1, 1]
    assert tap_pairs(geometry).ptr.tolist() == [[0, 1, 3, 5]]
    assert Convolution.of(geometry.numbers()) == geometry
