"""Single weights chosen in training: static, SET and RigL against the dense network.

Two networks without graphs in them, rounds over the complete graph whose weights are masked:
digits (64-256-256-10, the first two layers sparse), and the 300-100 network of the papers on
Fashion-MNIST at 99 and 89 % zeros. Every seed draws the same initial weights for all four. A run
that is done is not done again.

    python experiments/recipes/rewiring_weights.py
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from scipy import stats
from torch import nn

import relmp
from relmp.cli import run_recipe

RULES = ("static", "set", "rigl", "dense")
COMPLETE = relmp.create_graph("complete", n=4)


def network(widths: list[int], sparse: int, seed: int) -> nn.Module:
    """Linear layers and ReLU; the first ``sparse`` ones are rounds over the complete graph."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = [nn.Flatten()]
        for number, (c_in, c_out) in enumerate(pairwise(widths)):
            if number < sparse:
                layers.append(relmp.RelationalLinear(COMPLETE, c_in, c_out))
            else:
                layers.append(nn.Linear(c_in, c_out))
            layers.append(nn.ReLU())
        return nn.Sequential(*layers[:-1])


TASKS: dict[str, dict[str, Any]] = {
    "digits, density .01": {
        "widths": [64, 256, 256, 10], "density": {"1": 0.01, "3": 0.01}, "every": 20,
        "settings": {"data": "digits", "epochs": 86, "batch_size": 100, "lr": 0.1},
    },
    "digits, density .05": {
        "widths": [64, 256, 256, 10], "density": {"1": 0.05, "3": 0.05}, "every": 20,
        "settings": {"data": "digits", "epochs": 86, "batch_size": 100, "lr": 0.1},
    },
    "Fashion-MNIST 300-100, 99/89 % zeros": {
        "widths": [784, 300, 100, 10], "density": {"1": 0.01, "3": 0.109}, "every": 100,
        "settings": {
            "data": "fashion_mnist", "train_size": 10_000, "epochs": 20, "batch_size": 100,
            "lr": 0.1, "weight_decay": 1e-4,
        },
    },
}  # fmt: skip


def one(task: str, rule: str, seed: int, **more: Any) -> dict[str, Any]:
    """Train one network; its test error after the last epoch."""
    about = TASKS[task]
    model = network(about["widths"], 2, seed)
    rewiring = None
    if rule != "dense":
        density = about["density"]
        rewiring = f"{rule}(granularity='weight', every={about['every']}, density={density})"
    history = relmp.train(
        model, rewiring=rewiring, seed=seed, evaluate_every=1000, device="cpu",
        **{**about["settings"], **more},
    )  # fmt: skip
    last = history.iloc[-1]
    return {"task": task, "rule": rule, "seed": seed, "error": float(last["test_error"]),
            "train_error": float(last["train_error"])}  # fmt: skip


def describe(found: pd.DataFrame) -> str:
    """Mean errors, and the paired difference of RigL from the others, with 95 % intervals."""
    lines = []
    for task, rows in found.groupby("task", sort=False):
        table = rows.pivot_table(index="seed", columns="rule", values="error")
        for rule in table:
            lines.append(
                f"{task}: {rule}: {table[rule].mean():.2f} +- {table[rule].std():.2f} "
                f"(n = {table[rule].count()})"
            )
        for rule in table.columns.drop("rigl"):
            gap = (table[rule] - table["rigl"]).dropna()
            half = float(stats.t.ppf(0.975, len(gap) - 1) * gap.std() / len(gap) ** 0.5)
            lines.append(f"{task}: {rule} - rigl: {gap.mean():+.2f} +- {half:.2f}")
    return "\n".join(lines)


@dataclass(frozen=True)
class Study:
    """Train four rules for each task and seed, and compare them.

    Args:
        out: Folder of the study; a run that it holds is not done again.
        seeds: How many.
        tasks: Which tasks; those on Fashion-MNIST need its files.
        epochs: Instead of those of the task.
        data_folder: Where the files of Fashion-MNIST lie.
        download: Fetch them.
    """

    out: str = "runs/rewiring-weights"
    seeds: int = 10
    tasks: tuple[str, ...] = tuple(TASKS)
    epochs: int | None = None
    data_folder: str = "data"
    download: bool = False

    def run(self) -> None:
        """Train what is not trained yet, and print the comparison."""
        torch.set_num_threads(1)
        path = Path(self.out) / "runs.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        found = [json.loads(line) for line in lines]
        done = {(row["task"], row["rule"], row["seed"]) for row in found}
        more: dict[str, Any] = {"data_folder": self.data_folder, "download": self.download}
        if self.epochs is not None:
            more["epochs"] = self.epochs
        for seed, task, rule in product(range(self.seeds), self.tasks, RULES):
            if (task, rule, seed) in done:
                continue
            row = one(task, rule, seed, **more)
            found.append(row)
            with path.open("a") as file:
                file.write(json.dumps(row) + "\n")
        text = describe(pd.DataFrame(found))
        (path.parent / "summary.txt").write_text(text + "\n")
        print(text)


recipe = Study()
quick = replace(
    recipe, out="runs/rewiring-weights-try", seeds=2, tasks=("digits, density .05",), epochs=2
)

if __name__ == "__main__":
    run_recipe(recipe, quick=quick)
