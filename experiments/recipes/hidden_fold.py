"""Weights that are never trained: supermasks, folded networks, chosen edges, beside learned ones.

Digits and 10,000 images of Fashion-MNIST, 5 seeds, settings alike for all and tuned for none:

* supermask: the 5-layer MLP with all layers scored, for shares from .05 to .95, beside the learned
  one (started as PyTorch's layers are);
* fold: a residual MLP of four rounds, learned and scored, unfolded and folded with batch norms of
  each iteration's own and with shared ones;
* edges: the same network over the complete graph of 32 nodes, where 12 % of the edges are chosen;
  then a learned network from scratch over the chosen graphs, over random graphs with their degrees,
  and over the complete graph;
* resnet20: the plain network, and folded ones, on digits.

    python experiments/recipes/hidden_fold.py --data-folder FOLDER_OF_THE_IDX_FILES

One thread, about 20 CPU minutes. A run that is done is not done again. Writes `runs/hidden-fold/`:
runs.jsonl, summary.md, map.png.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy import stats
from torch import nn

import relmp
from relmp.analysis.topology import PUBLISHED, null_points
from relmp.cli import run_recipe
from relmp.rounds import Round

DATA: dict[str, dict[str, Any]] = {
    "digits": {"in_features": 64, "settings": {"epochs": 60}},
    "fashion_mnist": {"in_features": 784, "settings": {"epochs": 12, "train_size": 10_000}},
}
SHARES = (0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95)
LEARNED: dict[str, Any] = {"init": "fan_in"}
SCORED: dict[str, Any] = {"message": "scored(keep=0.3)", "scored": "all"}
EDGES: dict[str, Any] = {"message": "scored(keep=0.12, granularity='edge')", **LEARNED}
FOLDS: dict[str, dict[str, Any]] = {
    "unfolded": {}, "own norms": {"fold": (1,)},
    "shared norms": {"fold": (1,), "fold_norm": "shared"},
}  # fmt: skip
COMPLETE = relmp.create_graph("complete", n=32)


def variants(part: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, model and options of the networks of a part."""
    if part == "supermask":
        yield "learned", "mlp", {"width": 256, **LEARNED}
        for keep in SHARES:
            options = {"message": f"scored(keep={keep})", "scored": "all"}
            yield f"keep {keep}", "mlp", {"width": 256, **options}
    elif part == "fold":
        for (weights, how), (fold, shape) in product(
            {"learned": LEARNED, "scored": SCORED}.items(), FOLDS.items()
        ):
            yield f"{weights}, {fold}", "residual_mlp", {"width": 128, **how, **shape}
    elif part == "edges":
        yield "complete", "residual_mlp", {"width": 128, "graph": COMPLETE, **LEARNED}
        yield "chosen", "residual_mlp", {"width": 128, "graph": COMPLETE, **EDGES}
    else:
        yield "plain", "resnet20", {**LEARNED}
        yield "folded", "resnet20", {"fold": (1, 2, 3), **LEARNED}
        yield "folded, scored", "resnet20", {"fold": (1, 2, 3), **SCORED}


PARTS = ("supermask", "fold", "edges", "resnet20")


def trained(
    data: str, model: str, options: dict[str, Any], seed: int, **more: Any
) -> tuple[nn.Module, dict[str, Any]]:
    """A trained network, and what there is to say of it."""
    about, options = DATA[data], dict(options)
    shape = {"in_channels": 1} if model == "resnet20" else {"in_features": about["in_features"]}
    net = relmp.create_model(model, options.pop("graph", None), seed=seed, **shape, **options)
    settings = {**about["settings"], **({"epochs": 10} if model == "resnet20" else {}), **more}
    history = relmp.train(net, data, seed=seed, evaluate_every=1000, device="cpu", **settings)
    last = history.iloc[-1]
    return net, {
        "error": float(last["test_error"]), "train_error": float(last["train_error"]),
        "parameters": relmp.count_parameters(net), "bytes": relmp.compressed_bytes(net),
    }  # fmt: skip


def over_chosen(
    data: str, net: nn.Module, seed: int, **more: Any
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Networks from scratch over what was chosen and over its null models; where these lie."""
    chosen = {n: layer.selected() for n, layer in net.named_modules() if isinstance(layer, Round)}
    random = {n: relmp.degree_preserving_rewire(g, seed=seed) for n, g in chosen.items()}
    for name, graphs in {"from scratch": chosen, "degrees alone": random}.items():
        options = {"width": 128, "graph": graphs, **LEARNED}
        _, row = trained(data, "residual_mlp", options, seed + 1000, **more)
        places = [(g.clustering, g.path_length) for g in graphs.values()]
        nulls = [null_points(g, 20).mean(0).tolist() for g in graphs.values()]
        yield name, {**row, "places": places, "nulls": nulls}


PAIRS = (
    ("supermask", "keep 0.05", "keep 0.3"),
    ("supermask", "keep 0.95", "keep 0.3"),
    ("fold", "learned, shared norms", "learned, own norms"),
    ("fold", "scored, shared norms", "scored, own norms"),
    ("fold", "scored, own norms", "scored, unfolded"),
    ("edges", "from scratch", "chosen"),
    ("edges", "from scratch", "degrees alone"),
    ("resnet20", "folded, scored", "folded"),
)
"""Differences that are asked for, beside those from the first network of a part."""


def gap(errors: pd.DataFrame, one: str, other: str) -> str:
    """The difference of two networks, paired by seed, with its 95 % interval."""
    found = (errors[one] - errors[other]).dropna()
    if len(found) < 2:
        return ""
    half = float(stats.t.ppf(0.975, len(found) - 1) * found.std() / len(found) ** 0.5)
    return f"{found.mean():+.2f} ({found.mean() - half:.2f} to {found.mean() + half:.2f})"


def table(found: pd.DataFrame) -> str:
    """Means and deviations, differences from the first network of a part, and those of PAIRS."""
    lines = ["| data | part | network | error | minus first (95 %) | training error | parameters "
             "| bytes | n |", f"|{'---|' * 9}"]  # fmt: skip
    pairs = ["| data | difference | points (95 %) |", f"|{'---|' * 3}"]
    for (data, part), rows in found.groupby(["data", "part"], sort=False):
        errors = rows.pivot_table(index="seed", columns="network", values="error", sort=False)
        for name, own in rows.groupby("network", sort=False):
            first, about = errors.columns[0], own.iloc[0]
            lines.append(
                f"| {data} | {part} | {name} | {own['error'].mean():.2f} ± "
                f"{own['error'].std():.2f} | {'' if name == first else gap(errors, name, first)} "
                f"| {own['train_error'].mean():.2f} | {about['parameters']:,} "
                f"| {about['bytes']:,} | {len(own)} |"
            )
        for of, one, other in PAIRS:
            if of == part and {one, other} <= {*errors}:
                pairs.append(f"| {data} | {one} - {other} | {gap(errors, one, other)} |")
    return "\n".join([*lines, "", *pairs])


def places(found: pd.DataFrame) -> str:
    """Where the chosen graphs lie, round by round: means over seeds whose graph is connected."""
    lines = ["| data | round | C | L | C of degrees | L of degrees | in the sweet spot | apart |",
             f"|{'---|' * 8}"]  # fmt: skip
    for data, rows in found[found["network"] == "from scratch"].groupby("data", sort=False):
        here, there = (np.array(rows[key].tolist(), dtype=float) for key in ("places", "nulls"))
        inside = np.ones(here.shape[:2], dtype=bool)
        for axis, (low, high) in enumerate(PUBLISHED):
            inside &= (here[..., axis] >= low) & (here[..., axis] <= high)
        for layer in range(here.shape[1]):
            whole = np.isfinite(here[:, layer, 1])
            cells = []
            for places in (here, there):
                for axis in (0, 1):
                    finite = places[whole, layer, axis]
                    finite = finite[np.isfinite(finite)]
                    spread = f" ± {finite.std(ddof=1):.3f}" if len(finite) > 1 else ""
                    cells.append(f"{finite.mean():.3f}{spread}" if len(finite) else "")
            counts = f"{inside[:, layer].sum()} of {len(here)} | {(~whole).sum()}"
            lines.append(f"| {data} | {layer + 1} | {' | '.join(cells)} | {counts} |")
    return "\n".join(lines)


def draw(found: pd.DataFrame) -> Figure:
    """Every chosen graph in the plane of C and L; a cross is the mean of its null models."""
    figure = Figure(figsize=(6.4, 5.0), layout="constrained")
    axes = figure.subplots()
    (c_low, c_high), (l_low, l_high) = PUBLISHED
    axes.add_patch(Rectangle((c_low, l_low), c_high - c_low, l_high - l_low, color="0.85",
                             label="published sweet spot"))  # fmt: skip
    chosen = found[found["network"] == "from scratch"]
    for number, (data, rows) in enumerate(chosen.groupby("data", sort=False)):
        for key, mark in (("places", "*"), ("nulls", "x")):
            points = np.array(rows[key].tolist(), dtype=float).reshape(-1, 2)
            points = points[np.isfinite(points).all(1)]
            label = f"{data}: {'chosen' if key == 'places' else 'with its degrees'}"
            axes.plot(*points.T, mark, color=f"C{number}", label=label)
    axes.set_xlabel("clustering coefficient C")
    axes.set_ylabel("average path length L")
    axes.legend(fontsize="small")
    return figure


@dataclass(frozen=True)
class Study:
    """Train what is not trained yet, and write tables and map.

    Args:
        out: Folder of the study; a run that it holds is not done again.
        seeds: How many.
        parts: Which of supermask, fold, edges and resnet20.
        data: Which data; Fashion-MNIST needs its files.
        epochs: Instead of those of the data.
        train_size: Train on so many images.
        data_folder: Where the files of Fashion-MNIST lie.
        download: Fetch them.
    """

    out: str = "runs/hidden-fold"
    seeds: int = 5
    parts: tuple[str, ...] = PARTS
    data: tuple[str, ...] = tuple(DATA)
    epochs: int | None = None
    train_size: int | None = None
    data_folder: str = "data"
    download: bool = False

    def run(self) -> None:
        torch.set_num_threads(1)
        path = Path(self.out) / "runs.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        found = [json.loads(line) for line in lines]
        done = {(row["data"], row["part"], row["network"], row["seed"]) for row in found}
        more: dict[str, Any] = {"data_folder": self.data_folder, "download": self.download}
        given = {"epochs": self.epochs, "train_size": self.train_size}
        more |= {name: value for name, value in given.items() if value is not None}

        def keep(row: dict[str, Any]) -> None:
            found.append(row)
            with path.open("a") as file:
                file.write(json.dumps(row) + "\n")

        for seed, data, part in product(range(self.seeds), self.data, self.parts):
            if part == "resnet20" and data != "digits":
                continue  # hours on one core
            for name, model, options in variants(part):
                about = {"data": data, "part": part, "network": name, "seed": seed}
                last = "degrees alone" if name == "chosen" else name
                if (data, part, last, seed) in done:
                    continue
                net, row = trained(data, model, options, seed, **more)
                after = list(over_chosen(data, net, seed, **more)) if name == "chosen" else []
                for other, values in [(name, row), *after]:
                    keep({**about, "network": other, **values})
        order = {part: place for place, part in enumerate(PARTS)}
        frame = pd.DataFrame(found).sort_values(["data", "part"], key=lambda c: c.map(order).fillna(
            c.map({name: place for place, name in enumerate(DATA)})), kind="stable")  # fmt: skip
        text = table(frame)
        if "edges" in self.parts:
            text += f"\n\n{places(frame)}"
            draw(frame).savefig(path.parent / "map.png", dpi=150)
        (path.parent / "summary.md").write_text(text + "\n")
        print(text)


recipe = Study()
quick = replace(
    recipe, out="runs/hidden-fold-try", seeds=2, data=("digits",), epochs=1, train_size=256
)

if __name__ == "__main__":
    run_recipe(recipe, quick=quick)
