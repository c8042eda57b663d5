"""Which layers of a model are scored."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from relmp.rounds.round import MessageFactory
from relmp.rounds.scored.message import score_options
from relmp.rounds.scored.selection import ScoreOptions

Scored: TypeAlias = Literal["rounds", "all"]
"""Where a ``message="scored(...)"`` chooses weights:

- ``"rounds"``: in rounds, and in what stands in their place without a graph.
- ``"all"``: in all layers, single weights of the dense ones with the same share. Then, as in the
  paper, the head has no bias, and batch norm learns scales and shifts in folded blocks alone.
"""


def checked_scores(scored: str, message: MessageFactory) -> ScoreOptions | None:
    """How weights are chosen; None where the message chooses none.

    Raises:
        ValueError: If ``scored`` is unknown, or wants scores that the message does not have.
    """
    if scored not in get_args(Scored):
        raise ValueError(f"scored must be 'rounds' or 'all', but is {scored!r}.")
    options = score_options(message)
    if scored == "all" and options is None:
        raise ValueError(
            "scored='all' gives dense layers the scores that the message gives rounds, but the "
            "message has none; give message='scored(keep=0.3)'."
        )
    return options
