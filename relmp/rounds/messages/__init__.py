"""The messages that relmp knows: one file each, all linear and convolutional alike.

A message with a ``kernel_size`` speaks in images, without one in vectors. It is registered under
its name when its file is imported, here.
"""

from relmp.rounds.messages.attention import AttentionMessage as AttentionMessage
from relmp.rounds.messages.basis import BasisMessage as BasisMessage
from relmp.rounds.messages.class_shared import ClassSharedMessage as ClassSharedMessage
from relmp.rounds.messages.edge_attr import EdgeAttrMessage as EdgeAttrMessage
from relmp.rounds.messages.frozen import FrozenMessage as FrozenMessage
from relmp.rounds.messages.gated import GatedMessage as GatedMessage
from relmp.rounds.messages.linear_map import linear_map as linear_map
from relmp.rounds.messages.low_rank import LowRankMessage as LowRankMessage
from relmp.rounds.messages.mlp import MLPMessage as MLPMessage
from relmp.rounds.messages.scalar import ScalarMessage as ScalarMessage
from relmp.rounds.messages.shared import SharedMessage as SharedMessage
from relmp.rounds.scored.message import ScoredMessage as ScoredMessage
