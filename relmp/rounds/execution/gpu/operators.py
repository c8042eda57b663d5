"""A round on a GPU as three operators of PyTorch, each the derivative of the others.

Shapes:
    - **x** ``[B, C_in, H, W]``, **y** ``[B, C_out, H', W']``, in either memory format
    - **w** ``[E, out_dim, in_dim, kh, kw]``
    - **graph**: :func:`relmp.rounds.execution.gpu.tables.graph_table`
    - **sizes**: the numbers of :class:`relmp.rounds.execution.gpu.tables.Sizes`
    - **geometry**: the numbers of :class:`relmp.rounds.execution.convolution.Convolution`
"""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from relmp.rounds.execution.convolution import Convolution
from relmp.rounds.execution.derivatives import register_derivatives
from relmp.rounds.execution.gpu.kernels import INTERPRETED, correlate, multiply
from relmp.rounds.execution.gpu.tables import Heard, Sizes, read_table
from relmp.rounds.execution.gpu.tiles import correlate_tile, multiply_tile, splits_of

Numbers: TypeAlias = Sequence[int]


@torch.library.custom_op("relmp::gpu_round", mutates_args=())
def round_forward(x: Tensor, w: Tensor, graph: Tensor, sizes: Numbers, geometry: Numbers) -> Tensor:
    """The round: ``y = sum over edges of w * x``."""
    numbers, shape = Sizes(*sizes), Convolution.of(geometry)
    heard, _ = read_table(graph, numbers)
    return _multiply(x, w, heard, numbers, shape, reversed_=False)


@torch.library.custom_op("relmp::gpu_round_input_gradient", mutates_args=())
def round_input_gradient(
    y: Tensor, w: Tensor, graph: Tensor, sizes: Numbers, geometry: Numbers
) -> Tensor:
    """What ``y`` wants of the input: the round over the reversed graph."""
    numbers, shape = Sizes(*sizes), Convolution.of(geometry)
    _, told = read_table(graph, numbers)
    return _multiply(y, w, told, numbers, shape, reversed_=True)


@torch.library.custom_op("relmp::gpu_round_weight_gradient", mutates_args=())
def round_weight_gradient(
    y: Tensor, x: Tensor, graph: Tensor, sizes: Numbers, geometry: Numbers
) -> Tensor:
    """What ``y`` wants of the weights; zero in padded slots."""
    numbers, shape = Sizes(*sizes), Convolution.of(geometry)
    heard, _ = read_table(graph, numbers)
    x = _laid_out(x)
    y = y.contiguous(memory_format=_format(x))
    taps, total = math.prod(shape.kernel), y.size(0) * math.prod(shape.output)
    mean = numbers.heard / numbers.nodes
    tile = correlate_tile(numbers.out_dim, mean, x.element_size(), _is_exact(x))
    parts = -(-numbers.out_dim // tile.told)
    groups = max(1, -(-numbers.most_heard // tile.heard))
    programs = taps * numbers.nodes * parts * groups
    splits = splits_of(programs, total, tile)
    steps = -(-total // tile.positions)
    w = _new_weights(x, splits, numbers, shape)
    with torch.cuda.device_of(x):
        correlate[(programs * splits,)](
            y,
            x,
            w,
            *heard,
            numbers.nodes,
            parts,
            groups,
            -(-steps // splits),
            w[0].numel(),
            total,
            math.prod(shape.image),
            numbers.in_channels,
            math.prod(shape.output),
            numbers.out_channels,
            numbers.in_dim,
            *shape.image,
            shape.output[1],
            **_constants(x, y, shape, shape.image, shape.output),
            **tile.constants(),
        )
    return w[0] if splits == 1 else w.sum(0).to(x.dtype)


def _multiply(
    x: Tensor, w: Tensor, heard: Heard, sizes: Sizes, shape: Convolution, *, reversed_: bool
) -> Tensor:
    """The round along the lists ``heard``."""
    x = _laid_out(x)
    read, written = shape.image, shape.output
    told, channels, heard_numbers = sizes.out_dim, sizes.out_channels, sizes.heard
    if reversed_:
        read, written = written, read
        told, channels, heard_numbers = sizes.in_dim, sizes.in_channels, sizes.told
    y = _new_images(x, channels, written)
    total = x.size(0) * math.prod(written)
    if total == 0:
        return y
    mean = heard_numbers / sizes.nodes
    tile = multiply_tile(told, mean, total, sizes.nodes, _is_exact(x))
    parts = -(-told // tile.told)
    # Taps outermost: the weights of one tap are neighbours.
    weight = w.flatten(3).movedim(-1, 0).contiguous()
    with torch.cuda.device_of(x):
        multiply[(sizes.nodes * parts * -(-total // tile.positions),)](
            x,
            weight,
            y,
            *heard,
            sizes.nodes,
            parts,
            total,
            math.prod(read),
            x.size(1),
            math.prod(written),
            channels,
            sizes.in_dim,
            w[:, :, :, 0, 0].numel(),
            *read,
            written[1],
            REVERSED=reversed_,
            **_constants(x, y, shape, read, written),
            **tile.constants(),
        )
    return y


def _constants(
    x: Tensor, y: Tensor, shape: Convolution, of_x: Numbers, of_y: Numbers
) -> dict[str, Any]:
    """What is compiled into the kernels, for images ``x [..., *of_x]`` and ``y [..., *of_y]``."""
    pointwise = shape == Convolution((1, 1), (1, 1), (0, 0), (1, 1), shape.image, shape.image)
    vectors = math.prod(shape.image) == math.prod(shape.output) == 1
    return {
        "CHANNELS_LAST": vectors or _format(x) == torch.channels_last,
        "TAPS": math.prod(shape.kernel),
        "KERNEL_WIDTH": shape.kernel[1],
        "POINTWISE": pointwise,
        "STRIDE_Y": shape.stride[0],
        "STRIDE_X": shape.stride[1],
        "PADDING_Y": shape.padding[0],
        "PADDING_X": shape.padding[1],
        "DILATION_Y": shape.dilation[0],
        "DILATION_X": shape.dilation[1],
        **in_a_row("X", _run(x, math.prod(of_x)) if pointwise else 1, x.element_size()),
        **in_a_row("Y", _run(y, math.prod(of_y)), y.element_size()),
        "PRECISION": "tf32" if x.dtype == torch.float32 and not _is_exact(x) else "ieee",
        # The interpreter multiplies bfloat16 wrongly.
        "UPCAST": INTERPRETED and x.dtype == torch.bfloat16,
    }


def _run(x: Tensor, pixels: int) -> int:
    """How many pixels from an aligned one on are neighbours in memory: at most 16 bytes."""
    return math.gcd(pixels, x.data_ptr() // x.element_size(), 16 // x.element_size())


def in_a_row(side: str, run: int, item_bytes: int) -> dict[str, int]:
    """What kernels are told of ``run`` neighbouring pixels; see their module."""
    return {f"NEXT_{side}": max(2, run), f"ALIGN_{side}": run * item_bytes if run > 1 else 1}


def _is_exact(x: Tensor) -> bool:
    """Whether products are taken in float32, as PyTorch takes its own matrix products."""
    if x.dtype != torch.float32:
        return False
    settings = torch.backends.cuda.matmul
    # PyTorch 2.9 and later raise where the older switch is read after the newer one was set.
    if hasattr(settings, "fp32_precision"):
        return bool(settings.fp32_precision != "tf32")
    return not settings.allow_tf32


# Memory ---------------------------------------------------------------------------------------


def _format(x: Tensor) -> torch.memory_format:
    """How images lie in memory, or should."""
    last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _laid_out(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=_format(x))


def _new_images(x: Tensor, channels: int, image: Numbers) -> Tensor:
    shape = (x.size(0), channels, *image)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=_format(x))


def _new_weights(x: Tensor, splits: int, sizes: Sizes, shape: Convolution) -> Tensor:
    """``[splits, E, out_dim, in_dim, *kernel]``: zeros, or nothing yet where all is written."""
    full = sizes.heard == sizes.edges * sizes.in_dim
    full &= sizes.out_channels == sizes.nodes * sizes.out_dim
    dims = (splits, sizes.edges, sizes.out_dim, sizes.in_dim, *shape.kernel)
    dtype = x.dtype if splits == 1 else torch.float32
    return (torch.empty if full else torch.zeros)(dims, dtype=dtype, device=x.device)


# Shapes without numbers, for compilers --------------------------------------------------------


@round_forward.register_fake
def _(x: Tensor, w: Tensor, graph: Tensor, sizes: Numbers, geometry: Numbers) -> Tensor:
    return _new_images(x, sizes[1], geometry[10:12])


@round_input_gradient.register_fake
def _(y: Tensor, w: Tensor, graph: Tensor, sizes: Numbers, geometry: Numbers) -> Tensor:
    return _new_images(y, sizes[0], geometry[8:10])


@round_weight_gradient.register_fake
def _(y: Tensor, x: Tensor, graph: Tensor, sizes: Numbers, geometry: Numbers) -> Tensor:
    return x.new_empty(sizes[5], sizes[3], sizes[2], *geometry[0:2])


register_derivatives(round_forward, round_input_gradient, round_weight_gradient)
