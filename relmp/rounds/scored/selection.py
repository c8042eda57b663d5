"""Which weights count: those with the highest scores, as many as are to be kept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from relmp.checks import did_you_mean
from relmp.rounds.scored.bits import SEEDS, random_signs

Granularity: TypeAlias = Literal["weight", "edge"]
"""What has a score: every single weight, or every edge."""


@dataclass(frozen=True)
class ScoreOptions:
    """How weights are chosen.

    Args:
        keep: The share that counts.
        granularity: What has a score.

    Raises:
        ValueError: If the share is not above 0 and at most 1, or the granularity is unknown.
    """

    keep: float = 0.3
    granularity: Granularity = "weight"

    def __post_init__(self) -> None:
        given = self.keep
        is_number = isinstance(given, int | float) and not isinstance(given, bool)
        if not is_number or not 0 < given <= 1:
            raise ValueError(f"keep must be a share above 0 and at most 1, but is {given!r}.")
        known = get_args(Granularity)
        if self.granularity not in known:
            raise ValueError(
                f"granularity must be 'weight' or 'edge', but is {self.granularity!r}."
                f"{did_you_mean(str(self.granularity), known)}"
            )


def left_out(count: int, keep: float) -> int:
    """How many of ``count`` entries are left out: ``int((1 - keep) * count)``, as the authors' code
    computes it in double precision.

    Raises:
        ValueError: If that is all of them.
    """
    zeros = int((1 - keep) * count)
    if zeros >= count:
        raise ValueError(
            f"keep={keep} leaves none of the {count} entries of this layer; keep more of them."
        )
    return zeros


@torch.no_grad()
def highest(scores: Tensor, keep: float) -> Tensor:
    """``[n]``: the entries of ``scores [n]`` with the highest absolute value, exactly as many as
    are kept; of equal ones those that come last."""
    zeros = left_out(scores.numel(), keep)
    if zeros == 0:
        return torch.ones_like(scores, dtype=torch.bool)
    sizes = scores.abs()
    # On a GPU, PyTorch searches one tensor with a single block of threads, and sorts with all.
    is_cpu = sizes.device.type == "cpu"
    threshold = sizes.kthvalue(zeros).values if is_cpu else sizes.sort().values[zeros - 1]
    above, tied = sizes > threshold, sizes == threshold
    spare = scores.numel() - zeros - above.sum()
    return above | (tied & (tied.cumsum(0) > tied.sum() - spare))


class Selection(nn.Module):
    r"""Scores to weights, a parametrization: :math:`W = F \odot [\,|s| \text{ is among the
    highest}\,]`, with frozen F.

    Backward goes straight through to all scores, chosen or not:
    :math:`\partial L / \partial s = \mathrm{sign}(s) \odot (\partial L / \partial W \odot F)`,
    summed over the weights of an edge where the edge has one score.

    The entries of F are one size with random signs. Signs are drawn from ``key``; size and key
    travel in the state_dict, F does not.

    Args:
        shape: Of the weight; of a round ``[E, out_dim, in_dim, *kernel]``.
        options: How many are kept, and of what.

    Shapes:
        - **scores** of the shape of the weight, or ``[E]`` -> **weight**
    """

    key: Tensor
    size: Tensor
    frozen: Tensor
    slots: Tensor | None

    def __init__(self, shape: tuple[int, ...], options: ScoreOptions) -> None:
        super().__init__()
        self.options = options
        self.register_buffer("key", torch.zeros(2, dtype=torch.int64))
        self.register_buffer("size", torch.ones([1] * len(shape)))
        self.register_buffer("frozen", torch.zeros(shape), persistent=False)
        self.register_buffer("slots", None, persistent=False)
        self._mask: Tensor | None = None

    @property
    def scores_shape(self) -> tuple[int, ...]:
        """Of the scores."""
        shape = tuple(self.frozen.shape)
        return shape if self.options.granularity == "weight" else shape[:1]

    @property
    def count(self) -> int:
        """How many weights there are; padding is none."""
        return self.frozen.numel() if self.slots is None else self.slots.numel()

    @property
    def entries(self) -> int:
        """How many have a score."""
        return self.count if self.options.granularity == "weight" else self.frozen.size(0)

    @property
    def kept(self) -> int:
        """How many of these are chosen."""
        return self.entries - left_out(self.entries, self.options.keep)

    def count_real(self, real: Tensor) -> None:
        """Be told which weights are real, in the shape of the weight, where some are padding."""
        slots = real.expand_as(self.frozen).flatten().nonzero().flatten()
        self.slots = None if slots.numel() == self.frozen.numel() else slots
        left_out(self.entries, self.options.keep)

    def draw(self, seed: int, stream: int) -> None:
        """Draw the signs of F.

        Args:
            seed: Of the model, below 2^32.
            stream: Number of the layer, so that no two have the same signs.
        """
        self.key.copy_(torch.tensor([seed, stream]))
        self._make()

    def draw_alone(self) -> None:
        """Draw the signs of F from a seed that PyTorch's generator gives, for a layer by itself."""
        self.draw(int(torch.randint(SEEDS, (), device="cpu")), 0)

    def resize(self, size: Tensor | float) -> None:
        """Give the entries of F this size: a number, or one for each edge ``[E, 1, ...]``."""
        self.size = torch.as_tensor(size, dtype=self.size.dtype, device=self.size.device)
        self.size = self.size.reshape([-1, *[1] * (self.frozen.dim() - 1)])
        self._make()

    @torch.no_grad()
    def _make(self) -> None:
        if self.frozen.is_meta:
            return
        seed, stream = self.key.tolist()
        signs = random_signs(seed, stream, self.count).to(self.frozen)
        if self.slots is None:
            self.frozen.copy_(signs.view_as(self.frozen))
        else:
            self.frozen.zero_().view(-1)[self.slots] = signs
        self.frozen.mul_(self.size)

    def select(self, scores: Tensor) -> Tensor:
        """Which scores are among the highest, in their shape; padding never is."""
        flat = scores.detach().flatten()
        if self.slots is None or self.options.granularity == "edge":
            return highest(flat, self.options.keep).view_as(scores)
        mask = torch.zeros_like(flat, dtype=torch.bool)
        mask[self.slots] = highest(flat[self.slots], self.options.keep)
        return mask.view_as(scores)

    def forward(self, scores: Tensor) -> Tensor:
        mask = self.select(scores) if self._mask is None else self._mask
        sizes = scores.abs()
        gate = mask.to(sizes) + (sizes - sizes.detach())  # the mask, with the gradient of |s|
        return self.frozen * gate.view(*gate.shape, *[1] * (self.frozen.dim() - gate.dim()))

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *args: Any) -> None:
        size = state.get(f"{prefix}size")
        if size is not None and size.dim() == self.size.dim():
            self.size = size.to(self.size)  # one number, or one an edge
        super()._load_from_state_dict(state, prefix, *args)
        self._make()

    def extra_repr(self) -> str:
        return f"keep={self.options.keep}, granularity={self.options.granularity!r}"


class ScoredPart(NamedTuple):
    """One scored weight of a model.

    Args:
        name: Of the layer, or of the message of a round.
        selection: What makes the weight.
        scores: From these.
    """

    name: str
    selection: Selection
    scores: nn.Parameter


def scored_parts(model: nn.Module) -> Iterator[ScoredPart]:
    """The scored weights of a model, in the order of its modules."""
    for name, module in model.named_modules():
        found: Any = module
        if isinstance(getattr(module, "selection", None), Selection):  # a message
            yield ScoredPart(name, found.selection, found.scores)
        elif is_scored(module):
            weight = found.parametrizations.weight
            yield ScoredPart(name, weight[0], weight.original)


def draw_frozen(model: nn.Module, seed: int) -> None:
    """Draw the frozen weights of a model anew: the signs of its k-th scored weight are the k-th
    stream of the seed, taken modulo 2^32."""
    for stream, part in enumerate(scored_parts(model)):
        part.selection.draw(seed % SEEDS, stream)


Chosen: TypeAlias = list[tuple[ScoredPart, Tensor]]
"""Scored weights with what is chosen of each."""


def choose(module: nn.Module) -> Chosen:
    """What is chosen, now, of every scored weight in a module."""
    return [(part, part.selection.select(part.scores)) for part in scored_parts(module)]


@contextmanager
def selected(chosen: Chosen) -> Iterator[None]:
    """Use what was chosen before, inside, and do not choose again."""
    before = [part.selection._mask for part, _ in chosen]
    for part, mask in chosen:
        part.selection._mask = mask
    try:
        yield
    finally:
        for (part, _), earlier in zip(chosen, before, strict=True):
            part.selection._mask = earlier


def score_layers(module: nn.Module, options: ScoreOptions) -> None:
    r"""Freeze the weights of linear layers and convolutions and give each a score.

    Scores start as the weights of PyTorch's layers do, uniform within
    :math:`1 / \sqrt{\text{fan in}}`; frozen weights are :math:`\pm \sqrt{2 / (\text{fan in}
    \cdot keep)}`. Only single weights are chosen: a dense layer has no edges.

    Args:
        module: A layer, or what holds some.
        options: How many are kept.
    """
    options = ScoreOptions(options.keep)
    for layer in list(module.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d):
            selection = Selection(tuple(layer.weight.shape), options)
            fan_in = layer.weight[0].numel()
            scores = nn.Parameter(torch.empty_like(layer.weight).uniform_(-1, 1) * fan_in**-0.5)
            selection.to(scores.device)
            selection.resize(frozen_size(fan_in, options.keep))
            selection.draw_alone()
            layer.weight = scores
            parametrize.register_parametrization(layer, "weight", selection)


def is_scored(layer: nn.Module) -> bool:
    """Whether this is a layer that :func:`score_layers` has scored."""
    given: Any = getattr(layer, "parametrizations", {})
    return "weight" in given and isinstance(given.weight[0], Selection)


def settled(layer: nn.Module) -> nn.Module:
    """A scored layer as an ordinary one, with the weight that is in use for a parameter."""
    # PyTorch's remove_parametrizations changes the class that copies of a layer share.
    cls: Any = type(layer).__mro__[1]
    plain: nn.Module = cls.__new__(cls)
    plain.__dict__ |= layer.__dict__ | {"_modules": {}}
    used: Any = layer.weight
    weight = nn.Parameter(used.detach().clone())
    plain._parameters = {"weight": weight, **layer._parameters}
    return plain


def frozen_size(fan_in: float, keep: float) -> float:
    r"""The signed constant, :math:`\sqrt{2 / (\text{fan in} \cdot keep)}`.

    Reference:
        Ramanujan et al., *What's Hidden in a Randomly Weighted Neural Network?*, CVPR 2020,
        section 4.
    """
    return math.sqrt(2 / (fan_in * keep))
