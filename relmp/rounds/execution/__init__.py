"""Ways to execute a round. Message passing is the definition; the others compute the same.

An execution is an ``nn.Module`` that PyG's fused hook calls instead of message and
aggregation. It holds what it needs to know of the graph as buffers that are not saved, owns
no parameters, and gives the same values and gradients.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import nn

from relmp.rounds.execution.dense import DenseExecution
from relmp.rounds.message import LinearMessage

if TYPE_CHECKING:
    from relmp.rounds.round import Round

MESSAGE_PASSING = "message_passing"
EXECUTIONS: tuple[str, ...] = ("auto", MESSAGE_PASSING, DenseExecution.name)
"""What ``execution=`` accepts."""


def choose_execution(layer: Round, execution: str) -> tuple[str, nn.Module | None]:
    """The execution that a round gets: its name, and its module (None for message passing).

    The rule for ``"auto"``: message passing where the round cannot be written as one matrix,
    or where it is linear and its density is below ``c / 100`` with c channels a node; one
    dense product everywhere else. The cost of the dense product does not depend on the
    density; messages cost as much as the edges, and the less for a channel the more channels
    a node has (measured: ``experiments/benchmarks/README.md``). The messages of a convolution
    are images, one for every edge, so the dense product is the practical way to train one.

    Raises:
        ValueError: If the name is unknown, or the round cannot be executed in the given way.
    """
    if execution not in EXECUTIONS:
        raise ValueError(f"Unknown execution '{execution}'; choose one of {', '.join(EXECUTIONS)}.")
    if execution == MESSAGE_PASSING:
        return MESSAGE_PASSING, None
    refusal = DenseExecution.refusal(layer)
    if execution == "auto" and (refusal is not None or _is_sparse(layer)):
        return MESSAGE_PASSING, None
    if refusal is None:
        return DenseExecution.name, DenseExecution(layer)
    raise ValueError(
        f"execution='{execution}' cannot run this round: {refusal}; "
        f"use execution='{MESSAGE_PASSING}' or 'auto'."
    )


def _is_sparse(layer: Round) -> bool:
    """Whether the messages of a linear round are few enough to beat the dense product."""
    if not isinstance(layer.message_module, LinearMessage):
        return False
    channels_a_node = math.sqrt(layer.in_partition.max_size * layer.out_partition.max_size)
    return layer.graph.density < channels_a_node / 100
