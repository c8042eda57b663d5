"""Rounds that hand images on to one another as the kernels hold them, in lanes.

A round of ``execution="cpu_kernel"`` brings images into lanes and its output back. Where rounds
follow one another, :func:`in_turn` leaves them there; a module that it does not know, or at which
somebody looks (hooks, compilers, autocast), takes and gives ordinary images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast, runtime_checkable

from torch import Tensor, nn

from relmp.rounds.channels import ChannelPartition
from relmp.rounds.execution import is_transformed
from relmp.rounds.execution.convolution import convolution_of
from relmp.rounds.execution.cpu_kernel import CpuKernelExecution
from relmp.rounds.execution.watched import has_global_hooks, is_hooked, sees_messages, sees_sums
from relmp.rounds.layers import RelationalConv2d
from relmp.rounds.message import WeightedMessage
from relmp.rounds.round import Round

if TYPE_CHECKING:
    from relmp.rounds.execution.cpu.packed import Packed

    Images: TypeAlias = Tensor | Packed


@runtime_checkable
class Packs(Protocol):
    """A module of rounds that may take images in lanes and leave them there."""

    def packs(self, x: Images) -> bool:
        """Whether it can now, and nobody looks inside."""

    def packed(self, x: Images) -> Packed:
        """What it gives, in lanes; called where it :meth:`packs`."""


def in_turn(modules: nn.Module, x: Tensor) -> Tensor:
    """What (nested) sequences of modules give one after the other; in lanes from the first one
    that packs to the last one in a row."""
    here: Images = x
    for module in _flat(modules):
        if is_hooked(module):
            here = module(as_images(here))
        elif isinstance(module, Round) and round_packs(module, here):
            here = packed_round(module, here)
        elif isinstance(module, Packs) and module.packs(here):
            here = module.packed(here)
        else:
            here = module(as_images(here))
    return as_images(here)


def round_packs(
    layer: nn.Module, x: Images, *, size: Sequence[int] | None = None, adds: bool = False
) -> bool:
    """Whether a round and its update can take images in lanes and leave them there.

    Args:
        layer: The round.
        x: The images, or those of which it is given what others make.
        size: How many it is given, their channels and pixels; None for those of ``x``.
        adds: Whether something is added behind the update.
    """
    if type(layer) not in (Round, RelationalConv2d) or is_hooked(layer) or has_global_hooks():
        return False
    assert isinstance(layer, Round)
    executor, like = layer.executor, x if isinstance(x, Tensor) else x.lanes
    if not isinstance(executor, CpuKernelExecution) or layer.bias is not None or layer.recompute:
        return False
    size = size or x.shape
    if len(size) != 4:
        return False
    if sees_messages(layer) or sees_sums(layer) or is_transformed(executor):
        return False
    return executor.packs(layer.message_module, like, size, layer.update_module, adds=adds)


def size_behind(layer: Round, size: Sequence[int]) -> tuple[int, ...]:
    """How many images a round that :func:`round_packs` gives, their channels and pixels."""
    linear = cast(WeightedMessage, layer.message_module)
    pixels = convolution_of(linear.geometry, (size[2], size[3])).output
    return size[0], layer.out_partition.channels, *pixels


def packed_round(
    layer: Round, x: Images, plus: Packed | None = None, *, activates: bool = False
) -> Packed:
    """What a round that :func:`round_packs` gives, in lanes; with ``plus`` added behind its update,
    and ReLU where it ``activates``.

    Raises:
        ValueError: If the images have other channels than the round takes, or those to add are
            not like those that it gives.
    """
    assert isinstance(layer.executor, CpuKernelExecution)
    x = in_lanes(x, layer.in_partition)
    how = (layer.message_module, x, layer.update_module, plus)
    return layer.executor.packed(*how, activates=activates)


def in_lanes(x: Images, partition: ChannelPartition) -> Packed:
    """Images in lanes, with their channels dealt out to the nodes in this way.

    Raises:
        ValueError: If they have other channels.
    """
    from relmp.rounds.execution.cpu.packed import pack

    if not isinstance(x, Tensor) and x.partition == partition:
        return x
    images = as_images(x)
    if images.size(1) != partition.channels:
        raise ValueError(
            f"This round takes [B, {partition.channels}, H, W], but was given {list(images.shape)}."
        )
    return pack(images, partition)


def as_images(x: Images) -> Tensor:
    """Images ``[B, C, H, W]``, from lanes or as they are."""
    if isinstance(x, Tensor):
        return x
    from relmp.rounds.execution.cpu.packed import unpack

    return unpack(x)


def _flat(module: nn.Module) -> Iterator[nn.Module]:
    """The modules of nested sequences at which nobody looks."""
    if type(module) is nn.Sequential and not is_hooked(module) and not has_global_hooks():
        for child in module:
            yield from _flat(child)
    else:
        yield module
