"""Which message, which aggregation: the MLP on 10,000 images of Fashion-MNIST, 25 pairs, 3 seeds.

    python experiments/recipes/message_study.py --download
    python experiments/recipes/message_study.py --data-folder FOLDER_OF_THE_IDX_FILES

{linear, gated, attention, low_rank, shared} x {sum, mean, max, softmax, sum and max together},
all over one graph of 64 nodes in the sweet spot (C 0.38, L 2.21) and all at the multiply-adds of
the dense MLP of width 128: what costs less an edge gets more channels. Weights start by in-degree,
so that no pair starts with larger activations than another; the learning rate is the same for
all, tuned for none.

Device: two CPU cores, about a quarter of an hour where nothing else runs (25 CPU seconds a run).
Where there is no network, Debian's package dataset-fashion-mnist holds the idx files. Writes
`runs/message_study/`: a folder for each run, results.csv, table.md, study.png. A stopped study goes
on where it was. With --quick: seconds, to try it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd

import relmp
from relmp.cli import run_recipe

MESSAGES = ("linear", "gated", "attention", "low_rank", "shared")
AGGREGATIONS: dict[str, Any] = {
    "sum": "sum",
    "mean": "mean",
    "max": "max",
    "softmax": "softmax",
    "sum+max": ["sum", "max"],
}


@dataclass(frozen=True)
class Study:
    """Train every message with every aggregation and write down what came of it.

    Args:
        out: Folder of the study.
        data: Data set.
        data_folder: Where its files lie.
        download: Fetch missing files.
        train_size: Train on so many images.
        width: Width of the dense MLP, whose cost every pair is matched to.
        epochs: Passes over the training images.
        seeds: How many seeds.
        workers: Processes, each with one thread.
    """

    out: str = "runs/message_study"
    data: str = "fashion_mnist"
    data_folder: str = "data"
    download: bool = False
    train_size: int = 10_000
    width: int = 128
    epochs: int = 8
    seeds: int = 3
    workers: int = 2

    def plan(self) -> list[relmp.RunConfig]:
        """Every message with every aggregation and seed, at equal cost."""
        graph = relmp.create_graph("ws_flex", n=64, k=10, p=0.2, seed=1)
        base = relmp.RunConfig(
            relmp.ModelConfig("mlp", graph, options={"init": "degree"}),
            relmp.DataConfig(name=self.data, train_size=self.train_size),
            relmp.TrainConfig(epochs=self.epochs),
        )
        axes = {"model.message": MESSAGES, "model.aggr": AGGREGATIONS.values()}
        return relmp.grid(
            base, budget=self.width, data_folder=self.data_folder, download=self.download,
            **axes, seed=range(self.seeds),
        )  # fmt: skip

    def run(self) -> None:
        folder = Path(self.out)
        found = relmp.run_plan(
            self.plan(), folder, data_folder=self.data_folder, workers=self.workers
        )
        results = named(found)
        results.to_csv(folder / "results.csv", index=False)
        (folder / "table.md").write_text(table(results))
        plot(results).savefig(folder / "study.png", dpi=150)
        print(table(results))


def named(found: pd.DataFrame) -> pd.DataFrame:
    """The table of the runs, with the names that the study uses."""
    names = {_text(value): name for name, value in AGGREGATIONS.items()}
    aggr = found["model.aggr"].map(names)
    return found.assign(message=found["model.message"], aggr=aggr)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def table(results: pd.DataFrame) -> str:
    """Mean and deviation of the test error in percent, messages down, aggregations across."""
    cells = results.groupby(["message", "aggr"])["test_error"].agg(["mean", "std"])
    facts = results.groupby("message")[["width", "parameters"]].first()
    head = ["message", "width", "parameters", *AGGREGATIONS]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for message in MESSAGES:
        row = [message, f"{facts.loc[message, 'width']}", f"{facts.loc[message, 'parameters']:,}"]
        for aggr in AGGREGATIONS:
            mean, deviation = cells.loc[(message, aggr)]
            row.append(f"{mean:.2f}" + ("" if math.isnan(deviation) else f" ± {deviation:.2f}"))
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def plot(results: pd.DataFrame) -> Any:
    """Every run a dot, every pair its mean: a group of dots for each message."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    for place, aggr in enumerate(AGGREGATIONS):
        for group, message in enumerate(MESSAGES):
            chosen = results[(results["message"] == message) & (results["aggr"] == aggr)]
            x = group + 0.14 * (place - 2)
            label = aggr if group == 0 else None
            axes.plot([x] * len(chosen), chosen["test_error"], ".", color=f"C{place}", alpha=0.5)
            mean = chosen["test_error"].mean()
            axes.plot(x, mean, "_", color=f"C{place}", ms=14, mew=3, label=label)
    axes.set_xticks(range(len(MESSAGES)), MESSAGES)
    axes.set_ylabel("test error, %")
    axes.legend(title="aggregation", ncols=5, loc="upper center", bbox_to_anchor=(0.5, 1.22))
    return figure


recipe = Study()
quick = replace(
    recipe, out="runs/message_study-try", data="digits", width=64, train_size=128, epochs=1, seeds=1
)

if __name__ == "__main__":
    run_recipe(recipe, quick=quick)
