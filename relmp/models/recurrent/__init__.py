"""Rounds in time: one round, spoken again at every step of a sequence."""

from relmp.models.recurrent.layer import RelationalRNN
from relmp.models.recurrent.network import RecurrentNetwork

__all__ = ["RecurrentNetwork", "RelationalRNN"]
