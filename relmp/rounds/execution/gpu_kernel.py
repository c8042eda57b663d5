"""A linear or convolutional round as kernels on a GPU that keep no messages."""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from typing import cast

import torch
from torch import Tensor, nn

from relmp.rounds.execution.base import Execution
from relmp.rounds.execution.convolution import convolution_of
from relmp.rounds.execution.gpu.tables import graph_table
from relmp.rounds.execution.linear_maps import in_autocast_dtype, weight_of, whole_refusal
from relmp.rounds.form import RoundForm
from relmp.rounds.layout import divided, mean_degrees
from relmp.rounds.message import WeightedMessage

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


class GpuKernelExecution(Execution):
    r"""Multiplies what a node hears in registers: :math:`y_i = [W_{ij}]_j [x_j]_j`.

    The channels of all neighbours of a node are gathered as the product needs them; neither
    they nor the messages are stored. Numbers are added in float32 and in a fixed order.
    Products of float32 are exact unless PyTorch is told that TF32 will do
    (``torch.backends.cuda.matmul.allow_tf32``). Images may lie channels first or last. The
    first use of a shape compiles its kernels, which takes seconds; they are kept on disk.
    """

    name = "gpu_kernel"

    @staticmethod
    def refusal(form: RoundForm) -> str | None:
        """Why this round cannot be executed so, or None."""
        return whole_refusal(form) or layer_refusal(form) or triton_refusal()

    def __init__(self, form: RoundForm) -> None:
        super().__init__(form)
        table, sizes = graph_table(form.graph, form.in_partition, form.out_partition)
        self.register_buffer("table", table, persistent=False)
        self.table: Tensor
        self.register_buffer("degrees", mean_degrees(form), persistent=False)
        self.degrees: Tensor | None
        self.sizes = list(sizes)
        self.weight_shape = cast(Tensor, form.message.weight).shape

    def forward(self, message: nn.Module, x: Tensor) -> Tensor:
        from relmp.rounds.execution.gpu.operators import round_forward

        linear = cast(WeightedMessage, message)
        linear.check_input(x.shape)
        x, weight = in_autocast_dtype(x, weight_of(linear, self.weight_shape))
        weight = divided(weight, self.degrees)
        images = x if x.dim() == 4 else x[:, :, None, None]
        kernels = weight if weight.dim() == 5 else weight[..., None, None]
        shape = convolution_of(linear.geometry, (images.size(2), images.size(3))).numbers()
        out = round_forward(images, kernels, self.table, self.sizes, shape)
        return out.view(*out.shape[: x.dim()])


def layer_refusal(form: RoundForm) -> str | None:
    """Why the weights of this round are not for these kernels, or None."""
    weight = cast(Tensor, form.message.weight)
    if weight.device.type not in ("cuda", "meta") and not is_interpreted():
        return f"its weights are on {weight.device.type}"
    if weight.dtype not in DTYPES:
        return f"its weights are {weight.dtype}"
    if weight.numel() >= 2**31:
        return "it has more weights than 32 bits count"
    return None


def is_interpreted() -> bool:
    """Whether Triton interprets its kernels, which works on any device; for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@cache
def triton_refusal() -> str | None:
    """Why Triton cannot be used, or None."""
    try:
        import_module("relmp.rounds.execution.gpu.operators")
    except (ImportError, RuntimeError) as error:
        return f"Triton cannot be used ({error})"
    return None
