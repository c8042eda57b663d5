"""Initialisation by in-degree: activations keep their size, whatever a node hears."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from relmp.rounds.message import as_message
from relmp.rounds.round import Round

SAMPLES = 256
STEPS = 20


def initialise_by_degree(
    layer: Round, activation: Callable[[Tensor], Tensor] | None = None
) -> None:
    r"""Draw the parameters of a round so that activations keep their mean square.

    A node that hears d independent messages of deviation s passes on
    :math:`a(\mathrm{AGG}(s z_1, \dots, s z_d))` with z standard normal. For every in-degree d of
    the graph, s is the number for which the mean square of this is 1, found by the secant
    method on samples; every message into such a node is drawn with deviation s. For the sum without
    activation this is :math:`s = 1 / \sqrt{d}`, with ReLU :math:`\sqrt{2 / d}`.

    This holds over many rounds where messages and aggregation scale with their input: linear,
    low-rank, frozen and MLP messages; sum, mean, min, max, std. Gates, attention and the
    softmax saturate and the median shuns what few say: there it holds for one round of
    messages that are about normal, and a normalisation has to do the rest. It is an expectation
    over weights: with one number an edge (:class:`relmp.ScalarMessage`) a node has so few that
    chance moves it far. Messages are independent where every edge has weights of its own; edges
    that share weights (:class:`relmp.SharedMessage`) say the same of like nodes, and 20 rounds
    are one matrix to the power of 20.

    Args:
        layer: The round; its message defines ``draw`` (all of relmp's do).
        activation: What follows the aggregation, such as ``torch.relu``; nothing by default.

    Raises:
        NotImplementedError: If the message does not define ``draw``.
        ValueError: If no deviation gives a mean square of 1.

    Reference:
        He et al., *Delving Deep into Rectifiers*, ICCV 2015, section 2.2.
    """
    message, edges = as_message(layer.message_module), layer.edges
    degrees = edges.ptr.diff().cpu()
    chosen = degrees[degrees > 0].unique()  # a node that hears nothing has no messages to draw
    deviation = _deviations(layer, chosen, activation or nn.Identity())
    std = deviation[torch.searchsorted(chosen, degrees)]
    message.draw(edges, std.to(edges.target.device)[edges.target])
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _deviations(layer: Round, degrees: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
    """For every in-degree, the deviation of messages with which the mean square is 1."""
    channels = layer.out_partition.max_size
    index = torch.arange(len(degrees)).repeat_interleave(degrees)
    ptr = torch.cat([degrees.new_zeros(1), degrees.cumsum(0)])
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(len(index), SAMPLES, channels, generator=generator)
    like = next(layer.parameters(), samples)
    device, dtype = like.device, like.dtype
    index, ptr, samples = index.to(device), ptr.to(device), samples.to(device, dtype)

    def log_square(log_std: Tensor) -> Tensor:
        messages = samples * log_std.to(samples).exp()[index][:, None, None]
        out = layer.aggr_module(messages, index, ptr=ptr, dim_size=len(degrees), dim=0)
        return activation(out).square().mean((1, 2)).double().log().cpu()

    # Exact after one step where the aggregation is homogeneous: a straight line in logarithms.
    last, here = torch.zeros(2, len(degrees), dtype=torch.float64).add_(
        torch.tensor([[0.0], [0.1]])
    )
    with torch.no_grad():
        before, value = log_square(last), log_square(here)
        for _ in range(STEPS):
            if (value.abs() < 1e-3).all():
                return here.exp().float()
            slope = (value - before) / (here - last)
            slope = torch.where(slope.abs() > 1e-3, slope, torch.full_like(slope, 2.0))
            last, before = here, value
            here = here - (value / slope).clamp(-3, 3)
            value = log_square(here)
    raise ValueError(
        f"No size of the messages lets aggregation '{layer.aggr}' keep the mean square of "
        f"activations at 1."
    )
