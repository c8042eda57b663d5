"""A linear or convolutional round as compiled loops over its edges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from relmp.rounds.execution.base import Execution
from relmp.rounds.execution.convolution import convolution_of
from relmp.rounds.execution.linear_maps import in_autocast_dtype, weight_of, whole_refusal
from relmp.rounds.execution.update import known_update
from relmp.rounds.execution.watched import sees_operators
from relmp.rounds.form import RoundForm
from relmp.rounds.layout import divided, mean_degrees
from relmp.rounds.message import WeightedMessage

if TYPE_CHECKING:
    from relmp.rounds.execution.cpu.packed import Packed


class CpuKernelExecution(Execution):
    r"""Loops over the edges in compiled code: :math:`y_i = \sum_{j \in N(i)} W_{ij} x_j`.

    It does the work of the edges and no more, pixels at the border and strides included, and
    keeps no messages. Numbers are added in float32, or in float64 where they come so. Images
    are handled 16 at a time (on a machine with AVX-512 and in float32; 8 or 4 on others); fewer
    are cut into parts. Batch norm and ReLU are computed with the round. The first use compiles
    the kernels, which takes seconds; they are kept on disk.
    """

    name = "cpu_kernel"

    @staticmethod
    def refusal(form: RoundForm) -> str | None:
        return whole_refusal(form) or layer_refusal(form) or numba_refusal()

    def __init__(self, form: RoundForm) -> None:
        super().__init__(form)
        from relmp.rounds.execution.cpu.tables import graph_table, vector_table

        weight = cast(Tensor, form.message.weight)
        self.weight_shape = weight.shape
        sides = (form.in_partition, form.out_partition)
        if weight.dim() == 3:
            table = vector_table(form.graph, *sides)
        else:
            table = graph_table(form.graph, *sides, math.prod(weight.shape[3:]))
        self.register_buffer("table", table, persistent=False)
        self.table: Tensor
        self.register_buffer("degrees", mean_degrees(form), persistent=False)
        self.degrees: Tensor | None
        channels = [form.in_channels, form.out_channels, weight.size(2), weight.size(1)]
        self.dims = [*channels, form.graph.num_nodes, form.graph.num_edges]
        self.sides = sides

    def forward(self, message: nn.Module, x: Tensor) -> Tensor:
        from relmp.rounds.execution.cpu.operators import round_forward
        from relmp.rounds.execution.cpu.packed import image_round
        from relmp.rounds.execution.cpu.vectors.operators import vector_round

        linear = cast(WeightedMessage, message)
        linear.check_input(x.shape)
        x, weight = in_autocast_dtype(x, weight_of(linear, self.weight_shape))
        weight = divided(weight, self.degrees)
        if not x.dtype.is_floating_point:
            raise ValueError(f"The compiled loops take real numbers, but were given {x.dtype}.")
        dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
        images, w = x.to(dtype), weight.to(dtype)
        if x.dim() == 2:
            return vector_round(images, w, self.table, self.dims).to(x.dtype)
        convolution = convolution_of(linear.geometry, (x.size(2), x.size(3)))
        if sees_operators(x, weight):
            numbers = (self.table, self.dims, convolution.numbers())
            return cast(Tensor, round_forward(images, w, *numbers)).to(x.dtype)
        return image_round(images, w, self.table, self.dims, convolution, self.sides).to(x.dtype)

    def updated(self, message: nn.Module, x: Tensor, update: nn.Module) -> Tensor | None:
        from relmp.rounds.execution.cpu.packed import image_round
        from relmp.rounds.execution.cpu.vectors.operators import updated_round

        linear = cast(WeightedMessage, message)
        if x.dim() == 4:
            linear.check_input(x.shape)
            convolution = convolution_of(linear.geometry, (x.size(2), x.size(3)))
            if not self.packs(message, x, x.shape, update):
                return None
            weight = divided(weight_of(linear, self.weight_shape), self.degrees)
            norm = known_update(update, nn.BatchNorm2d)
            return image_round(x, weight, self.table, self.dims, convolution, self.sides, norm)
        known = known_update(update, nn.BatchNorm1d)
        weight = weight_of(linear, self.weight_shape)
        if known is None or weight.dim() != 3 or not _is_plain(x, weight):
            return None
        return updated_round(x, divided(weight, self.degrees), self.table, self.dims, known)

    def packs(
        self, message: nn.Module, x: Tensor, size: Sequence[int], update: nn.Module | None,
        *, adds: bool = False,
    ) -> bool:  # fmt: skip
        """Whether :meth:`packed` gives what the round and its update give one after the other.

        Args:
            message, update: As of :meth:`updated`; None where nothing follows.
            x: The images, in lanes or not; only what kind of tensor it is matters.
            size: How many, their channels and pixels.
            adds: Whether something is added behind the update, which must be there then and end
                with its norm.
        """
        linear = cast(WeightedMessage, message)
        weight, images = linear.weight, size[0]
        if weight.dim() != 5 or not images or not _is_plain(x, weight):
            return False
        known = known_update(update, nn.BatchNorm2d)
        if update is None or known is None:
            return update is None and not adds and not sees_operators(x, weight)
        if adds and known.activates:
            return False
        pixels = math.prod(convolution_of(linear.geometry, (size[2], size[3])).output)
        return known.fits(x, images * pixels, self.dims[1]) and not sees_operators(
            x, weight, *known.tensors
        )

    def packed(
        self, message: nn.Module, x: Packed, update: nn.Module | None, plus: Packed | None = None,
        *, activates: bool = False,
    ) -> Packed:  # fmt: skip
        """The round and its update from lanes into lanes, where it :meth:`packs`; behind them a
        sum with ``plus``, and ReLU where it ``activates``."""
        from relmp.rounds.execution.cpu.packed import packed_round

        linear = cast(WeightedMessage, message)
        weight = weight_of(linear, self.weight_shape)
        convolution = convolution_of(linear.geometry, x.shape[2:])
        return packed_round(
            x, divided(weight, self.degrees), self.table, self.dims, convolution,
            self.sides[1], known_update(update, nn.BatchNorm2d), plus, activates=activates,
        )  # fmt: skip


def _is_plain(x: Tensor, weight: Tensor) -> bool:
    """Whether both are of a type that the loops compute in, and stay so."""
    if x.dtype != weight.dtype or torch.is_autocast_enabled("cpu"):
        return False
    return x.dtype in (torch.float32, torch.float64)


def layer_refusal(form: RoundForm) -> str | None:
    """Why the weights of this round are not for a CPU, or None."""
    weight = cast(Tensor, form.message.weight)
    if weight.device.type not in ("cpu", "meta"):
        return f"its weights are on {weight.device.type}"
    if not weight.dtype.is_floating_point:
        return f"its weights are {weight.dtype}"
    return None


@cache
def numba_refusal() -> str | None:
    """Why numba cannot be used, or None."""
    try:
        for name in ("packed", "vectors.operators"):
            import_module(f"relmp.rounds.execution.cpu.{name}")
    except (ImportError, RuntimeError) as error:  # the latter: nowhere to keep compiled kernels
        return f"numba cannot be used ({error})"
    return None
