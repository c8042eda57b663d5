"""A round of vectors on a CPU: three operators, and their shorter way while nothing is compiled.

Shapes:
    - **x** ``[B, C_in]``, **y** ``[B, C_out]``, **w** ``[E, out_dim, in_dim]``
    - **graph**: :func:`relmp.rounds.execution.cpu.tables.vector_table`
    - **dims**: channels of x and of y, in_dim, out_dim, nodes, edges
"""


from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor

from relmp.rounds.execution.cpu.scratch import scratch
from relmp.rounds.execution.cpu.tables import Heard, read_vector_table
from relmp.rounds.execution.cpu.threads import share_phases
from relmp.rounds.execution.cpu.vectors import BLOCK_VECTORS, columns_of, correlate, multiply
from relmp.rounds.execution.derivatives import register_derivatives

Numbers: TypeAlias = Sequence[int]


def vector_round(x: Tensor, w: Tensor, graph: Tensor, dims: Numbers) -> Tensor:
    """The round: ``y = sum over edges of w * x``.

    Compilers, and whatever else looks at operators, see :func:`round_forward`. Otherwise its two
    gradients come of one pass, and nothing is looked up in a registry.
    """
    if _is_looked_at(x, w):
        return cast(Tensor, round_forward(x, w, graph, dims))
    return cast(Tensor, _VectorRound.apply(x, w, graph, dims))


def _is_looked_at(*tensors: Tensor) -> bool:
    """Whether operators are recorded or given another meaning."""
    return (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack() > 0
        or any(type(t) not in _PLAIN or not t.is_cpu for t in tensors)
    )


_PLAIN = (Tensor, torch.nn.Parameter)


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
    heard, _ = _tables(graph, dims)
    y = x.new_empty(x.size(0), dims[1])
    return _multiply(x, w, y, heard, dims[2], is_ready=False)


def _input_gradient(
    y: Tensor, w: Tensor, graph: Tensor, dims: Numbers, *, is_ready: bool = False
) -> Tensor:
    """``is_ready``: the gradient of the weights of the same ``y`` was the call before."""
    _, told = _tables(graph, dims)
    return _multiply(y, w, y.new_empty(y.size(0), dims[0]), told, 1, is_ready=is_ready)


def _multiply(
    x: Tensor, w: Tensor, y: Tensor, heard: Heard[Any], w_step: int, *, is_ready: bool
) -> Tensor:
    columns = columns_of(x.size(0), x.element_size())
    arrays = (_array(x), _array(w).reshape(-1), y.numpy())
    places = (_columns(x, columns, "heard"), _columns(y, columns, "told"))
    share_phases(
        multiply, 3, *arrays, *places, tuple(columns), tuple(heard), w_step, is_ready, True
    )
    return y


def _weight_gradient(y: Tensor, x: Tensor, graph: Tensor, dims: Numbers) -> Tensor:
    heard, _ = _tables(graph, dims)
    in_dim, out_dim, _, edges = dims[2:]
    w = x.new_zeros(edges, out_dim, in_dim)
    columns = columns_of(x.size(0), x.element_size())
    arrays = (_array(y), _array(x), w.numpy().reshape(-1))
    # y lies where the input gradient takes it up.
    places = (_columns(y, columns, "heard"), _columns(x, columns, "told"))
    share_phases(correlate, 3, *arrays, *places, tuple(columns), tuple(heard), in_dim, False)
    return w


def _tables(graph: Tensor, dims: Numbers) -> tuple[Heard[Any], Heard[Any]]:
    *_, in_dim, out_dim, nodes, edges = dims
    return read_vector_table(graph, nodes, (edges * in_dim, edges * out_dim))


def _array(x: Tensor) -> Any:
    return x.detach().contiguous().numpy()


def _columns(x: Tensor, columns: Any, place: str) -> Any:
    blocks = -(-columns.vectors // BLOCK_VECTORS)
    dtype = "float64" if x.dtype == torch.float64 else "float32"
    return scratch.array(blocks * x.size(1) * columns.stride, dtype, place)


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
