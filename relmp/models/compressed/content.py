"""What a compressed model consists of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from relmp.models.budget import count_parameters
from relmp.rounds import Round
from relmp.rounds.scored.selection import ScoredPart, scored_parts

CHOSEN, NOT_CHOSEN = 1.0, 0.5
"""The scores of a model that is loaded: bits tell which are chosen, not how high they were."""


def compressed_bytes(model: nn.Module) -> int:
    """The payload of a model by the paper's rule: 4 bytes for each seed (a model of
    :func:`relmp.create_model` has one), a bit for every score, 4 bytes for every other parameter.

    The statistics of batch norm and the description of the model, which a file of
    :func:`save_compressed` holds as well, are not counted. A model without scores has 4 bytes for
    every parameter.

    Args:
        model: Any module.

    Reference:
        García-Arias et al., *Hidden-Fold Networks*, BMVC 2021, section 4.
    """
    parts = list(scored_parts(model))
    bits = sum(part.selection.entries for part in parts)
    return 4 * len(seeds_of(parts)) + -(-bits // 8) + 4 * (count_parameters(model) - bits)


def seeds_of(parts: list[ScoredPart]) -> list[int]:
    """The different seeds that frozen weights are drawn from, in order."""
    return list(dict.fromkeys(int(part.selection.key[0]) for part in parts))


@dataclass(frozen=True)
class Places:
    """Where the numbers of a model belong in its state.

    Args:
        parts: The scored weights.
        scores: Names of their scores in the state, as many.
        selections: Names of what selects by them.
        trained: Names of all other parameters.
        kept: Names of what else has to be kept: sizes of frozen weights, statistics.
    """

    parts: list[ScoredPart]
    scores: list[str]
    selections: list[str]
    trained: list[str]
    kept: list[str]

    @classmethod
    def of(cls, model: nn.Module) -> Places:
        """Of any model. Graphs are left out: what describes the model has them."""
        parts = list(scored_parts(model))
        names = {id(tensor): name for name, tensor in model.state_dict(keep_vars=True).items()}
        scores = [names[id(part.scores)] for part in parts]
        keys = [names[id(part.selection.key)] for part in parts]
        graphs = {
            f"{name}.{table}".lstrip(".")
            for name, layer in model.named_modules()
            if isinstance(layer, Round)
            for table in ("edge_index", "edge_attr")
        }
        others = [n for n in names.values() if n not in {*scores, *keys, *graphs}]
        trained = {name for name, _ in model.named_parameters(remove_duplicate=False)}
        return cls(
            parts,
            scores,
            [key.removesuffix("key") for key in keys],
            [name for name in others if name in trained],
            [name for name in others if name not in trained],
        )


def chosen_bits(part: ScoredPart) -> Tensor:
    """``[entries]``: whether each entry that has a score is chosen."""
    mask = part.selection.select(part.scores).flatten().cpu()
    slots = part.selection.slots
    return mask if slots is None or mask.numel() == part.selection.entries else mask[slots.cpu()]


def scores_of(part: ScoredPart, bits: Tensor) -> Tensor:
    """Scores by which exactly these entries are chosen, zero for padding."""
    values = torch.where(bits, CHOSEN, NOT_CHOSEN).to(part.scores.dtype)
    slots = part.selection.slots
    if slots is None or values.numel() == part.scores.numel():
        return values.view_as(part.scores)
    scores = torch.zeros(part.scores.numel(), dtype=values.dtype)
    scores[slots.cpu()] = values
    return scores.view_as(part.scores)
