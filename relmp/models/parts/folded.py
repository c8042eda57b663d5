"""One block spoken again and again."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Literal, TypeAlias, cast, get_args

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from relmp.checks import check_whole, did_you_mean
from relmp.rounds.execution.recompute import InTurn, recomputed
from relmp.rounds.scored.selection import Chosen, choose, selected

FoldNorm: TypeAlias = Literal["own", "shared"]
"""Whether every iteration of a folded block has normalisations of its own."""

NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)


class Folded(nn.Module):
    r"""One block iterated with tied weights: :math:`x^{(t + 1)} = \mathrm{block}_t(x^{(t)})`, for t
    from 0 to ``times - 1``.

    With ``norm="own"`` iterations share everything but their normalisations (batch, instance, group
    and layer norm), of which each has copies: statistics, scales and shifts of its own. Scored
    weights are chosen once in a forward pass and used by all iterations. Multiply-adds are those of
    ``times`` blocks.

    Args:
        block: What is iterated; it gives the shape that it takes. It is used itself, not copied.
        times: How often.
        norm: ``"own"`` or ``"shared"``.
        recompute: Keep only what goes into an iteration for the backward pass, and compute the rest
            again there, at the price of a second forward pass; the statistics of batch norm count
            every image once. May be set later: ``layer.recompute = True``.

    Shapes:
        - **input** and **output** of the shape that the block takes and gives

    Raises:
        ValueError: If ``times`` is below 1, ``norm`` unknown, or the block changes the shape.

    Reference:
        García-Arias, Hashimoto, Motomura, Yu, *Hidden-Fold Networks: Random Recurrent Residuals
        Using Sparse Supermasks*, BMVC 2021, section 3.1.
    """

    def __init__(
        self, block: nn.Module, times: int, norm: FoldNorm = "own", *, recompute: bool = False
    ) -> None:
        super().__init__()
        check_whole("times", times, 1)
        self.times, self.norm, self.recompute = times, check_norm(norm), recompute
        # Those of this fold alone: one inside of it, or around it, has others.
        self.norms: list[NormOfEach] = []
        self.block = _with_own_norms(block, times, self.norms) if norm == "own" else block

    def forward(self, x: Tensor) -> Tensor:
        chosen = choose(self.block)
        for number in range(self.times):
            if self.recompute:
                x = recomputed(self._iterate, x, number, chosen, norms=self.block)
            else:
                x = self._iterate(x, number, chosen)
        self._take_norms(0)
        return x

    def _iterate(self, x: Tensor, number: int, chosen: Chosen) -> Tensor:
        self._take_norms(number)
        with selected(chosen):
            out: Tensor = self.block(x)
        if out.shape != x.shape:
            raise ValueError(
                f"A folded block must give the shape that it takes, but "
                f"{type(self.block).__name__} made {list(out.shape)} of {list(x.shape)}; leave a "
                f"block that changes shapes in front of the fold."
            )
        return out

    def _take_norms(self, number: int) -> None:
        for norm in self.norms:
            norm.now = number

    def extra_repr(self) -> str:
        return f"times={self.times}, norm={self.norm!r}"


class NormOfEach(InTurn):
    """One normalisation for each iteration of a fold.

    Args:
        norm: What all start as.
        times: How many.
    """

    def __init__(self, norm: nn.Module, times: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([norm, *(copy.deepcopy(norm) for _ in range(times - 1))])

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.norms[self.now](x))


def check_norm(norm: str) -> FoldNorm:
    """The value, if it is one of :data:`FoldNorm`.

    Raises:
        ValueError: If it is not.
    """
    known: tuple[FoldNorm, ...] = get_args(FoldNorm)
    for name in known:
        if norm == name:
            return name
    raise ValueError(
        f"The normalisations of a fold are 'own' or 'shared', but {norm!r} was given."
        f"{did_you_mean(str(norm), known)}"
    )


def check_fold(fold: Sequence[int], stages: int) -> tuple[int, ...]:
    """The numbers of the folded stages, sorted.

    Raises:
        ValueError: If one of them is no stage.
    """
    numbers = [fold] if isinstance(fold, int) else list(fold)
    for number in numbers:
        check_whole("fold", number, 1, stages, meaning="the numbers of stages, from 1")
    return tuple(sorted(set(numbers)))


def _with_own_norms(block: nn.Module, times: int, made: list[NormOfEach]) -> nn.Module:
    """The block, whose norms are exchanged for what was ``made``."""
    if isinstance(block, NORMS):
        made.append(NormOfEach(block, times))
        return made[0]
    new: dict[nn.Module, NormOfEach] = {}
    for parent in list(block.modules()):
        for name, child in parent._modules.items():
            if isinstance(child, NORMS):
                if child not in new:
                    new[child] = NormOfEach(child, times)
                parent._modules[name] = new[child]
    made += new.values()
    return block
