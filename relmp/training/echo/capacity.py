"""How much of the past a network's state tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from relmp.models import RecurrentNetwork, RelationalRNN
from relmp.training.data.sequences.memory import memory_capacity_data
from relmp.training.echo.readout import Array, fit_readout


@dataclass(frozen=True)
class MemoryCapacity:
    """The memory capacity of a network.

    Attributes:
        total: The sum over all lags.
        by_lag: ``[lags]``: squared correlation of what came k steps ago with its prediction.
        units: Channels of the state: what the capacity of a linear read-out is bounded by.
    """

    total: float
    by_lag: Array
    units: int


def memory_capacity(
    model: RelationalRNN | RecurrentNetwork,
    *,
    lags: int = 100,
    steps: int = 5000,
    transient: int = 100,
    alpha: float | Sequence[float] = 1e-9,
    seed: int = 0,
) -> MemoryCapacity:
    r"""The memory capacity :math:`\sum_k r^2(u_{t-k}, \hat u_{t-k})` of a network as it is.

    A stream of :math:`U(-1/2, 1/2)` goes in; for every lag k from 1 to ``lags`` a linear read-out
    is fitted on two streams and judged on a third. It cannot exceed the number of units, up to
    the chance of a finite stream (about ``lags / steps``).

    Args:
        model: A network with one input, trained or not; it is left as it was.
        lags: How far back.
        steps: Of each stream.
        transient: So many first steps are left out.
        alpha: Ridge penalty, see :func:`fit_readout`.
        seed: Decides the streams.

    Raises:
        ValueError: If the network has more than one input, there are more lags than steps, or a
            number is out of its range.

    Reference:
        Jaeger, *Short term memory in echo state networks*, GMD Report 152, 2001.
    """
    rnn = model.rnn if isinstance(model, RecurrentNetwork) else model
    if not isinstance(rnn, RelationalRNN) or rnn.input_size != 1:
        shown = f"{rnn.input_size} inputs" if isinstance(rnn, RelationalRNN) else type(rnn).__name__
        raise ValueError(
            f"The memory capacity is that of a RelationalRNN with one input, but {shown} was "
            f"given; make it with input_size=1."
        )
    data = memory_capacity_data(lags=lags, steps=steps, transient=max(transient, lags), seed=seed)
    with torch.random.fork_rng(devices=[]):
        reader = _Reader(rnn, lags)
    found = fit_readout(reader, data, alpha=alpha).correlations
    return MemoryCapacity(float(found.sum()), found, rnn.hidden_size)


class _Reader(nn.Module):
    """A network with a read-out of its own."""

    def __init__(self, rnn: RelationalRNN, outputs: int) -> None:
        super().__init__()
        self.rnn = rnn
        self.head = nn.Linear(rnn.hidden_size, outputs).to(rnn.weight_ih)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, _ = self.rnn(x if self.rnn.batch_first else x.transpose(0, 1))
        return self.head(states if self.rnn.batch_first else states.transpose(0, 1))
