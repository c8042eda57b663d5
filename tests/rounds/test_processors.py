"""Rounds are right on any processor and for any input; "auto" says for which it was measured."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from relmp.bench.timing import machine, text_of_machine
from relmp.graphs import create_graph
from relmp.machine import processor_family
from relmp.rounds import RelationalConv2d, RelationalLinear, Round
from relmp.rounds.execution import rule
from relmp.rounds.execution.cpu.simd import VECTOR_BYTES
from relmp.rounds.execution.rule import Table, execution_table, nearest_table
from tests.rounds.test_fast import agree
from tests.rounds.test_update import agree as agree_with_parts
from tests.rounds.test_update import make

GRAPH = create_graph("ws_flex", n=8, k=3.5, p=0.3, seed=1)
AVX2 = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+bmi,+bmi2,+fma"}
PROCESSORS = {
    32: {**AVX2, "ATEN_CPU_CAPABILITY": "avx2"},
    16: {"NUMBA_CPU_NAME": "generic", "ATEN_CPU_CAPABILITY": "default"},
}
"""What makes numba and PyTorch compute as on a processor with vectors of so many bytes."""


# Right values: run here, and again as on other processors ---------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("images", [1, 2, 17, 131])
def test_odd_batches(images: int, dtype: torch.dtype) -> None:
    # Nodes of 4 and 5 channels hear some of 15 and 16, so that tiles of all sizes occur.
    agree(RelationalLinear(GRAPH, 125, 37).to(dtype), torch.randn(images, 125, dtype=dtype))
    agree(RelationalLinear(GRAPH, 37, 125).to(dtype), torch.randn(images, 37, dtype=dtype))
    if images > 1:
        agree_with_parts(make().to(dtype), torch.randn(images, 13, dtype=dtype))


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "expanded over images": lambda x: x[:1].expand(9, -1),
    "expanded over channels": lambda x: x[:, :1].expand(-1, 37),
    "transposed": lambda x: x.t().contiguous().t(),
    "every second image": lambda x: x[::2],
    "channels of a wider one": lambda x: torch.cat([x, x], 1)[:, 5:42],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_inputs_and_gradients_in_any_layout(layout: str) -> None:
    x = LAYOUTS[layout](torch.randn(9, 37, dtype=torch.float64))
    update = nn.Sequential(nn.BatchNorm1d(37), nn.ReLU())
    plain = RelationalLinear(GRAPH, 37, 37, bias=False).double()
    updated = Round(GRAPH, 37, 37, bias=False, update=update).double().eval()
    for layer in (plain, updated):
        found = []
        for execution in ("cpu_kernel", "message_passing"):
            layer.set_execution(execution)
            given = x.detach().requires_grad_()
            assert given.stride() == x.stride()
            out = layer(given)
            direction = LAYOUTS[layout](torch.linspace(-1, 1, 333, dtype=x.dtype).view(9, 37))
            inputs = [given, *layer.parameters()]
            found.append([out, *torch.autograd.grad(out, inputs, direction)])
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-12 * 40)


def test_an_image_round() -> None:
    layer = RelationalConv2d(GRAPH, 37, 29, 3, padding=1).double()
    agree(layer, torch.randn(17, 37, 3, 5, dtype=torch.float64), reference="dense")


def test_threads_that_train_one_layer_at_once() -> None:
    """Gradients of every caller are those of a caller that is alone, to the last bit."""
    plain = RelationalLinear(GRAPH, 37, 37, bias=False, execution="cpu_kernel")
    updated = make().eval()

    def gradients(layer: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
        given = x.detach().requires_grad_()
        return torch.autograd.grad(layer(given).square().sum(), [given, *layer.parameters()])

    for layer, channels in ((plain, 37), (updated, 13)):
        inputs = [torch.randn(20 + i, channels) for i in range(12)]
        expected = [gradients(layer, x) for x in inputs]
        with ThreadPoolExecutor(4) as pool:
            several = pool.map(lambda x, layer=layer: gradients(layer, x), inputs)
            for one, other in zip(several, expected, strict=True):
                assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have no AVX")
@pytest.mark.parametrize("width", PROCESSORS)
def test_as_on_another_processor(width: int) -> None:
    """The tests above, with kernels as they are compiled where vectors are shorter."""
    if width > VECTOR_BYTES:
        pytest.skip("this processor has shorter vectors itself")
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", __file__]
    chosen = "odd or layout or image or threads or vectors"
    done = subprocess.run(
        [sys.executable, *words, "-k", chosen],
        env={**os.environ, **PROCESSORS[width], "RELMP_TEST_VECTORS": str(width)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif("RELMP_TEST_VECTORS" not in os.environ, reason="of the test above")
def test_vectors_are_as_asked_for() -> None:
    assert int(os.environ["RELMP_TEST_VECTORS"]) == VECTOR_BYTES
    assert processor_family().endswith({32: "AVX2", 16: "no AVX2"}[VECTOR_BYTES])


ROUNDS = """
import hashlib
import torch
from torch import nn
from relmp.graphs import create_graph
from relmp.rounds import RelationalConv2d, Round

torch.manual_seed(0)
graph = create_graph("ws_flex", n=24, k=4, p=0.2, seed=1)
norms = nn.Sequential(nn.BatchNorm1d(48), nn.ReLU()), nn.Sequential(nn.BatchNorm2d(48), nn.ReLU())
options = {"bias": False, "execution": "cpu_kernel"}
images = RelationalConv2d(graph, 48, 48, 3, padding=1, **options)
images.update_module = norms[1]
for layer, shape in ((Round(graph, 48, 48, update=norms[0], **options), (32, 48)),
                     (images, (3, 48, 4, 4)), (images, (32, 48, 4, 4))):
    for trains in (True, False):
        layer.train(trains)
        x = torch.randn(shape, requires_grad=True)
        out = layer(x)
        wanted = torch.autograd.grad(out, [x, *layer.parameters()], torch.randn_like(out))
        for found in (out, *wanted, *layer.buffers()):
            print(hashlib.sha256(found.detach().numpy().tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_who_compiles_computes_what_later_processes_do(tmp_path: Path) -> None:
    """To the last bit: numba calls other copies of functions once they are kept on disk."""
    kept = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    first, second = (
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", ROUNDS],
            env=kept,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    )
    assert first.count("\n") > 30
    assert any(tmp_path.rglob("*.nbc"))
    assert first == second


# What is chosen ---------------------------------------------------------------------------------


def test_the_nearest_table(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = tuple(Table(name, name, ()) for name in ("AMD AVX-512", "AMD AVX2", "Intel AVX-512"))
    monkeypatch.setattr(rule, "SHIPPED", shipped)
    nearest = {
        "AMD AVX2": "AMD AVX2",
        "Intel AVX-512": "Intel AVX-512",
        "Intel AVX2": "AMD AVX2",  # as wide
        "other AVX-512": "AMD AVX-512",
        "Intel no AVX2": "Intel AVX-512",  # of the same maker
        "Arm": "AMD AVX-512",
    }
    assert {family: nearest_table(family).family for family in nearest} == nearest


def test_a_table_says_whose_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(rule.TABLE_VARIABLE, raising=False)
    own = Table(processor_family(), "this one", ())
    assert own.describe() == f"measured on this one ({processor_family()})"
    foreign = Table("Z80 AVX-9000", "a home computer", ())
    assert f"may not be the fastest choice on this one ({own.family})" in foreign.describe()
    assert "relmp bench rounds --tune" in foreign.describe()

    rows = [row._asdict() for row in rule.SHIPPED[0].rows]
    path = tmp_path / "table.json"
    path.write_text(json.dumps({"machine": machine(), "table": rows}))
    monkeypatch.setenv(rule.TABLE_VARIABLE, str(path))
    assert execution_table().family == processor_family()
    assert execution_table().name in machine()["execution_table"]
    assert str(machine()["processor"]) in text_of_machine()
    assert "may not" not in text_of_machine()


@pytest.mark.parametrize(
    ("system", "information", "capability", "family"),
    [
        ("x86_64", "vendor_id\t: AuthenticAMD", "AVX512", "AMD AVX-512"),
        ("x86_64", "vendor_id\t: GenuineIntel", "AVX2", "Intel AVX2"),
        ("AMD64", "vendor_id\t: GenuineIntel", "DEFAULT", "Intel no AVX2"),
        ("x86_64", "vendor_id\t: HygonGenuine", "AVX2", "other AVX2"),
        ("aarch64", "CPU implementer\t: 0x41", "SVE256", "Arm"),
        ("arm64", "", "DEFAULT", "Arm"),
    ],
)
def test_families(
    system: str, information: str, capability: str, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from relmp import machine as module

    monkeypatch.setattr(platform, "machine", lambda: system)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(module, "_cpuinfo", lambda: information)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert processor_family() == family
