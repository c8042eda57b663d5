"""What a machine has, asked so that Linux, macOS and Windows answer."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory() -> float:
    """Most memory that this process has held, in MiB; NaN where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has run out, also as PyTorch says it."""
    said = ("DefaultCPUAllocator", "out of memory", "not enough memory", "Cannot allocate memory")
    return isinstance(error, MemoryError) or any(words in str(error) for words in said)


def processor() -> str:
    """The processor's name, as the system gives it."""
    for line in _cpuinfo().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def processor_family() -> str:
    """Who made the processor, and the vectors that PyTorch uses of it: "AMD AVX-512", "Intel AVX2",
    "Intel no AVX2", "Arm". What is fast on one is so on others of its family."""
    if platform.machine().lower() in ("aarch64", "arm64"):
        return "Arm"
    import torch

    names = {"AVX512": "AVX-512", "AVX2": "AVX2"}
    return f"{_maker()} {names.get(torch.backends.cpu.get_cpu_capability(), 'no AVX2')}"


def _maker() -> str:
    said = "GenuineIntel" if sys.platform == "darwin" else platform.processor() + _cpuinfo()
    makers = {"AuthenticAMD": "AMD", "GenuineIntel": "Intel"}
    return next((makers[word] for word in makers if word in said), "other")


def _cpuinfo() -> str:
    """What Linux says of the processors, nothing elsewhere."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""


def text_of_seconds(seconds: float) -> str:
    """A duration for people: "40 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
