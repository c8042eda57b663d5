"""Initial weights: the paper's, by in-degree, or those of PyTorch's dense layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable
from functools import partial
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from relmp.checks import did_you_mean
from relmp.rounds import LinearMessage, Round, initialise_by_degree
from relmp.rounds.message import as_message

Init: TypeAlias = Literal["paper", "degree", "fan_in"]
"""How the weights of a model start:

- ``"paper"``: as in the paper. Linear layers and rounds of linear messages from
  :math:`N(0, 0.01^2)`, convolutions from :math:`N(0, 2 / (k^2 C_{out} \\cdot density))`. Other
  messages draw their own so that activations keep their variance: in an MLP of 64 nodes with 5
  channels each, weights of deviation 0.27 behind gates against 0.01 of linear messages. So a
  comparison of messages compares initial scales as well; ``"degree"`` starts all of them alike.
- ``"degree"``: rounds so that activations keep their mean square whatever a node hears
  (:func:`relmp.initialise_by_degree`); the rest as in the paper.
- ``"fan_in"``: all weights with the variance :math:`1 / (3\\, fan)` of PyTorch's layers, where fan
  counts all channels of the input, heard or not.
"""

INITS: dict[Init, str] = {
    "paper": "as in the paper",
    "degree": "scaled by in-degree",
    "fan_in": "as PyTorch's dense layers draw them",
}
"""Each, in a few words."""

# Deviations of the input with which these keep a mean square of 1.
_GAINS: dict[type[nn.Module], float] = {nn.ReLU: math.sqrt(2), nn.SiLU: 1.5588}
_ACTIVATIONS: dict[type[nn.Module], Callable[[Tensor], Tensor]] = {
    nn.ReLU: torch.relu,
    nn.SiLU: F.silu,
}


def check_init(init: str) -> Init:
    """The value, if it is one of :data:`INITS`.

    Raises:
        ValueError: If it is not.
    """
    for known in INITS:
        if init == known:
            return known
    raise ValueError(
        f"init must be one of {', '.join(INITS)}, but is {init!r}.{did_you_mean(str(init), INITS)}"
    )


def draw_weights(
    model: nn.Module, inner: Iterable[nn.Module], init: Init, *, within_rounds: bool = False
) -> None:
    """Draw weights as ``init`` says.

    Args:
        model: The model; its rounds have drawn their weights.
        inner: Its rounds, or what stands in their place where there is no graph: sequences of a
            dense layer and what follows.
        init: How.
        within_rounds: Whether ``"paper"`` draws linear layers inside rounds (of messages and
            aggregations), too.
    """
    inside = {id(m) for r in model.modules() if isinstance(r, Round) for m in r.modules()}
    _draw_as_in_the_paper(model, set() if within_rounds else inside)
    if init == "paper":
        return
    layers = list(inner)
    if init == "fan_in":
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.Conv2d) and id(module) not in inside:
                module.reset_parameters()
        for layer in layers:
            if isinstance(layer, Round):
                _draw_by_fan_in(layer)
        return
    for layer in layers:
        last = list(layer.modules())[-1]
        if isinstance(layer, Round):
            initialise_by_degree(layer, _ACTIVATIONS.get(type(last)))
        else:
            weight = next(layer.parameters())
            gain = _GAINS.get(type(last), 1.0)
            nn.init.normal_(weight, std=gain / weight[0].numel() ** 0.5)


def _draw_as_in_the_paper(model: nn.Module, skipped: Container[int]) -> None:
    draw = partial(nn.init.normal_, std=0.01)
    for module in model.modules():
        if isinstance(module, Round) and isinstance(module.message_module, LinearMessage):
            module.message_module.initialise(module.edges, draw)
        elif id(module) in skipped:
            continue
        elif isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
            nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
        elif isinstance(module, nn.Linear):
            draw(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _draw_by_fan_in(layer: Round) -> None:
    # A message of independent weights of variance v, from c channels, has variance v c.
    sizes = layer.edges.source_mask.sum(1)
    as_message(layer.message_module).draw(layer.edges, (sizes / (3 * layer.in_channels)).sqrt())
    if layer.bias is not None:
        bound = layer.in_channels**-0.5
        nn.init.uniform_(layer.bias, -bound, bound)
