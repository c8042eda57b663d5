"""Single weights chosen in training: static, SET and RigL against the dense network.

Two networks without graphs in them, rounds over the complete graph whose weights are masked:
digits (64-256-256-10, the first two layers sparse), and the 300-100 network of the papers on
Fashion-MNIST at 99 and 89 % zeros. Every seed draws the same initial weights for all four. A run
that is done is not done again.

    python experiments/recipes/rewiring_weights.py --out runs/rewiring-weights
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from scipy import stats
from torch import nn

import relmp

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
        **about["settings"], **more,
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="runs/rewiring-weights")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--data-folder", default="data")
    parser.add_argument("--download", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    path = Path(given.out) / "runs.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text().splitlines() if path.exists() else []
    found = [json.loads(line) for line in lines]
    done = {(row["task"], row["rule"], row["seed"]) for row in found}
    for seed in range(given.seeds):
        for task in TASKS:
            for rule in RULES:
                if (task, rule, seed) in done:
                    continue
                row = one(task, rule, seed, data_folder=given.data_folder, download=given.download)
                found.append(row)
                with path.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    text = describe(pd.DataFrame(found))
    (path.parent / "summary.txt").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
