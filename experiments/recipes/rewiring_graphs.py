"""Where training takes graphs: do they end in the sweet spot, wherever they begin?

RigL changes whole edges of an MLP on MNIST-1D and of a small CNN on digits, from a ring, a random
graph, a graph of the published sweet spot, and a nearly complete one. Beside the place where
every layer ends stand two controls with the same seeds: the graph of the start left alone, and a
network trained from scratch on the graphs of the end. A run that is done is not done again.

    python experiments/recipes/rewiring_graphs.py
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

import relmp
from relmp.analysis.topology import PUBLISHED, null_points
from relmp.cli import run_recipe
from relmp.training.rewiring.topology import read_topology

MODELS: dict[str, dict[str, Any]] = {
    "mlp": {
        "n": 32, "options": {"in_features": 40, "width": 192, "init": "degree"},
        "settings": {"data": "mnist1d", "epochs": 20, "lr": 0.05},
    },
    "small_cnn": {
        "n": 16, "options": {"in_channels": 1, "width": 32, "stem_width": 16},
        "settings": {"data": "digits", "epochs": 6, "lr": 0.05, "train_size": 1000},
    },
}  # fmt: skip
RULE = "rigl(every=20, fraction=0.3, until=0.75)"


def starts(n: int) -> Iterator[tuple[str, float, relmp.RelationalGraph]]:
    """Names, densities and graphs to begin with."""
    for density in (0.2, 0.35):
        k = round((density * n**2 - n) / n, 3)
        for name, p in (("ring", 0.0), ("sweet spot", 0.15), ("random", 1.0)):
            yield name, density, relmp.create_graph("ws_flex", n=n, k=k, p=p, seed=1)
    k = round(0.9 * n - 1, 3)
    yield "nearly complete", 0.9, relmp.create_graph("ws_flex", n=n, k=k, p=1.0, seed=1)


def trained(model: str, graph: Any, seed: int, folder: Path | None, **more: Any) -> Any:
    """A trained model and its test error."""
    about = MODELS[model]
    net = relmp.create_model(model, graph=graph, seed=seed, **about["options"])
    settings = {**about["settings"], **more}
    history = relmp.train(net, seed=seed, evaluate_every=1000, device="cpu", out=folder, **settings)
    return net, float(history.iloc[-1]["test_error"])


def one(
    model: str, start: str, density: float, graph: Any, seed: int, out: Path, **more: Any
) -> dict[str, Any]:
    """RigL, the start left alone, and a network from scratch on the graphs of the end."""
    folder = out / f"{model}-{start.replace(' ', '-')}-{density}-{seed}"
    net, error = trained(model, graph, seed, folder, rewiring=RULE, **more)
    random = {
        name: relmp.degree_preserving_rewire(end.undirected(), seed=seed)
        for name, end in net.graphs.items()
    }
    layers = []
    for record in read_topology(folder):
        if record["rewiring"] in (0, last := max(r["rewiring"] for r in read_topology(folder))):
            name = record["layer"]
            layers.append({
                "layer": name, "when": "end" if record["rewiring"] == last else "start",
                "C": record["clustering"], "L": record["path_length"],
                "overlap": record["overlap"], "tried": record["tried"],
                "null C": random[name].clustering, "null L": random[name].path_length,
            })  # fmt: skip
    return {
        "model": model, "start": start, "density": density, "seed": seed, "rigl": error,
        "static": trained(model, graph, seed, None, **more)[1],
        "from scratch": trained(model, dict(net.graphs), seed + 1000, None, **more)[1],
        "layers": layers,
    }  # fmt: skip


def describe(found: list[dict[str, Any]]) -> str:
    """A row for every model, density and start; ``apart`` is the share of layers whose graph falls
    apart, which have no path length."""
    rows = []
    for row in found:
        ends = [layer for layer in row["layers"] if layer["when"] == "end"]
        begins = [layer for layer in row["layers"] if layer["when"] == "start"]
        values = {key: row[key] for key in ("model", "density", "start", "seed", "rigl", "static",
                                            "from scratch")}  # fmt: skip
        for name, layers, key in (
            ("C start", begins, "C"), ("C end", ends, "C"), ("C null", ends, "null C"),
            ("L start", begins, "L"), ("L end", ends, "L"), ("L null", ends, "null L"),
            ("overlap", ends, "overlap"), ("tried", ends, "tried"),
        ):  # fmt: skip
            finite = [x[key] for x in layers if x[key] is not None and np.isfinite(x[key])]
            values[name] = float(np.mean(finite)) if finite else np.nan
        values["apart"] = float(np.mean([layer["L"] is None for layer in ends]))
        rows.append(values)
    table = pd.DataFrame(rows)
    keys = ["model", "density", "start"]
    mean = table.groupby(keys, sort=False).mean().drop(columns="seed")
    spread = table.groupby(keys, sort=False)[["C end", "L end", "rigl", "static"]].std()
    return f"Means\n{mean.round(3).to_string()}\n\nDeviations\n{spread.round(3).to_string()}"


def draw(out: Path, model: str = "mlp", seed: int = 0) -> Figure:
    """The mean over the layers of C and L in training, from every start."""
    figure = Figure(figsize=(6.4, 5.0), layout="constrained")
    axes = figure.subplots()
    (c_low, c_high), (l_low, l_high) = PUBLISHED
    axes.add_patch(
        Rectangle((c_low, l_low), c_high - c_low, l_high - l_low, color="0.87", zorder=0)
    )
    for number, (start, density, _) in enumerate(starts(MODELS[model]["n"])):
        folder = out / f"{model}-{start.replace(' ', '-')}-{density}-{seed}"
        if not folder.exists():
            continue
        frame = pd.DataFrame(read_topology(folder)).groupby("rewiring")
        path = frame[["clustering", "path_length"]].mean().to_numpy()
        colour, label = f"C{number % 10}", f"{start}, density {density}"
        axes.plot(*path.T, "-", color=colour, lw=1)
        axes.plot(*path[0], "o", color=colour, label=label)
        axes.plot(*path[-1], "*", color=colour, markersize=13, markeredgecolor="black")
        ends: Any = relmp.load_run(folder).model
        null = [null_points(graph, 10).mean(0) for graph in ends.graphs.values()]
        axes.plot(*np.mean(null, axis=0), "x", color=colour)
    axes.set_xlabel("clustering coefficient C, mean of the layers")
    axes.set_ylabel("average path length L")
    axes.set_title(f"{model}: where RigL takes its graphs")
    axes.legend(fontsize="small")
    return figure


@dataclass(frozen=True)
class Study:
    """Rewire graphs from every start, beside the start left alone and the end from scratch.

    Args:
        out: Folder of the study; a run that it holds is not done again.
        seeds: How many.
        models: Which of mlp and small_cnn.
        epochs: Instead of those of the model.
    """

    out: str = "runs/rewiring-graphs"
    seeds: int = 5
    models: tuple[str, ...] = tuple(MODELS)
    epochs: int | None = None

    def run(self) -> None:
        """Train what is not trained yet, print the tables and draw the paths."""
        torch.set_num_threads(1)
        out = Path(self.out)
        path = out / "runs.jsonl"
        out.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        found = [json.loads(line) for line in lines]
        more = {} if self.epochs is None else {"epochs": self.epochs}
        done = {(r["model"], r["start"], r["density"], r["seed"]) for r in found}
        for seed, model in product(range(self.seeds), self.models):
            for start, density, graph in starts(MODELS[model]["n"]):
                if (model, start, density, seed) not in done:
                    row = one(model, start, density, graph, seed, out, **more)
                    found.append(row)
                    with path.open("a") as file:
                        file.write(json.dumps(row) + "\n")
        text = describe(found)
        (out / "summary.txt").write_text(text + "\n")
        for model in self.models:
            draw(out, model).savefig(out / f"paths_{model}.png", dpi=130)
        print(text)


recipe = Study()
quick = replace(recipe, out="runs/rewiring-graphs-try", seeds=1, models=("small_cnn",), epochs=2)

if __name__ == "__main__":
    run_recipe(recipe, quick=quick)
