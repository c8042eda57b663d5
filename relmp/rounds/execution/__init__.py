"""Ways to execute a round. Message passing is the definition; the others compute the same.

:class:`Execution` says what one is. ``execution="auto"`` takes one by :func:`_automatic`.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Protocol, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad

from relmp.rounds.execution.base import Execution
from relmp.rounds.execution.cpu_kernel import CpuKernelExecution, numba_refusal
from relmp.rounds.execution.dense import DenseExecution
from relmp.rounds.execution.gathered import GatheredExecution
from relmp.rounds.execution.gpu_kernel import GpuKernelExecution
from relmp.rounds.execution.rule import channels_a_node, crossover, gpu_crossover, kind_of
from relmp.rounds.form import RoundForm

MESSAGE_PASSING = "message_passing"
_FUSED: dict[str, type[Execution]] = {
    cls.name: cls
    for cls in (DenseExecution, GatheredExecution, CpuKernelExecution, GpuKernelExecution)
}
EXECUTIONS: tuple[str, ...] = ("auto", MESSAGE_PASSING, *_FUSED)
"""What ``execution=`` accepts."""


def choose_execution(form: RoundForm, execution: str) -> tuple[str, Execution | None]:
    """The execution that a round gets: its name, and its module (None for message passing).

    Raises:
        ValueError: If the name is unknown, or the round cannot be executed in the given way.
    """
    if execution not in EXECUTIONS:
        raise ValueError(f"Unknown execution '{execution}'; choose one of {', '.join(EXECUTIONS)}.")
    name = _automatic(form) if execution == "auto" else execution
    if name == MESSAGE_PASSING:
        return MESSAGE_PASSING, None
    refusal = _FUSED[name].refusal(form)
    if refusal is not None:
        raise ValueError(
            f"execution='{execution}' cannot run this round: {refusal}; "
            f"use execution='{MESSAGE_PASSING}' or 'auto'."
        )
    return name, _FUSED[name](form).to(_weight(form).device)


class HasForm(Protocol):
    """A round, as far as it matters here."""

    @property
    def form(self) -> RoundForm:
        """What executions need to know of it."""


def possible_executions(layer: HasForm) -> list[str]:
    """The names of all executions that can run a round."""
    form = layer.form
    fused = [name for name, cls in _FUSED.items() if cls.refusal(form) is None]
    return [MESSAGE_PASSING, *fused]


def is_transformed(executor: Execution | None) -> bool:
    """Whether a transformation of ``torch.func`` or forward-mode differentiation is at work that
    an execution does not know; it would give wrong tangents, or none."""
    if executor is None or executor.is_transformable or torch.compiler.is_compiling():
        return False
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def _automatic(form: RoundForm) -> str:
    """What ``"auto"`` takes; it depends on the round, the device and the type of its weights.

    On a CPU: by the table of :mod:`relmp.rounds.execution.rule`, the compiled loops, gathering,
    or the dense product; message passing where the round is not one linear map. On a GPU: its
    kernels where a measured row says so, else, as elsewhere, the dense product, or messages
    where a linear round is so sparse that they cost less.
    """
    if DenseExecution.refusal(form) is not None:
        return MESSAGE_PASSING
    weight, density = _weight(form), form.graph.density
    if weight.device.type not in ("cpu", "meta"):
        if density <= gpu_crossover(form) and GpuKernelExecution.refusal(form) is None:
            return GpuKernelExecution.name
        few = kind_of(form) == "linear" and density < channels_a_node(form) / 100
        return MESSAGE_PASSING if few else DenseExecution.name
    if weight.dtype not in (torch.float32, torch.float64):
        return DenseExecution.name
    row = crossover(form)
    if density <= row.cpu_kernel:
        if CpuKernelExecution.refusal(form) is None:
            return CpuKernelExecution.name
        if (problem := numba_refusal()) is not None:
            _warn_once(problem)
    if density <= row.gathered and GatheredExecution.refusal(form) is None:
        return GatheredExecution.name
    return DenseExecution.name


def _weight(form: RoundForm) -> Tensor:
    return cast(Tensor, form.message.weight)


@cache
def _warn_once(problem: str) -> None:
    warnings.warn(
        f"Sparse rounds are executed more slowly on this CPU than they could be: {problem}.",
        stacklevel=2,
    )


__all__ = [
    "EXECUTIONS",
    "MESSAGE_PASSING",
    "Execution",
    "choose_execution",
    "is_transformed",
    "possible_executions",
]
