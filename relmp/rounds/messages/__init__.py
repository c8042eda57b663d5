"""The messages that relmp knows: one file each, all linear and convolutional alike.

A message with a ``kernel_size`` speaks in images, without one in vectors.
"""

from relmp.rounds.messages.attention import AttentionMessage
from relmp.rounds.messages.basis import BasisMessage
from relmp.rounds.messages.class_shared import ClassSharedMessage
from relmp.rounds.messages.edge_attr import EdgeAttrMessage
from relmp.rounds.messages.frozen import FrozenMessage
from relmp.rounds.messages.gated import GatedMessage
from relmp.rounds.messages.linear_map import linear_map
from relmp.rounds.messages.low_rank import LowRankMessage
from relmp.rounds.messages.mlp import MLPMessage
from relmp.rounds.messages.scalar import ScalarMessage
from relmp.rounds.messages.shared import SharedMessage

__all__ = [
    "AttentionMessage",
    "BasisMessage",
    "ClassSharedMessage",
    "EdgeAttrMessage",
    "FrozenMessage",
    "GatedMessage",
    "LowRankMessage",
    "MLPMessage",
    "ScalarMessage",
    "SharedMessage",
    "linear_map",
]
