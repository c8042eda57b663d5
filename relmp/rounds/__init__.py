"""One layer = one round of message passing: channels, messages, aggregation, execution."""

from relmp.rounds.channels import ChannelPartition
from relmp.rounds.layers import RelationalLinear, dense_weight
from relmp.rounds.message import Edges, LinearMessage, Message
from relmp.rounds.round import Round

__all__ = [
    "ChannelPartition",
    "Edges",
    "LinearMessage",
    "Message",
    "RelationalLinear",
    "Round",
    "dense_weight",
]
