"""Drop-in layers: rounds that take and give what torch's own layers do."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from relmp.graphs import RelationalGraph
from relmp.rounds.aggregation import Aggr
from relmp.rounds.channels import ChannelPartition
from relmp.rounds.conv2d import Conv2dMessage
from relmp.rounds.execution.linear_maps import map_refusal
from relmp.rounds.geometry import Pair
from relmp.rounds.layout import EdgeLayout
from relmp.rounds.message import LinearMessage, WeightedMessage
from relmp.rounds.names import MessageFactory, resolve_message
from relmp.rounds.round import Round


class RelationalLinear(Round):
    r"""``nn.Linear`` over a relational graph: :math:`y_i = b_i + \sum_{j \in N(i)} W_{ij} x_j`.

    On the complete graph it is ``nn.Linear``; on any other it is ``nn.Linear`` with zeros
    where there is no edge, and has only the weights of the edges.

    Args:
        graph: Who listens to whom.
        in_features: Channels of the input, at least one a node; or a :class:`ChannelPartition`.
        out_features: Channels of the output, likewise.
        bias: Whether a bias is learned.
        execution: See :class:`Round`.
        message, aggr: See :class:`Round`; other ones take the place of the formula above.

    Shapes:
        - **input** ``[..., in_features]`` -> **output** ``[..., out_features]``
        - **weight** ``[E, out_dim, in_dim]``, **bias** ``[out_features]``
    """

    def __init__(
        self,
        graph: RelationalGraph,
        in_features: int | ChannelPartition,
        out_features: int | ChannelPartition,
        bias: bool = True,
        *,
        execution: str = "auto",
        message: str | MessageFactory = LinearMessage,
        aggr: Aggr = "sum",
    ) -> None:
        super().__init__(
            graph,
            in_features,
            out_features,
            message=message,
            aggr=aggr,
            bias=bias,
            execution=execution,
        )

    @property
    def weight(self) -> nn.Parameter:
        """The weights of the edges, ``[E, out_dim, in_dim]``."""
        return cast(nn.Parameter, self.message_module.weight)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 0 or x.size(-1) != self.in_channels:
            raise ValueError(
                f"This layer takes [..., {self.in_channels}], but was given {list(x.shape)}."
            )
        out = super().forward(x.reshape(-1, self.in_channels))
        return out.view(*x.shape[:-1], self.out_channels)

    def to_dense(self) -> nn.Linear:
        """An ``nn.Linear`` with the same function, zeros where there is no edge."""
        return cast(nn.Linear, dense_layer(self))


class RelationalConv2d(Round):
    r"""``nn.Conv2d`` over a relational graph: :math:`y_i = b_i + \sum_{j \in N(i)} W_{ij} * x_j`.

    On the complete graph it is ``nn.Conv2d``; on any other it is ``nn.Conv2d`` with zeros
    where there is no edge, and has only the kernels of the edges.

    Args:
        graph: Who listens to whom.
        in_channels: Channels of the input, at least one a node; or a :class:`ChannelPartition`.
        out_channels: Channels of the output, likewise.
        kernel_size, stride, padding, dilation: See :class:`Conv2dMessage`.
        bias: Whether a bias is learned.
        execution: See :class:`Round`.
        chunk_size: See :class:`Round`; :class:`Conv2dMessage` says what literal messages take.
        message, aggr: See :class:`Round`; other ones take the place of the formula above. The
            message is told ``kernel_size``, ``stride``, ``padding`` and ``dilation``.

    Shapes:
        - **input** ``[B, in_channels, H, W]`` -> **output** ``[B, out_channels, H', W']``
        - **weight** ``[E, out_dim, in_dim, kh, kw]``, **bias** ``[out_channels]``
    """

    def __init__(
        self,
        graph: RelationalGraph,
        in_channels: int | ChannelPartition,
        out_channels: int | ChannelPartition,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair | str = 0,
        dilation: Pair = 1,
        *,
        bias: bool = True,
        execution: str = "auto",
        chunk_size: int | None = None,
        message: str | MessageFactory = Conv2dMessage,
        aggr: Aggr = "sum",
    ) -> None:
        moving = partial(
            resolve_message(message),
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
        )
        super().__init__(
            graph,
            in_channels,
            out_channels,
            message=moving,
            aggr=aggr,
            bias=bias,
            execution=execution,
            chunk_size=chunk_size,
        )

    @property
    def weight(self) -> nn.Parameter:
        """The kernels of the edges, ``[E, out_dim, in_dim, kh, kw]``."""
        return cast(nn.Parameter, self.message_module.weight)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 4 or x.size(1) != self.in_channels:
            raise ValueError(
                f"This layer takes [B, {self.in_channels}, H, W], but was given {list(x.shape)}."
            )
        return super().forward(x)

    def to_dense(self) -> nn.Conv2d:
        """An ``nn.Conv2d`` with the same function, zeros where there is no edge."""
        return cast(nn.Conv2d, dense_layer(self))


def dense_weight(layer: Round) -> Tensor:
    """The weights of a linear or convolutional round as ``[C_out, C_in, *kernel]``.

    Raises:
        ValueError: If the round is not one linear map.
    """
    message, layout = _dense_form(layer)
    return cast(Tensor, layout(message.weight))


def dense_layer(layer: Round) -> nn.Module:
    """An ordinary layer with the same function as a linear or convolutional round.

    Its parameters are copies. Where the round has an update, a sequence of the layer and the
    modules of the (shared) update.

    Raises:
        ValueError: If the round is not one linear map.
    """
    message, layout = _dense_form(layer)
    dense = message.to_dense(layout(message.weight), layer.bias)
    dense.train(layer.training)
    update = layer.update_module
    if update is None:
        return dense
    return nn.Sequential(dense, *(update if isinstance(update, nn.Sequential) else [update]))


def keep_dense_weight(layer: Round, weight: Tensor) -> None:
    """Take over the entries of ``weight [C_out, C_in, *kernel]`` that lie on edges.

    Raises:
        ValueError: If the round is not one linear map, or has no weights of its own on edges.
    """
    message, layout = _dense_form(layer)
    if not message.has_own_weight:
        raise ValueError(
            f"{type(message).__name__} computes the weights of the edges from parameters that "
            f"they share, so it cannot take over weights."
        )
    with torch.no_grad():
        message.weight.copy_(layout.gather(weight.to(message.weight)))


def _dense_form(layer: Round) -> tuple[WeightedMessage, EdgeLayout]:
    refusal = map_refusal(layer.form)
    if refusal is not None:
        raise ValueError(f"This round has no dense form: {refusal}.")
    message = cast(WeightedMessage, layer.message_module)
    return message, EdgeLayout(layer.form).to(message.weight.device)
