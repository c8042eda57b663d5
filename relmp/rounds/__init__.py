"""One layer = one round of message passing: channels, messages, aggregation, execution."""

import warnings

with warnings.catch_warnings():
    # PyTorch Geometric calls torch.jit.script when it is imported, and tqdm, which in a notebook
    # asks for widgets; nothing a user can act on.
    warnings.filterwarnings("ignore", message="`torch.jit.script`")
    warnings.filterwarnings("ignore", message="IProgress not found")
    import torch_geometric.nn  # noqa: F401

from relmp.rounds.aggregation import AGGREGATIONS, CombinedAggregation, degree_scaled
from relmp.rounds.channels import ChannelPartition
from relmp.rounds.conv2d import Conv2dMessage
from relmp.rounds.cost import message_flops
from relmp.rounds.form import Edges
from relmp.rounds.initialise import initialise_by_degree
from relmp.rounds.layers import (
    RelationalConv2d,
    RelationalLinear,
    dense_layer,
    dense_weight,
    keep_dense_weight,
)
from relmp.rounds.message import LinearMessage, Message, WeightedMessage
from relmp.rounds.messages import linear_map
from relmp.rounds.names import MESSAGES, message_names, resolve_message
from relmp.rounds.round import Round
from relmp.rounds.scored.chosen import selected_graph
from relmp.rounds.scored.selection import Selection

__all__ = [
    "AGGREGATIONS",
    "MESSAGES",
    "ChannelPartition",
    "CombinedAggregation",
    "Conv2dMessage",
    "Edges",
    "LinearMessage",
    "Message",
    "RelationalConv2d",
    "RelationalLinear",
    "Round",
    "Selection",
    "WeightedMessage",
    "degree_scaled",
    "dense_layer",
    "dense_weight",
    "initialise_by_degree",
    "keep_dense_weight",
    "linear_map",
    "message_flops",
    "message_names",
    "resolve_message",
    "selected_graph",
]
