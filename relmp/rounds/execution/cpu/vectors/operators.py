"""A round of vectors on a CPU: three operators, and their shorter way while nothing is compiled.

Shapes:
    - **x** ``[B, C_in]``, **y** ``[B, C_out]``, **w** ``[E, out_dim, in_dim]``
    - **graph**: :func:`relmp.rounds.execution.cpu.tables.vector_table`
    - **dims**: channels of x and of y, in_dim, out_dim, nodes, edges
"""

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from relmp.rounds.execution.cpu.scratch import scratch
from relmp.rounds.execution.cpu.threads import share_phases
from relmp.rounds.execution.cpu.vectors.columns import column_numbers
from relmp.rounds.execution.cpu.vectors.normalise import differentiate, normalise
from relmp.rounds.execution.cpu.vectors.products import correlate
from relmp.rounds.execution.cpu.vectors.sums import multiply
from relmp.rounds.execution.derivatives import register_derivatives
from relmp.rounds.execution.update import BatchNormUpdate
from relmp.rounds.execution.watched import sees_operators

Numbers: TypeAlias = Sequence[int]


def vector_round(x: Tensor, w: Tensor, graph: Tensor, dims: Numbers) -> Tensor:
    """The round: ``y = sum over edges of w * x``.

    Compilers, and whatever else looks at operators, see :func:`round_forward`. Otherwise its two
    gradients come of one pass, and nothing is looked up in a registry.
    """
    if sees_operators(x, w):
        return cast(Tensor, round_forward(x, w, graph, dims))
    return cast(Tensor, _VectorRound.apply(x, w, graph, dims))


class _VectorRound(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, graph: Tensor, dims: Numbers) -> Tensor:
        ctx.save_for_backward(x, w, graph)
        ctx.dims = dims
        return _forward(x, w, graph, dims)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, w, graph = ctx.saved_tensors
        for_x, for_w, *_ = ctx.needs_input_grad
        if torch.is_grad_enabled():  # the gradient is differentiated itself
            rest = (graph, ctx.dims)
            to_x = round_input_gradient(gradient, w, *rest) if for_x else None
            return to_x, round_weight_gradient(gradient, x, *rest) if for_w else None, None, None
        to_w = _weight_gradient(gradient, x, graph, ctx.dims) if for_w else None
        to_x = _input_gradient(gradient, w, graph, ctx.dims, is_ready=for_w) if for_x else None
        return to_x, to_w, None, None


def updated_round(
    x: Tensor, w: Tensor, graph: Tensor, dims: Numbers, update: BatchNormUpdate
) -> Tensor | None:
    """The round with the update behind it, while its output is still in columns; None where they
    are to be computed one after the other."""
    norm, tensors = update.norm, (x, w, *update.tensors)
    if len(x) < 2 or not update.fits(x, len(x), dims[1]) or sees_operators(*tensors):
        return None
    if norm.training and (batches := norm.num_batches_tracked) is not None:
        batches.add_(1)
    keeps = torch.is_grad_enabled()
    rest = (update, norm.training, keeps)
    return cast(Tensor, _UpdatedRound.apply(*tensors[:4], graph, dims, *rest))


class _UpdatedRound(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w: Tensor, scale: Tensor, shift: Tensor, graph: Tensor, dims: Numbers,
        update: BatchNormUpdate, trains: bool, keeps: bool,
    ) -> Tensor:  # fmt: skip
        norm, cut, (*_, mean, variance) = update
        y = _multiply(x, w, graph, dims, 0, is_ready=False, back=False)
        columns = _columns(y, "told")
        statistics, normal = y.new_empty(2, dims[1]), y.new_empty(_count(y))
        if keeps:
            ctx.save_for_backward(x, w, scale, shift, graph, normal, statistics)
            ctx.dims, ctx.eps, ctx.how = dims, norm.eps, (trains, cut)
        tensors = (scale, shift, mean, variance, statistics)
        parameters = tuple(tensor.data_ptr() for tensor in tensors)
        how = (float(cast(float, norm.momentum)), float(norm.eps), trains, cut)
        places = (y.data_ptr(), columns, normal.data_ptr())
        sizes = (len(y), dims[1], normal.numel())
        share_phases(normalise, 2, *places, parameters, sizes, *how)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # the gradient is differentiated itself
            return _derived_again(ctx, gradient)
        x, w, scale, shift, graph, normal, statistics = ctx.saved_tensors
        gradient = gradient.contiguous()
        wanted = torch.empty_like(statistics)
        parameters = tuple(t.data_ptr() for t in (scale, shift, statistics, wanted))
        sizes = (gradient.size(0), gradient.size(1), normal.numel())
        places = (gradient.data_ptr(), _columns(gradient, "heard"), normal.data_ptr())
        share_phases(differentiate, 2, *places, parameters, sizes, *ctx.how)
        for_x, for_w, *_ = ctx.needs_input_grad
        # From here on what is wanted of the round lies in columns, and its rows are not read.
        rest = (graph, ctx.dims)
        to_w = _weight_gradient(gradient, x, *rest, is_ready=True) if for_w else None
        to_x = _input_gradient(gradient, w, *rest, is_ready=True) if for_x else None
        return to_x, to_w, wanted[0], wanted[1], *[None] * 5


def _derived_again(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients as PyTorch derives them of the round and its update, one after the other."""
    x, w, scale, shift, graph, _, (mean, factor) = ctx.saved_tensors
    trains, cut = ctx.how
    out = round_forward(x, w, graph, ctx.dims)
    if trains:
        out = F.batch_norm(out, None, None, scale, shift, True, 0.0, ctx.eps)
    else:
        out = (out - mean) * factor * scale + shift
    out = out.relu() if cut else out
    needed = ctx.needs_input_grad[:4]
    inputs = [t for t, is_needed in zip((x, w, scale, shift), needed, strict=True) if is_needed]
    found = iter(torch.autograd.grad(out, inputs, gradient, create_graph=True))
    return *(next(found) if is_needed else None for is_needed in needed), *[None] * 5


@torch.library.custom_op("relmp::vector_round", mutates_args=(), device_types="cpu")
def round_forward(x: Tensor, w: Tensor, graph: Tensor, dims: Numbers) -> Tensor:
    """The round."""
    return _forward(x, w, graph, dims)


@torch.library.custom_op("relmp::vector_input_gradient", mutates_args=(), device_types="cpu")
def round_input_gradient(y: Tensor, w: Tensor, graph: Tensor, dims: Numbers) -> Tensor:
    """What ``y`` wants of the input: the round over the reversed graph."""
    return _input_gradient(y, w, graph, dims)


@torch.library.custom_op("relmp::vector_weight_gradient", mutates_args=(), device_types="cpu")
def round_weight_gradient(y: Tensor, x: Tensor, graph: Tensor, dims: Numbers) -> Tensor:
    """What ``y`` wants of the weights; zero in padded slots."""
    return _weight_gradient(y, x, graph, dims)


def _forward(x: Tensor, w: Tensor, graph: Tensor, dims: Numbers) -> Tensor:
    return _multiply(x, w, graph, dims, 0, is_ready=False)


def _input_gradient(
    y: Tensor, w: Tensor, graph: Tensor, dims: Numbers, *, is_ready: bool = False
) -> Tensor:
    """``is_ready``: the gradient of the weights of the same ``y`` was the call before."""
    return _multiply(y, w, graph, dims, 1, is_ready=is_ready)


def _multiply(
    x: Tensor,
    w: Tensor,
    graph: Tensor,
    dims: Numbers,
    way: int,
    *,
    is_ready: bool,
    back: bool = True,
) -> Tensor:
    """What is heard of x along the edges, or (``way`` 1) along the reversed ones; left in columns
    where it is not to come ``back``."""
    y = x.new_empty(x.size(0), dims[1 - way])
    x, w = x.contiguous(), w.contiguous()
    addresses = (x.data_ptr(), w.data_ptr(), y.data_ptr(), graph.data_ptr())
    places = (_columns(x, "heard"), _columns(y, "told"))
    sizes = (x.size(0), x.size(1), y.size(1), w.numel())
    step = 1 if way else dims[2]
    share_phases(multiply, 3, *addresses, *places, sizes, _half(dims, way), step, is_ready, back)
    return y


def _weight_gradient(
    y: Tensor, x: Tensor, graph: Tensor, dims: Numbers, *, is_ready: bool = False
) -> Tensor:
    """``is_ready``: y lies in columns already."""
    w = x.new_zeros(dims[5], dims[3], dims[2])
    y, x = y.contiguous(), x.contiguous()
    addresses = (y.data_ptr(), x.data_ptr(), w.data_ptr(), graph.data_ptr())
    # y lies where the input gradient takes it up.
    places = (_columns(y, "heard"), _columns(x, "told"))
    sizes = (x.size(0), x.size(1), y.size(1), w.numel())
    share_phases(correlate, 3, *addresses, *places, sizes, _half(dims, 0), dims[2], is_ready)
    return w


def _half(dims: Numbers, way: int) -> tuple[int, int, int]:
    """Where what is heard along the edges lies in the table, or along the reversed ones."""
    _, _, in_dim, out_dim, nodes, edges = dims
    if way:
        return nodes, edges * out_dim, 3 * nodes + 1 + 2 * edges * in_dim
    return nodes, edges * in_dim, 0


def _columns(x: Tensor, place: str) -> Any:
    """Room for a batch in columns."""
    dtype = np.float64 if x.dtype == torch.float64 else np.float32
    return scratch.array(_count(x), dtype, place)


def _count(x: Tensor) -> int:
    images, channels = x.shape
    return column_numbers(images, channels, x.element_size())


# Shapes without numbers, for compilers --------------------------------------------------------


@round_forward.register_fake
def _(x: Tensor, w: Tensor, graph: Tensor, dims: Numbers) -> Tensor:
    return x.new_empty(x.size(0), dims[1])


@round_input_gradient.register_fake
def _(y: Tensor, w: Tensor, graph: Tensor, dims: Numbers) -> Tensor:
    return y.new_empty(y.size(0), dims[0])


@round_weight_gradient.register_fake
def _(y: Tensor, x: Tensor, graph: Tensor, dims: Numbers) -> Tensor:
    return y.new_empty(dims[5], dims[3], dims[2])


register_derivatives(round_forward, round_input_gradient, round_weight_gradient)
