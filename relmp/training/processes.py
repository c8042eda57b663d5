"""Several processes that train one model: what each does, and what they say to each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from relmp.training.device import pick_device

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """The processes of a run; a team of one says nothing to anybody.

    Every process takes its share of every batch, and gradients are averaged, so a team does
    what one process would do with the whole batch. Batch norm sees the share only, and its
    running statistics are those of the first process, so that what the first one keeps is all
    there is to keep.

    Args:
        rank: Number of this process, from 0.
        size: Number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    @property
    def share(self) -> slice:
        """What this process takes of a batch or a data set."""
        return slice(self.rank, None, self.size)

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The model, with gradients averaged over the team."""
        if self.size == 1:
            return model
        # All processes change the edges of rounds alike: only running statistics are sent.
        fixed = [name for name, t in model.named_buffers() if not t.is_floating_point()]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, fixed)
        ids = [device.index] if device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=ids)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over the team."""
        if self.size > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor)
        return tensor

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether any process of the team says so."""
        if self.size == 1:
            return flag
        return bool(self.sum(torch.tensor(float(flag), device=device)))

    def average_statistics(self, model: nn.Module) -> None:
        """Average the running statistics of the model's layers over the team."""
        if self.size > 1:
            for buffer in _statistics(model):
                buffer.copy_(self.sum(buffer) / self.size)

    def follow_statistics(self, model: nn.Module) -> None:
        """Take the running statistics of the model's layers from the first process."""
        if self.size > 1:
            for buffer in _statistics(model):
                dist.broadcast(buffer, src=0)

    def tell(self, value: T) -> T:
        """What the first process says; the others give anything."""
        if self.size == 1:
            return value
        said = [value]
        dist.broadcast_object_list(said, src=0)
        return said[0]

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Let the first process do something (a download) before the others."""
        if self.size > 1 and not self.leads:
            dist.barrier()
        yield
        if self.size > 1 and self.leads:
            dist.barrier()


@contextmanager
def join_team(device: str | torch.device | None) -> Iterator[tuple[Team, torch.device]]:
    """The team that ``torchrun`` started, or that the caller has set up; else a team of one.

    Args:
        device: Where to train; by default the GPU with the number of this process on its
            machine, or the CPU.
    """
    launched = dist.is_available() and dist.is_torchelastic_launched()
    if not launched and not (dist.is_available() and dist.is_initialized()):
        yield Team(), pick_device(device)
        return
    picked = pick_device(device)
    if picked.type == "cuda" and picked.index is None:
        picked = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(picked)
    ours = not dist.is_initialized()
    if ours:
        dist.init_process_group("nccl" if picked.type == "cuda" else "gloo")
    try:
        yield Team(dist.get_rank(), dist.get_world_size()), picked
    finally:
        if ours:
            dist.destroy_process_group()


def _statistics(model: nn.Module) -> list[Tensor]:
    return [buffer for buffer in model.buffers() if buffer.is_floating_point()]
