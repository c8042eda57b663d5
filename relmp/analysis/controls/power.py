"""How many graphs and seeds a sweep needs to see an effect of a given size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from relmp.analysis.results import Results

LEVEL = 0.05
"""Level of the one-tailed tests whose power is computed."""


@dataclass(frozen=True)
class Noise:
    """Where the differences between runs come from.

    Attributes:
        within: Deviation between seeds of one graph.
        between: Deviation between graphs, the seeds' noise taken off; 0 if that is all there is.
    """

    within: float
    between: float

    def reliability(self, seeds: int) -> float:
        """Share of the variance between graphs' means that is not noise of the seeds.

        No fit can be expected to explain more, and it is the correlation that the means would
        have with those of a repeated sweep.
        """
        total = self.between**2 + self.within**2 / seeds
        return self.between**2 / total if total > 0 else 0.0


def measure_noise(results: Results) -> Noise | None:
    """Variance components of a sweep (one-way analysis of variance); None with one seed."""
    block = results.block[results.block.index.isin(results.sparse.index)].to_numpy(dtype=np.float64)
    if block.shape[1] < 2 or len(block) < 2:
        return None
    within = float(block.var(axis=1, ddof=1).mean())
    between = float(block.mean(axis=1).var(ddof=1)) - within / block.shape[1]
    return Noise(within**0.5, max(0.0, between) ** 0.5)


def power_of_pair(effect: float, within: float, seeds: int, comparisons: int = 1) -> float:
    """Probability that one graph is told from another that is ``effect`` worse.

    Args:
        effect: True difference of their errors.
        within: Deviation between seeds of one graph.
        seeds: Seeds of each.
        comparisons: How many such tests are made; the level is divided among them.
    """
    if seeds < 2:
        return 0.0
    freedom = 2 * (seeds - 1)
    critical = stats.t.isf(LEVEL / comparisons, freedom)
    return float(stats.nct.sf(critical, freedom, effect / (within * np.sqrt(2 / seeds))))


def smallest_effect(noise: Noise, graphs: int, seeds: int, power: float = 0.8) -> float:
    """The effect of a region over the complete graph that is seen with the given probability.

    The region's mean is over ``graphs`` graphs of it; graphs are a sample of the region, so their
    own differences count as noise too. The variance components come from a whole sweep and are
    taken as known, so the test is a z-test.

    Args:
        noise: The sweep's variance components.
        graphs: Graphs in the region.
        seeds: Seeds of each, and of the complete graph.
        power: The probability.
    """
    reach = stats.norm.isf(LEVEL) + stats.norm.ppf(power)
    return float(reach) * _spread(noise, graphs, seeds)


def needed_seeds(effect: float, within: float, comparisons: int = 1, power: float = 0.8) -> int:
    """Seeds of each of two graphs to see that one is ``effect`` better; at most 1,000."""
    found = (
        seeds
        for seeds in range(2, 1000)
        if power_of_pair(effect, within, seeds, comparisons) >= power
    )
    return next(found, 1000)


def plan_designs(
    noise: Noise,
    graphs: tuple[int, ...] = (1, 5, 13, 52),
    seeds: tuple[int, ...] = (1, 2, 3, 5, 10),
) -> pd.DataFrame:
    """Smallest effects that designs see with a probability of 80 %: ``graphs`` x ``seeds``."""
    return pd.DataFrame(
        [
            {"graphs": g, "seeds": s, "smallest_effect": smallest_effect(noise, g, s)}
            for g in graphs
            for s in seeds
        ]
    )


def _spread(noise: Noise, graphs: int, seeds: int) -> float:
    region = (noise.between**2 + noise.within**2 / seeds) / graphs
    return float(np.sqrt(region + noise.within**2 / seeds))
