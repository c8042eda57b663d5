"""One round of message passing spoken at every step of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad

from relmp.checks import check_number, check_whole
from relmp.graphs import RelationalGraph
from relmp.graphs.brains.scaling import weight_matrix
from relmp.graphs.relational_graph import require_graph
from relmp.models.recurrent.products import LAYINGS, Laying
from relmp.models.recurrent.regions import grouped
from relmp.models.recurrent.sequence import ACTIVATIONS, Nonlinearity, run_laid_out, run_steps
from relmp.models.recurrent.weights import draw_recurrent
from relmp.rounds import ChannelPartition, LinearMessage, Round
from relmp.rounds.aggregation import Aggr
from relmp.rounds.execution import MESSAGE_PASSING
from relmp.rounds.execution.linear_maps import map_refusal
from relmp.rounds.execution.watched import sees_calls
from relmp.rounds.layout import EdgeLayout
from relmp.rounds.message import as_message
from relmp.rounds.names import MessageFactory

MIN_GATHERED = 1500
"""From so many units on, products of neighbours beat one with all units on a CPU, where at most
:data:`MAX_GATHERED` of the blocks are there (measured, ``experiments/benchmarks/recurrent.md``)."""
MAX_GATHERED = 0.5
_MIN_BLOCK = 16


class RelationalRNN(nn.Module):
    r"""``torch.nn.RNN`` over a relational graph: one round, the same at every step.

    .. math::
        h_t = (1 - a)\, h_{t-1} + a\, \phi\big(\mathrm{round}(h_{t-1}) + W_{in} x_t + b\big)

    With linear messages over the complete graph and a = 1 it is ``torch.nn.RNN``; over any other
    graph it is that network without the weights that lie on no edge. Edges go from source to
    target: the weight of an edge carries the state of its source to its target.

    Args:
        graph: Who listens to whom; also directed, with the self-loops that it has.
        input_size: Numbers of the input at a step.
        hidden_size: Channels of the state, dealt out to the nodes; one a node by default. Or a
            :class:`relmp.rounds.ChannelPartition`.
        nonlinearity: phi: ``"tanh"``, ``"relu"`` or ``"identity"``.
        bias: Whether there is a bias b, one a channel (``torch.nn.RNN`` has two, added up).
        batch_first: Whether sequences are ``[B, T, C]``.
        leak: The share a, from 0 to 1, 1 by default.
        regions: How many nodes each group of neighbouring nodes has (:func:`relmp.region_sizes`).
            Groups are then the nodes of the round and their members its channels, with a mask of
            the synapses that are missing: the same function with weights stored in blocks, faster
            from some 1,500 units on. Needs one channel a node and linear messages.
        message, aggr: See :class:`relmp.Round`.
        execution: ``"dense"`` and ``"gathered"`` lay linear messages out once a sequence, in one
            matrix or in one for every node; the other executions of :class:`relmp.Round` are called
            at every step. ``"auto"`` chooses; ``layer.execution`` says what is used.
        init: Initial weights of linear messages: ``"uniform"``, ``"degree"``, ``"rank"`` or
            ``"spectral(radius=0.95)"``, see :func:`relmp.models.recurrent.weights.draw_recurrent`.
            Other messages draw their own where it is ``"uniform"``.
        input_scale: Input weights and biases are uniform up to it; :math:`1/\sqrt{H}` by default.
        frozen: Whether all weights stay as drawn: an echo-state network.

    Shapes:
        - **input** ``[T, B, input_size]``, ``[B, T, input_size]`` where ``batch_first``, or one
          sequence ``[T, input_size]``; **h_0** ``[1, B, H]`` or ``[1, H]``, zeros by default.
        - **output** the states ``[T, B, H]`` likewise, and the last one ``[1, B, H]``

    Raises:
        ValueError: If there are fewer channels than nodes, sizes of regions do not match the graph,
            a name is unknown or a number out of its range; when called, for sequences of another
            shape or of length 0.

    Reference:
        Elman, *Finding structure in time*, Cognitive Science 1990; Goulas, Damicelli, Hilgetag,
        *Bio-instantiated recurrent neural networks*, Neural Networks 2021, section 2.3.
    """

    counts_flops = True

    def __init__(
        self,
        graph: RelationalGraph,
        input_size: int,
        hidden_size: int | ChannelPartition | None = None,
        *,
        nonlinearity: Nonlinearity = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        leak: float = 1.0,
        regions: int | Sequence[int] | None = None,
        message: str | MessageFactory = LinearMessage,
        aggr: Aggr = "sum",
        execution: str = "auto",
        init: str = "uniform",
        input_scale: float | None = None,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        require_graph(graph)
        check_whole("input_size", input_size, 1)
        check_number("leak", leak, 0, 1 + 1e-9)
        if leak == 0:
            raise ValueError("leak must be above 0 and at most 1, but is 0: no state would move.")
        if input_scale is not None:
            check_number("input_scale", input_scale, 0)
        if nonlinearity not in ACTIVATIONS:
            raise ValueError(
                f"nonlinearity must be one of {', '.join(ACTIVATIONS)}, but is {nonlinearity!r}."
            )
        self.graph, self.input_size, self.batch_first = graph, input_size, batch_first
        self.nonlinearity, self.leak, self.init = nonlinearity, float(leak), init
        self.input_scale, self.frozen = input_scale, frozen
        hidden = graph.num_nodes if hidden_size is None else hidden_size
        nodes, partition = graph, ChannelPartition.of(graph.num_nodes, hidden)
        self.units = partition
        if regions is not None:
            if partition.max_size > 1 or message is not LinearMessage:
                raise ValueError(
                    "regions groups nodes of one channel each that speak linearly; leave "
                    "hidden_size and message out, or regions."
                )
            nodes, partition, message = grouped(graph, regions)
        laid = execution if execution in LAYINGS else None
        before = torch.get_rng_state()
        self.round = Round(
            nodes, partition, partition, message=message, aggr=aggr, bias=False,
            execution=MESSAGE_PASSING if laid or execution == "auto" else execution,
        )  # fmt: skip
        if isinstance(self.round.message_module, LinearMessage):
            # Drawn below, the same whether or not neurons are grouped.
            torch.set_rng_state(before)
        self.hidden_size = partition.channels
        self.bias: nn.Parameter | None
        self.laying: Laying | None = None
        self.set_execution(execution)
        self.weight_ih = nn.Parameter(torch.empty(self.hidden_size, input_size))
        flat = torch.empty(self.hidden_size)
        self.register_parameter("bias", nn.Parameter(flat) if bias else None)
        self.reset_parameters()
        if frozen:
            self.requires_grad_(False)

    def set_execution(self, execution: str) -> None:
        """Choose another way to compute the same.

        Raises:
            ValueError: If the name is unknown, or this round cannot be executed so.
        """
        form = self.round.form
        self._laid_out = form.graph
        refusal = map_refusal(form)
        if execution == "auto" and refusal is None:
            execution = self._automatic()
        if execution in LAYINGS:
            if refusal is not None:
                raise ValueError(
                    f"execution='{execution}' cannot run this round: {refusal}; use "
                    f"execution='{MESSAGE_PASSING}' or 'auto'."
                )
            device = next(self.round.message_module.parameters(), self.round.edge_index).device
            self.laying = LAYINGS[execution](form).to(device)
            self.round.set_execution(MESSAGE_PASSING)
        else:
            self.laying = None
            self.round.set_execution(execution)

    @property
    def execution(self) -> str:
        """How it is computed."""
        return self.round.execution if self.laying is None else self.laying.name

    def _automatic(self) -> str:
        form = self.round.form
        block = form.in_partition.max_size
        sparse = form.graph.density <= MAX_GATHERED and block >= _MIN_BLOCK
        gathers = form.aggr == "sum" and sparse and form.in_channels >= MIN_GATHERED
        on_cpu = self.round.edge_index.device.type == "cpu"
        return "gathered" if gathers and on_cpu else "dense"

    def reset_parameters(self) -> None:
        """Draw all weights anew, those of the round as ``init`` says."""
        bound = self.input_scale if self.input_scale is not None else self.hidden_size**-0.5
        nn.init.uniform_(self.weight_ih, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)
        if isinstance(self.round.message_module, LinearMessage):
            there = self._synapses()
            drawn = draw_recurrent(self.init, there, self._connectome, self.nonlinearity)
            self.set_weight(drawn)
        elif self.init != "uniform":
            raise ValueError(
                f"init='{self.init}' is for linear messages, one weight a synapse; leave it out "
                f"with {type(self.round.message_module).__name__}."
            )

    @property
    def weight_hh(self) -> Tensor:
        """``[H, H]``: the weights of a round of linear maps, row = listener, zero where there is
        none."""
        refusal = map_refusal(self.round.form)
        if refusal is not None:
            raise ValueError(f"This round has no weights [H, H]: {refusal}.")
        layout = EdgeLayout(self.round.form).to(self.weight_ih.device)
        return cast(Tensor, layout(self.round.message_module.weight))

    def set_weight(self, weight: Tensor) -> None:
        """Take over the entries of ``[H, H]`` (row = listener) that lie on synapses.

        Raises:
            ValueError: If the shape is another, or messages are not linear.
        """
        message = self._linear()
        if tuple(weight.shape) != (self.hidden_size,) * 2:
            raise ValueError(
                f"Weights must be [{self.hidden_size}, {self.hidden_size}] (listener, speaker) to "
                f"match the graph, but are {list(weight.shape)}."
            )
        stored = getattr(message, "synapses", None)
        stored = message.weight if stored is None else stored
        layout = EdgeLayout(self.round.form).to(stored.device)
        on_edges = layout.gather(weight.detach().to(stored))
        with torch.no_grad():
            stored.copy_(on_edges * getattr(message, "mask", 1))

    def _linear(self) -> LinearMessage:
        message = self.round.message_module
        if not isinstance(message, LinearMessage):
            raise ValueError(
                f"{type(message).__name__} is not one matrix for every edge, so it has no weights "
                f"[H, H]."
            )
        return message

    def _synapses(self) -> Tensor:
        """bool ``[H, H]``: where there is a weight."""
        message, layout = self._linear(), EdgeLayout(self.round.form)
        real = getattr(message, "mask", torch.ones(message.weight.shape, dtype=torch.bool))
        return layout(real.cpu().float()) != 0

    def _connectome(self) -> Tensor:
        """``[H, H]``: the edge attribute of the graph for every pair of channels."""
        if self.graph.edge_attr is None:
            raise ValueError(
                "init='rank' follows the weights of a connectome, but the edges of this graph have "
                "no attribute; load one with weights, or leave init out."
            )
        weights = torch.from_numpy(weight_matrix(self.graph).T.copy())
        sizes = torch.from_numpy(self.units.sizes)
        return weights.repeat_interleave(sizes, 0).repeat_interleave(sizes, 1)

    # In time ----------------------------------------------------------------------------

    def forward(self, x: Tensor, h_0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if not isinstance(x, Tensor) or x.dim() not in (2, 3) or x.size(-1) != self.input_size:
            shown = list(x.shape) if isinstance(x, Tensor) else f"a {type(x).__name__}"
            order = "[B, T" if self.batch_first else "[T, B"
            raise ValueError(
                f"This layer takes sequences {order}, {self.input_size}], or one "
                f"[T, {self.input_size}], but was given {shown}."
            )
        single = x.dim() == 2
        if single:
            x = x[:, None]
        elif self.batch_first:
            x = x.transpose(0, 1)
        if x.size(0) == 0:
            raise ValueError("The sequences have length 0; give them at least one step.")
        first = self._first(h_0, x, single)
        drive = F.linear(x, self.weight_ih, self.bias)
        states = self._run(drive, first)
        last = states[-1:]
        if single:
            return states[:, 0], last[:, 0]
        return states.transpose(0, 1) if self.batch_first else states, last

    def _first(self, h_0: Tensor | None, x: Tensor, single: bool) -> Tensor:
        batch = x.size(1)
        if h_0 is None:
            return x.new_zeros(batch, self.hidden_size)
        shape = (1, self.hidden_size) if single else (1, batch, self.hidden_size)
        if tuple(h_0.shape) != shape:
            raise ValueError(f"The first state must be {list(shape)}, but is {list(h_0.shape)}.")
        return h_0.reshape(batch, self.hidden_size)

    def _run(self, drive: Tensor, first: Tensor) -> Tensor:
        phi, leak = self.nonlinearity, self.leak
        if self.laying is not None and self._laid_out is not self.round.graph:
            # The round was rewired: its weights lie elsewhere now.
            self.set_execution(self.laying.name)
        if self.laying is None or sees_calls(self.round):
            return run_steps(drive, first, self.round, phi, leak)
        weight = cast(Tensor, self.round.message_module.weight)
        if drive.dtype == first.dtype == weight.dtype and not _is_transformed(drive):
            return run_laid_out(drive, first, weight, self.laying, phi, leak)
        # Under autocast and inside torch.func: the same matrix by PyTorch's own operators.
        matrix = self.weight_hh
        return run_steps(drive, first, lambda h: F.linear(h, matrix), phi, leak)

    # What it costs and what it is -------------------------------------------------------

    def flops(self, steps: int = 1) -> int:
        """Multiply-adds of one sequence over real synapses, biases not counted."""
        return steps * (self.round.flops() + self.input_size * self.hidden_size)

    def num_parameters(self) -> int:
        """Parameters over real synapses, input weights and biases included."""
        rest = self.weight_ih.numel() + (0 if self.bias is None else self.bias.numel())
        return as_message(self.round.message_module).num_parameters(self.round.edges) + rest

    def extra_repr(self) -> str:
        leak = "" if self.leak == 1 else f", leak={self.leak}"
        return (
            f"{self.input_size}, {self.hidden_size}, {self.nonlinearity}{leak}, "
            f"synapses={self.graph.num_edges}, execution={self.execution}"
        )


def _is_transformed(x: Tensor) -> bool:
    """Whether ``torch.func``, forward-mode differentiation or autocast is at work, which a function
    with a backward pass of its own does not know."""
    functional = torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0
    return functional or torch.is_autocast_enabled(x.device.type)


__all__ = ["RelationalRNN"]
