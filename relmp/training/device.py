"""Where a model is trained."""

from __future__ import annotations

import torch

from relmp.machine import peak_memory as peak_of_process


def pick_device(device: str | torch.device | None) -> torch.device:
    """The device asked for; by default a GPU where there is one.

    Raises:
        ValueError: If the device is unknown or not there.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        picked = torch.device(device)
        torch.empty(0, device=picked)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"Device '{device}' cannot be used ({reason}); try 'cpu'.") from error
    return picked


def peak_memory(device: torch.device) -> float:
    """Most memory in use so far, in MiB: on a GPU that of its tensors, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return peak_of_process()


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed PyTorch's generators, of the CPU and of the device.

    ``torch.manual_seed`` does the same for all devices, but takes a quarter of a millisecond
    where PyTorch is built for GPUs and none is in use; this is called in every step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
