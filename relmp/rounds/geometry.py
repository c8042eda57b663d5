"""What the weights of an edge are applied to: vectors, or images that a kernel moves over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias, TypedDict, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Pair: TypeAlias = int | tuple[int, int]


class KernelOptions(TypedDict, total=False):
    """The geometry of a convolution, as in ``nn.Conv2d``; without ``kernel_size``, of vectors."""

    kernel_size: Pair | None
    stride: Pair
    padding: Pair | str
    dilation: Pair


@dataclass(frozen=True)
class Vectors:
    """A node holds a vector; a weight is a matrix."""

    kernel: tuple[int, ...] = ()

    def each(self, x: Tensor, weight: Tensor) -> Tensor:
        """``[E, B, in]`` times one ``weight [E, out, in]`` an edge -> ``[E, B, out]``."""
        if x.dim() != 3:
            raise ValueError(
                f"A linear message takes [E, B, in_dim], but was given {list(x.shape)}; for "
                f"images give it a kernel_size."
            )
        return torch.bmm(x, weight.transpose(1, 2))

    def whole(self, x: Tensor, weight: Tensor) -> Tensor:
        """``[B, in]`` times ``weight [out, in]`` -> ``[B, out]``."""
        return F.linear(x, weight)

    def layer(self, weight: Tensor, bias: Tensor | None) -> nn.Linear:
        """An ordinary layer with copies of these parameters."""
        layer = nn.Linear(weight.size(1), weight.size(0), bias is not None, device="meta")
        return _with_parameters(layer, weight, bias)

    def pointwise(self) -> Vectors:
        """The geometry of a second map, after this one."""
        return self

    def pooled(self, x: Tensor) -> Tensor:
        """``[E, B, c]``: what is known of every node in one vector; x itself."""
        return x

    def scaled(self, x: Tensor, factor: Tensor) -> Tensor:
        """``x [E, B, c]`` times ``factor [E, B]``."""
        return x * factor[:, :, None]


@dataclass(frozen=True)
class Images:
    """A node holds an image of several channels; a weight is the kernel of a convolution."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] | str
    dilation: tuple[int, int]

    def each(self, x: Tensor, weight: Tensor) -> Tensor:
        """``[E, B, in, H, W]`` with one ``weight [E, out, in, kh, kw]`` an edge."""
        if x.dim() != 5:
            raise ValueError(
                f"A convolutional message takes [E, B, in_dim, H, W], but was given "
                f"{list(x.shape)}; for vectors leave kernel_size away."
            )
        num_edges, images = x.shape[:2]
        if num_edges == 0:  # there is no convolution of no groups: the shape of one, without it
            one = self.each(x.new_zeros(1, *x.shape[1:]), weight.new_zeros(1, *weight.shape[1:]))
            return one[:0] + x.sum() + weight.sum()
        groups = x.transpose(0, 1).flatten(1, 2)
        out = self._convolve(groups, weight.flatten(0, 1), groups=num_edges)
        return out.view(images, num_edges, weight.size(1), *out.shape[2:]).transpose(0, 1)

    def whole(self, x: Tensor, weight: Tensor) -> Tensor:
        """``[B, in, H, W]`` with ``weight [out, in, kh, kw]``."""
        return self._convolve(x, weight)

    def layer(self, weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
        """An ordinary layer with copies of these parameters."""
        layer = nn.Conv2d(
            weight.size(1),
            weight.size(0),
            self.kernel,
            self.stride,
            self.padding,
            self.dilation,
            bias=bias is not None,
            device="meta",
        )
        return _with_parameters(layer, weight, bias)

    def pointwise(self) -> Images:
        """The geometry of a second map, after this one: a 1x1 convolution."""
        return Images((1, 1), (1, 1), (0, 0), (1, 1))

    def pooled(self, x: Tensor) -> Tensor:
        """``[E, B, c]``: what is known of every node in one vector; the mean of its pixels."""
        return x.mean((3, 4))

    def scaled(self, x: Tensor, factor: Tensor) -> Tensor:
        """``x [E, B, c, H, W]`` times ``factor [E, B]``."""
        return x * factor[:, :, None, None, None]

    def before(self) -> tuple[int, int]:
        """Rows and columns of zeros in front of an image."""
        spans = self._spans()
        if self.padding == "same":
            return spans[0] // 2, spans[1] // 2
        return (0, 0) if isinstance(self.padding, str) else self.padding

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what images of this size are turned into.

        Raises:
            ValueError: If they are smaller than the kernel.
        """
        padding = self._spans() if self.padding == "same" else [2 * p for p in self.before()]
        room = [
            size + pad - span - 1
            for size, pad, span in zip((height, width), padding, self._spans(), strict=True)
        ]
        if min(room) < 0 or min(height, width) < 1:
            raise ValueError(
                f"The images, {height} x {width}, are smaller than the kernel, padding included."
            )
        return room[0] // self.stride[0] + 1, room[1] // self.stride[1] + 1

    def _spans(self) -> tuple[int, int]:
        rows, columns = (d * (k - 1) for d, k in zip(self.dilation, self.kernel, strict=True))
        return rows, columns

    def _convolve(self, x: Tensor, weight: Tensor, groups: int = 1) -> Tensor:
        self.output_size(x.size(2), x.size(3))  # torch would raise a RuntimeError
        # oneDNN ends the process for some kernels of one pixel that have a dilation.
        sides = zip(self.kernel, self.dilation, strict=True)
        dilation = [1 if side == 1 else step for side, step in sides]
        return F.conv2d(x, weight, None, self.stride, self.padding, dilation, groups)


Geometry: TypeAlias = Vectors | Images


def make_geometry(
    kernel_size: Pair | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
) -> Geometry:
    """Vectors where no ``kernel_size`` is given, images otherwise.

    Raises:
        ValueError: If a number is out of range, or there is a stride, padding or dilation but
            no kernel.
    """
    if kernel_size is None:
        if (stride, padding, dilation) != (1, 0, 1):
            raise ValueError(
                f"stride={stride}, padding={padding} and dilation={dilation} are those of a "
                f"convolution; give its kernel_size too."
            )
        return Vectors()
    strides = _pair("stride", stride, 1)
    return Images(
        _pair("kernel_size", kernel_size, 1),
        strides,
        _padding(padding, strides),
        _pair("dilation", dilation, 1),
    )


def _pair(name: str, value: Any, low: int) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or not all(isinstance(v, int) and v >= low for v in pair):
        raise ValueError(
            f"{name} must be a whole number of at least {low}, or a pair of them, but is {value!r}."
        )
    return pair


def _padding(padding: Pair | str, stride: tuple[int, int]) -> tuple[int, int] | str:
    if not isinstance(padding, str):
        return _pair("padding", padding, 0)
    if padding not in ("same", "valid") or (padding == "same" and stride != (1, 1)):
        raise ValueError(
            f"padding must be numbers, 'valid', or with stride 1 'same', but is '{padding}' with "
            f"stride {stride}."
        )
    return padding


L = TypeVar("L", bound=nn.Module)


def _with_parameters(layer: L, weight: Tensor, bias: Tensor | None) -> L:
    """Give a layer that was made without storage its own copy of these parameters."""
    layer.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone())
    return layer
