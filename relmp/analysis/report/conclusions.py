"""All that is concluded from one task's results: the numbers and the sentences."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from relmp.analysis.controls.fits import Quadratic, fit_slice
from relmp.analysis.controls.identification import Identification, identify_cheaply
from relmp.analysis.controls.matching import Matched, NestedFit, fit_nested, match_controls
from relmp.analysis.controls.power import Noise, measure_noise, needed_seeds, plan_designs
from relmp.analysis.controls.selection import Choice, choose_and_judge
from relmp.analysis.controls.transfer import Correlation, compare_subset
from relmp.analysis.report.comparison import Comparison, Regions, compare_regions, comparison_of
from relmp.analysis.report.verdict import Verdict, verdict_of
from relmp.analysis.results import SYMBOLS, Results, plural
from relmp.analysis.spot.corners import Corners, bootstrap_corners
from relmp.analysis.spot.placement import place_graphs
from relmp.analysis.spot.surface import Surface, smooth_surface
from relmp.analysis.spot.sweet_spot import SweetSpot, spot_of
from relmp.graphs import RelationalGraph, sample_graphs

CONTROLS = ("density", "width")
"""The columns whose part in the effect is separated from that of the measures."""


@dataclass(frozen=True)
class Conclusions:
    """What one task's results say; a part that they cannot say is None or empty.

    Attributes:
        task: Model and data.
        verdict: Three sentences, and the numbers that they rest on.
        summary: Honest numbers.
        ten_best: The ten graphs that are best on the first two seeds, judged on the others.
        sweet_spot: By the paper's rule.
        corrected_spot: By the same rule, corrected for all its comparisons.
        corners: Bootstrap of the sweet spot's corners.
        regions: Means inside and outside the sweet spot.
        slices: Quadratic fit over each measure in a slice of the other.
        nested: What the measures add to density, and to width.
        matched: The sweet spot at equal density, and at equal width.
        surface: Smooth surface with its uncertainty.
        noise: Variance components.
        designs: Smallest effects that designs see with a probability of 80 %.
        identification: How many epochs and graphs would have sufficed.
        subset: The paper's 52 (or 48) graphs against all.
        landmarks: Further graphs on the map.
    """

    task: str
    verdict: Verdict
    comparison: Comparison
    ten_best: Choice | None
    sweet_spot: SweetSpot
    corrected_spot: SweetSpot
    corners: Corners | None
    regions: Regions | None
    slices: dict[str, Quadratic | None]
    nested: tuple[NestedFit, ...]
    matched: tuple[Matched, ...]
    surface: Surface | None
    noise: Noise | None
    designs: pd.DataFrame
    identification: Identification
    subset: Correlation | None
    landmarks: pd.DataFrame

    def sections(self) -> dict[str, list[str]]:
        """The conclusions in plain sentences, under headings."""
        return {
            "The numbers": self.comparison.describe().split("\n"),
            "The sweet spot": self._about_spot(),
            "Is it the measures, or density and width?": self._about_controls(),
            "Could it be had for less?": [
                *self.identification.describe().split("\n"),
                *([] if self.subset is None else [f"{self.subset}."]),
                *self._about_power(),
            ],
            **({} if self.landmarks.empty else {"Other graphs": self._about_landmarks()}),
        }

    def describe(self) -> str:
        """The verdict, and below it the sections as text."""
        lines = (line for lines in self.sections().values() for line in lines)
        return "\n".join([self.task, str(self.verdict), "", "In full:", *lines])

    def _about_spot(self) -> list[str]:
        lines = [self.sweet_spot.describe()]
        if self.sweet_spot.found and self.corrected_spot.ranges is not None:
            corrected = ", ".join(
                f"{SYMBOLS.get(measure, measure)} {low:.2f} to {high:.2f}"
                for measure, (low, high) in zip(
                    self.corrected_spot.measures, self.corrected_spot.ranges, strict=True
                )
            )
            lines.append(f"Corrected for all comparisons it is {corrected}.")
        if self.corners is not None:
            lines.append(self.corners.describe())
        if self.regions is not None and self.regions.outside is not None:
            lines.append(
                f"Mean error inside {self.regions.inside.mean:.2f} "
                f"({plural(self.regions.inside.n, 'graph')}), outside "
                f"{self.regions.outside.mean:.2f} ({plural(self.regions.outside.n, 'graph')})."
            )
        if self.sweet_spot.found and self.sweet_spot.bins["kept"].mean() > 2 / 3:
            lines.append(
                "More than two thirds of the bins were kept, so the rectangle hardly says where "
                "good graphs lie."
            )
        if self.surface is not None and self.surface.beats_complete is not None:
            chances = self.surface.beats_complete
            share = float((chances[~np.isnan(chances)] > 0.95).mean())
            x, y, mean, deviation = self.surface.lowest
            names = [SYMBOLS.get(measure, measure) for measure in self.surface.measures]
            lines.append(
                f"The smooth surface is lowest at {names[0]} = {x:.2f}, {names[1]} = {y:.2f} "
                f"({mean:.2f} +- {deviation:.2f}); on {share:.0%} of the map it lies below the "
                f"complete graph with a probability above 95 %."
            )
        return lines

    def _about_controls(self) -> list[str]:
        lines = [str(fit) for fit in self.nested] + [str(match) for match in self.matched]
        if self.noise is not None:
            share = self.noise.reliability(len(self.comparison.seeds))
            lines.append(
                f"Of the variance between graphs' means {share:.0%} comes from the graphs and "
                f"the rest from the luck of the seeds; no fit can be expected to explain more."
            )
        return lines or ["There are too few graphs to separate measures, density and width."]

    def _about_power(self) -> list[str]:
        if self.noise is None or not self.noise.within:
            return ["With one seed, or no differences, nothing is said about power."]
        effect = 0.5
        return [
            f"Seeds of a graph deviate by {self.noise.within:.2f}, graphs by "
            f"{self.noise.between:.2f}. To see that one graph is {effect} better than another "
            f"takes {needed_seeds(effect, self.noise.within)} seeds of each (80 % power), and "
            f"{needed_seeds(effect, self.noise.within, self.comparison.graphs)} if that is asked "
            f"of all {plural(self.comparison.graphs, 'graph')}."
        ]

    def _about_landmarks(self) -> list[str]:
        lines = []
        for row in self.landmarks.to_dict("records"):
            where = "in" if row["in_spot"] else "outside"
            ran = (
                f"its error is {row['mean']:.2f} +- {row['deviation']:.2f} (n = {row['n']})"
                if row["n"]
                else "it was not run"
                + (
                    f"; the surface expects {row['expected']:.2f} +- "
                    f"{row['expected_deviation']:.2f} there"
                    if np.isfinite(row["expected"])
                    else ""
                )
            )
            place = ", ".join(
                f"{SYMBOLS.get(m, m)} = {row[m]:.3f}" for m in self.sweet_spot.measures
            )
            spot = f"{where} the sweet spot; " if self.sweet_spot.found else ""
            lines.append(f"{row['graph']} ({row['num_nodes']} nodes): {place}, {spot}{ran}.")
        return lines


def conclude(
    results: Results, landmarks: Iterable[RelationalGraph] = (), *, own: str | None = None
) -> Conclusions:
    """Everything that is concluded from one task's results.

    Args:
        results: The results.
        landmarks: Further graphs to place on the map.
        own: The setting at whose own value each graph is compared ("training.lr").
    """
    comparison = comparison_of(results)  # first, since it says what is missing
    spot = spot_of(results)
    surface = smooth_surface(results)
    noise = measure_noise(results)
    fits = (fit_nested(results, control) for control in CONTROLS)
    nested = tuple(fit for fit in fits if fit is not None)
    matches = (match_controls(results, spot, control) for control in CONTROLS)
    matched = tuple(match for match in matches if match is not None)
    regions = compare_regions(results, spot)
    seeds = [int(seed) for seed in results.block.columns]
    return Conclusions(
        task=results.task,
        verdict=verdict_of(results, comparison, spot, regions, nested, matched, noise, own),
        comparison=comparison,
        ten_best=choose_and_judge(results, top=10, choosing=seeds[:2]) if len(seeds) > 2 else None,
        sweet_spot=spot,
        corrected_spot=spot_of(results, correction="tukey"),
        corners=bootstrap_corners(results, spot),
        regions=regions,
        slices={measure: fit_slice(results, measure) for measure in results.measures},
        nested=nested,
        matched=matched,
        surface=surface,
        noise=noise,
        designs=pd.DataFrame() if noise is None else plan_designs(noise),
        identification=identify_cheaply(results),
        subset=_subset(results),
        landmarks=place_graphs(results, landmarks, spot, surface),
    )


def as_json(value: Any) -> Any:
    """Plain JSON values: dataclasses and tables become objects, NaN and infinity null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, pd.DataFrame):
        return [as_json(row) for row in value.to_dict("records")]
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [as_json(item) for item in value]
    if isinstance(value, np.generic):
        return as_json(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _subset(results: Results) -> Correlation | None:
    """The paper's small set among more graphs, by key."""
    sizes = {64: 52, 16: 48}
    (n,) = results.graphs["num_nodes"].mode()[:1]
    if n not in sizes or len(results.sparse) <= 2 * sizes[int(n)]:
        return None
    keys = [graph.key for graph in sample_graphs(int(n), sizes[int(n)])]
    return compare_subset(results, keys)
