"""One layer = one round of message passing: channels, messages, aggregation, execution."""

import warnings

with warnings.catch_warnings():
    # PyTorch Geometric calls torch.jit.script when it is imported; nothing a user can act on.
    warnings.filterwarnings("ignore", message="`torch.jit.script`")
    import torch_geometric.nn  # noqa: F401

from relmp.rounds.channels import ChannelPartition
from relmp.rounds.conv2d import Conv2dMessage
from relmp.rounds.layers import (
    RelationalConv2d,
    RelationalLinear,
    dense_layer,
    dense_weight,
    keep_dense_weight,
)
from relmp.rounds.message import Edges, LinearMessage, Message, WeightedMessage
from relmp.rounds.round import Round

__all__ = [
    "ChannelPartition",
    "Conv2dMessage",
    "Edges",
    "LinearMessage",
    "Message",
    "RelationalConv2d",
    "RelationalLinear",
    "Round",
    "WeightedMessage",
    "dense_layer",
    "dense_weight",
    "keep_dense_weight",
]
