"""A round in time with a read-out: the model ``"rnn"``."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from relmp.graphs import RelationalGraph, create_graph
from relmp.models.factory import MODELS
from relmp.models.recurrent.layer import RelationalRNN
from relmp.models.recurrent.sequence import Nonlinearity
from relmp.rounds import LinearMessage
from relmp.rounds.aggregation import Aggr
from relmp.rounds.round import MessageFactory


@MODELS.register("rnn")
class RecurrentNetwork(nn.Module):
    r"""A :class:`relmp.RelationalRNN` and a linear read-out of its state at every step.

    Args:
        graph: The graph of the round; None for the complete graph of ``width`` nodes.
        num_classes: Numbers that are read out at every step.
        in_features: Numbers of the input at a step.
        width: Channels of the state; one a node by default.
        nonlinearity, leak, regions, message, aggr, execution, init, input_scale: See
            :class:`relmp.RelationalRNN`.
        frozen: Whether only the read-out is trained: an echo-state network.

    Shapes:
        - **input** ``[B, T, in_features]`` -> **output** ``[B, T, num_classes]``

    Raises:
        ValueError: As :class:`relmp.RelationalRNN`, or if there is neither graph nor width.
    """

    def __init__(
        self,
        graph: RelationalGraph | None = None,
        num_classes: int = 1,
        *,
        in_features: int = 2,
        width: int | None = None,
        nonlinearity: Nonlinearity = "tanh",
        leak: float = 1.0,
        regions: int | Sequence[int] | None = None,
        message: MessageFactory = LinearMessage,
        aggr: Aggr = "sum",
        execution: str = "auto",
        init: str = "uniform",
        input_scale: float | None = None,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        if graph is None:
            if width is None:
                raise ValueError("A recurrent network needs a graph, or a width= without one.")
            graph = create_graph("complete", n=width)
        self.rnn = RelationalRNN(
            graph,
            in_features,
            width,
            nonlinearity=nonlinearity,
            batch_first=True,
            leak=leak,
            regions=regions,
            message=message,
            aggr=aggr,
            execution=execution,
            init=init,
            input_scale=input_scale,
            frozen=frozen,
        )
        self.head = nn.Linear(self.rnn.hidden_size, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.rnn(x)
        return self.head(states)

    @staticmethod
    def input_options(input_shape: Sequence[int]) -> dict[str, int]:
        """The options that sequences ``(T, C)`` ask for."""
        return {"in_features": input_shape[-1]}
