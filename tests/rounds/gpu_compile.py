"""Compiles the GPU kernels for cards that need not be there, and says what they take.

    python tests/rounds/gpu_compile.py

Registers a thread, bytes that do not fit into them (spilled), and shared memory a program.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

CONVOLUTION = {"TAPS": 9, "KERNEL_WIDTH": 3, "POINTWISE": False, "PADDING_Y": 1, "PADDING_X": 1}
POINTWISE = {"TAPS": 1, "KERNEL_WIDTH": 1, "POINTWISE": True, "PADDING_Y": 0, "PADDING_X": 0}
SAME = {"STRIDE_Y": 1, "STRIDE_X": 1, "DILATION_Y": 1, "DILATION_X": 1}
TYPES = {"fp32": (4, True), "tf32": (4, False), "bf16": (2, False)}


class Case(NamedTuple):
    """One way to compile a kernel."""

    kernel: str
    form: str
    dtype: str
    size: int
    heard: int = 128

    def constants(self) -> tuple[dict[str, Any], dict[str, int]]:
        """What is compiled in, and the options of the compiler."""
        from relmp.rounds.execution.gpu.operators import in_a_row
        from relmp.rounds.execution.gpu.tiles import correlate_tile, multiply_tile

        item_bytes, exact = TYPES[self.dtype]
        if self.kernel == "correlate":
            tile = correlate_tile(self.size, self.heard, item_bytes, exact)
        else:
            positions = 128 if self.form == "linear" else 2**16
            tile = multiply_tile(self.size, self.heard, positions, 64, exact)
        constants = {
            **(CONVOLUTION if self.form == "3x3" else POINTWISE),
            **SAME,
            "CHANNELS_LAST": self.form == "linear",
            "PRECISION": "tf32" if self.dtype == "tf32" else "ieee",
            "UPCAST": False,
            **in_a_row("X", 16 // item_bytes if self.form == "1x1" else 1, item_bytes),
            **in_a_row("Y", 1 if self.form == "linear" else 16 // item_bytes, item_bytes),
            **tile.constants(),
        }
        if self.kernel != "correlate":
            constants["REVERSED"] = self.kernel == "reversed"
        options = {name: constants.pop(name) for name in ("num_warps", "num_stages")}
        return constants, options


class Usage(NamedTuple):
    """What a program takes."""

    registers: int
    spilled: int
    shared: int


def cases(*, few: bool) -> Iterator[Case]:
    """The ones that are looked at; a few cover every branch of the kernels."""
    if few:
        yield Case("multiply", "3x3", "fp32", 23)
        yield Case("reversed", "linear", "bf16", 5)
        yield Case("correlate", "3x3", "tf32", 23)
        return
    for kernel in ("multiply", "reversed", "correlate"):
        for form in ("linear", "1x1", "3x3"):
            for dtype in TYPES:
                for size in (5, 23, 64):
                    yield Case(kernel, form, dtype, size)


def compiled(case: Case, capability: int) -> Any:
    """The kernel, compiled by Triton for a compute capability (80, 90)."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from relmp.rounds.execution.gpu import kernels

    kernel = getattr(kernels, "correlate" if case.kernel == "correlate" else "multiply")
    constants, options = case.constants()
    number = "bf16" if case.dtype == "bf16" else "fp32"
    tensors = dict.fromkeys(("x", "w", "y"), f"*{number}")
    tensors |= dict.fromkeys(("ptr", "channel", "place", "start", "size"), "*i32")
    signature = {
        name: "constexpr" if name in constants else tensors.get(name, "i32")
        for name in kernel.arg_names
    }
    aligned = (
        [*tensors, "total", "pixels_x", "pixels_y"] if case.form != "linear" else list(tensors)
    )
    attrs = {(kernel.arg_names.index(name),): [["tt.divisibility", 16]] for name in aligned}
    source = ASTSource(kernel, signature, constants, attrs)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


def usage(kernel: Any, capability: int) -> Usage:
    """What ptxas says of a compiled kernel."""
    from triton import knobs

    arch = f"sm_{capability}{'a' if capability >= 90 else ''}"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernel.ptx")
        source.write_text(kernel.asm["ptx"])
        out = Path(folder, "kernel.cubin")
        command = [knobs.nvidia.ptxas.path, "-v", f"-arch={arch}", str(source), "-o", str(out)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    registers = re.search(r"Used (\d+) registers", said)
    spilled = re.search(r"(\d+) bytes spill stores", said)
    assert registers is not None
    assert spilled is not None
    return Usage(int(registers[1]), int(spilled[1]), kernel.metadata.shared)


def main() -> None:
    """Print a table in Markdown."""
    heads = ["kernel", "form", "type", "node size", "sm_80", "sm_90"]
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for case in cases(few="--few" in sys.argv):
        cells = [*map(str, case[:4])]
        for capability in (80, 90):
            taken = usage(compiled(case, capability), capability)
            cells.append(f"{taken.registers} + {taken.spilled} B, {taken.shared} B")
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
