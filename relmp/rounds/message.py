"""Messages: what node j says to node i along the edge between them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from relmp.rounds.form import Edges
from relmp.rounds.geometry import Geometry, Vectors


class Message(nn.Module):
    r"""What node j says to node i: :math:`m_{ij} = f_{ij}(x_i, x_j)` for every edge at once.

    Subclass it, take ``(num_edges, in_dim, out_dim)`` in ``__init__``, and write ``forward``.
    Any ``nn.Module`` with such a ``forward`` serves as well; the methods below are optional.
    Messages inside a message are told their edges and drawn as it is; a subclass that writes
    ``connect`` or ``reset_parameters`` calls ``super()`` for them, or draws them itself.

    Shapes:
        - **x_i**, **x_j**: ``[E, B, in_dim]`` or ``[E, B, in_dim, H, W]``, the states of
          the listening and of the speaking node, told apart by these names.
        - **output**: ``[E, B, out_dim]`` or ``[E, B, out_dim, H', W']``.
        - A third parameter named ``edges`` receives :class:`Edges`.
    """

    listens: bool = True
    """Whether ``forward`` reads ``x_i``; where it is False, None is passed and memory saved."""

    def connect(self, edges: Edges) -> None:
        """Told by the round, before the parameters are drawn, along which edges it will speak.

        Raises:
            ValueError: If the message cannot speak along them.
        """
        for part in _parts(self):
            part.connect(part.fitting(edges))

    def reset_parameters(self, edges: Edges) -> None:
        """Draw the parameters anew; called by the round, which knows the edges.

        Where there is a method :meth:`draw`, it is used: normal, so that the sum over in-edges
        keeps the variance of the input. Otherwise the messages inside are drawn.
        """
        if type(self).draw is not Message.draw:
            self.draw(edges, preserving(edges))
            return
        for part in _parts(self):
            part.reset_parameters(part.fitting(edges))

    def fitting(self, edges: Edges) -> Edges:
        """The edges as this message needs them where it is a part of another one."""
        return edges

    def draw(self, edges: Edges, std: Tensor) -> None:
        """Draw the parameters so that what is said along an edge has a given deviation.

        Args:
            edges: The edges of the round.
            std: ``[E]``, the deviation wanted where inputs have mean square 1.
        """
        raise NotImplementedError(
            f"{type(self).__name__} cannot be initialised by degree; give it a method "
            f"draw(edges, std) that draws its parameters so that the message along edge e has "
            f"deviation std[e] where inputs have mean square 1."
        )

    def fan_in(self, edges: Edges) -> Tensor:
        """``[n]``: how many numbers of the input a number of each node depends on."""
        return channels_heard(edges)

    def edge_tensors(self) -> list[Tensor]:
        """Parameters and saved buffers with one entry an edge, in the order of the edges.

        Where the edges of a round change (:meth:`Round.rewire`), these entries follow them; by
        default those of the messages inside.
        """
        return [tensor for part in _parts(self) for tensor in part.edge_tensors()]

    def flops(self, edges: Edges, positions: int = 1) -> int:
        """Multiply-adds of one image, over real channels, at ``positions`` output pixels."""
        raise NotImplementedError(
            f"{type(self).__name__} does not say what it costs; give it a method "
            f"flops(edges, positions) -> int to count the FLOPs of a model that uses it."
        )

    def num_parameters(self, edges: Edges) -> int:
        """Parameters over real channels, as far as the messages that it is made of know them."""
        parts = list(_parts(self))
        inside = {id(parameter) for part in parts for parameter in part.parameters()}
        own = sum(p.numel() for p in self.parameters() if id(p) not in inside)
        return own + sum(part.num_parameters(part.fitting(edges)) for part in parts)


class WeightedMessage(Message):
    r"""Base of the messages that are one linear map an edge: :math:`m_{ij} = W_{ij} x_j`.

    A subclass sets or computes ``weight``. With the sum or the mean, such a round may be
    executed in other ways than by messages, unless the subclass writes a ``forward`` of its own:
    then messages are passed, and ``is_linear_map = True`` beside that ``forward`` states that it
    computes the same map another way. ``relmp.testing.check_message`` compares them.

    Args:
        geometry: What the weights are applied to.

    Shapes:
        - **weight** ``[E, out_dim, in_dim, *kernel]``, edges in the order of ``edge_index``;
          slots of padded channels are zero and stay so.
        - **x_j** ``[E, B, in_dim]`` -> ``[E, B, out_dim]``, or with a kernel
          ``[E, B, in_dim, H, W]`` -> ``[E, B, out_dim, H', W']``
    """

    listens = False
    is_linear_map: ClassVar[bool] = True
    """Whether ``forward`` is :math:`W_{ij} x_j` with ``weight`` for W, and nothing else."""
    is_whole: ClassVar[bool] = False
    """Whether W is a whole matrix or kernel for every edge, made of no fewer numbers, so that
    compiled loops may read it."""

    if TYPE_CHECKING:  # abstract: a subclass holds it as a parameter or buffer, or computes it

        @property
        def weight(self) -> Tensor:
            """The weights of the edges, ``[E, out_dim, in_dim, *kernel]``."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "forward" in vars(cls) or "__call__" in vars(cls):
            # Nothing is known of a function of one's own but what its class says.
            cls.is_linear_map = vars(cls).get("is_linear_map", False)
            cls.listens = vars(cls).get("listens", True)

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        self.geometry = geometry

    def fitting(self, edges: Edges) -> Edges:
        """The edges with all channels real on a side where this part has other ones.

        A part with another number of edges speaks to so many nodes that hear one message each.
        """
        num_edges, out_dim, in_dim = self.weight.shape[:3]
        source_mask, target_mask, node_mask = edges[4:]
        if num_edges != len(edges.source):
            alone = torch.arange(num_edges, device=edges.source.device)
            ptr = torch.arange(num_edges + 1, device=edges.source.device)
            source_mask, target_mask, node_mask = source_mask[:0], target_mask[:0], node_mask[:0]
            edges = edges._replace(source=alone, target=alone, ptr=ptr, attr=None)
        if source_mask.shape != (num_edges, in_dim):
            source_mask = source_mask.new_ones(num_edges, in_dim)
        if target_mask.shape != (num_edges, out_dim):
            target_mask = target_mask.new_ones(num_edges, out_dim)
        if node_mask.shape != (nodes := edges.ptr.numel() - 1, in_dim):
            node_mask = node_mask.new_ones(nodes, in_dim)
        return edges._replace(source_mask=source_mask, target_mask=target_mask, node_mask=node_mask)

    def edge_tensors(self) -> list[Tensor]:
        return [self.weight] if self.has_own_weight else []

    @property
    def has_own_weight(self) -> bool:
        """Whether every edge has a weight of its own, rather than one computed from others."""
        return "weight" in self._parameters or "weight" in self._buffers

    def forward(self, x_i: Tensor | None, x_j: Tensor) -> Tensor:
        self.check_input(x_j.shape[1:])
        return self.geometry.each(x_j, self.weight)

    def apply_dense(self, x: Tensor, weight: Tensor) -> Tensor:
        """The whole round as one product with ``weight [C_out, C_in, *kernel]``."""
        self.check_input(x.shape)
        return self.geometry.whole(x, weight)

    def to_dense(self, weight: Tensor, bias: Tensor | None) -> nn.Module:
        """An ordinary layer that holds ``weight [C_out, C_in, *kernel]`` and ``bias``."""
        return self.geometry.layer(weight, bias)

    def check_input(self, shape: Sequence[int]) -> None:
        """Raise ``ValueError`` unless a batch of this shape has as many dimensions as it must."""
        dims = 2 + len(self.geometry.kernel)
        if len(shape) != dims:
            form = "[B, C]" if dims == 2 else "[B, C, H, W]"
            raise ValueError(
                f"{type(self).__name__} takes a batch of shape {form}, but was given "
                f"{len(shape)} dimensions; use LinearMessage for vectors and Conv2dMessage for "
                f"images, other messages with a kernel_size."
            )

    def initialise(self, edges: Edges, draw: Callable[[Tensor], object]) -> None:
        """Let ``draw`` fill the weights in place, then clear the slots of padded channels."""
        with torch.no_grad():
            draw(self.weight)
            self.weight.mul_(real_weights(edges, self.weight.dim()))

    def draw(self, edges: Edges, std: Tensor) -> None:
        scale = self.weight_std(edges, std)
        self.initialise(edges, lambda weight: weight.normal_().mul_(scale))

    def weight_std(self, edges: Edges, std: Tensor) -> Tensor:
        """Deviation of independent weights with which messages have deviation ``std [E]``."""
        fan_in = edges.source_mask.sum(1) * math.prod(self.geometry.kernel)
        return (std / fan_in.to(std).sqrt()).view(-1, *[1] * (self.weight.dim() - 1))

    def fan_in(self, edges: Edges) -> Tensor:
        return super().fan_in(edges) * math.prod(self.geometry.kernel)

    def flops(self, edges: Edges, positions: int = 1) -> int:
        return channel_pairs(edges) * math.prod(self.geometry.kernel) * positions

    def num_parameters(self, edges: Edges) -> int:
        return channel_pairs(edges) * math.prod(self.geometry.kernel)


class LinearMessage(WeightedMessage):
    r"""One matrix for every edge: :math:`m_{ij} = W_{ij} x_j`.

    Args:
        num_edges: Number of edges E, self-loops included.
        in_dim: Largest node size of the input.
        out_dim: Largest node size of the output.

    Shapes:
        - **weight** ``[E, out_dim, in_dim]``
        - **x_j** ``[E, B, in_dim]`` -> ``[E, B, out_dim]``

    Reference:
        You, Leskovec, He, Xie, *Graph Structure of Neural Networks*, ICML 2020, table 1.
    """

    weight: nn.Parameter
    is_whole = True

    def __init__(self, num_edges: int, in_dim: int, out_dim: int) -> None:
        super().__init__(Vectors())
        self.weight = nn.Parameter(torch.zeros(num_edges, out_dim, in_dim))

    def reset_parameters(self, edges: Edges) -> None:
        r"""Uniform within :math:`\pm 1 / \sqrt{\text{channels that the target hears}}`.

        On the complete graph this is the initialisation of ``nn.Linear``.
        """
        bound = self.fan_in(edges)[edges.target].to(self.weight).rsqrt()[:, None, None]
        self.initialise(edges, lambda weight: weight.uniform_(-1, 1).mul_(bound))


def channels_heard(edges: Edges) -> Tensor:
    """``[n]``: how many real channels every node hears."""
    heard = edges.source_mask.sum(1)
    return heard.new_zeros(edges.ptr.numel() - 1).index_add(0, edges.target, heard)


def channel_pairs(edges: Edges) -> int:
    """Real channels of the source times those of the target, summed over the edges."""
    return int((edges.source_mask.sum(1) * edges.target_mask.sum(1)).sum())


def real_weights(edges: Edges, dim: int) -> Tensor:
    """``[E, out_dim, in_dim, 1, ...]`` of ``dim`` dimensions: which weights of edges are real."""
    real = edges.target_mask[:, :, None] & edges.source_mask[:, None, :]
    return real.view(*real.shape, *[1] * (dim - 3))


def preserving(edges: Edges) -> Tensor:
    """``[E]``: deviations of independent messages whose sum keeps the variance of the input."""
    heard = channels_heard(edges)[edges.target]
    return (edges.source_mask.sum(1) / heard).sqrt()


def as_message(module: nn.Module) -> Message:
    """The module itself where it is a :class:`Message`; otherwise one that speaks for it.

    It shares the parameters of the module, adds none, and answers as a message does that
    defines nothing but ``forward``, and ``flops`` where the module has it.
    """
    return module if isinstance(module, Message) else _AnyModule(module)


class _AnyModule(Message):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def draw(self, edges: Edges, std: Tensor) -> None:
        raise NotImplementedError(
            f"{type(self.module).__name__} is no relmp.Message with a method draw(edges, std)."
        )

    def reset_parameters(self, edges: Edges) -> None:
        for part in _parts(self):
            part.reset_parameters(part.fitting(edges))

    def flops(self, edges: Edges, positions: int = 1) -> int:
        count = getattr(self.module, "flops", None)
        if count is None:
            raise NotImplementedError(
                f"{type(self.module).__name__} has no method flops(edges, positions)."
            )
        return int(count(edges, positions))


def _parts(module: nn.Module) -> Iterator[Message]:
    """The outermost messages inside a module."""
    for child in module.children():
        if isinstance(child, Message):
            yield child
        else:
            yield from _parts(child)


class MessageCall(NamedTuple):
    """How the ``forward`` of a message is called.

    Args:
        states: Its states in the order of its parameters, ``"x_i"`` and ``"x_j"``.
        edges: Whether it has a parameter named ``edges``.
    """

    states: tuple[str, ...]
    edges: bool

    @classmethod
    def of(cls, message: nn.Module) -> MessageCall:
        """Read from the names of the parameters; other names than these come as x_i, x_j."""
        names = list(inspect.signature(message.forward).parameters)
        states = tuple(name for name in names if name in ("x_i", "x_j"))
        return cls(states if "x_j" in states else ("x_i", "x_j"), "edges" in names)
