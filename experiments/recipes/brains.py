"""Brains against their null models: sequence memory, n-back and memory capacity.

    python experiments/recipes/brains.py --connectomes FOLDER

The macaque's connectome of 29 areas with two neurons each (58 units) as a recurrent network, beside
null models drawn anew for every seed, which keep its weights (shuffled), its degrees, its degrees
and reciprocity, or its density alone (random), and beside the brain with initial weights in the
order of the connectome's. Trained: tanh, Adam without decay at learning rate 1e-3, gradients
clipped to norm 1, batches of 32, 400 sequences to train and 100 to test, 60 epochs.
Ten numbers take 200 epochs. With these settings 2-back of numbers is not learned, so both n-backs
have 3,200 sequences to train, and numbers a rate of 5e-3, batches of 64 and 100 epochs, digits a
rate of 3e-3. Untrained: a read-out fitted to the states at spectral radius 0.95, whose memory
capacity is measured.

Device: one CPU core, about an hour, of which digits are half. A stopped study goes on where it was.
Writes `runs/brains/`: the runs, table.md, map.png; the tables are in experiments/README.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import relmp
from relmp.analysis.pairs import (
    NullComparison,
    compare_nulls,
    learning_measures,
    with_variants,
)
from relmp.cli import run_recipe
from relmp.graphs import CONNECTOMES

KINDS = ("shuffled", "degrees", "reciprocity", "random")
TASKS = (
    "sequence_memory(length=3)",
    "sequence_memory",
    "sequence_memory(length=10)",
    "nback(n=2,trials=4000)",
    "digit_nback(n=2,trials=4000)",
)
CAPACITY = "memory_capacity(lags=60, steps=2000)"


@dataclass(frozen=True)
class Study:
    """Train a brain and its null models, and compare them seed by seed.

    Args:
        out: Folder of the study.
        connectomes: Folder of bio2art's text files; where it is missing, they are downloaded.
        brain: Which connectome.
        neurons: Neurons of every region.
        tasks: What is learned.
        epochs: Passes over the sequences, by default those above.
        seeds: How many of each variant.
        capacity: Whether memory capacities are measured.
        workers: Processes, each with one thread.
    """

    out: str = "runs/brains"
    connectomes: str = ""
    brain: str = "bio2art_macaque"
    neurons: int = 2
    tasks: tuple[str, ...] = TASKS
    epochs: int | None = None
    seeds: int = 10
    capacity: bool = True
    workers: int = 1

    def run(self) -> None:
        """Run what is missing, and write the tables."""
        folder, text = Path(self.out), []
        folder.mkdir(parents=True, exist_ok=True)
        for task in self.tasks:
            place = folder / task.replace("(", "-").replace(")", "").replace("=", "")
            relmp.run_plan(self.plan(task), place, workers=self.workers)
            measured = learning_measures(relmp.collect(place, epochs="all"))
            found = compare_nulls(
                measured, baseline="brain, uniform", measures=("lowest", "epochs")
            )
            text += [f"## {task}\n", markdown(found.means), str(found), ""]
            (folder / "table.md").write_text("\n".join(text), encoding="utf-8")
        if self.capacity:
            found = self.capacities(folder)
            text += ["## memory capacity\n", markdown(found.means), str(found), ""]
        (folder / "table.md").write_text("\n".join(text), encoding="utf-8")
        self.pictures(folder)

    def capacities(self, folder: Path) -> NullComparison:
        """Memory capacities of every variant, untrained, at the spectral radius 0.95."""
        torch.set_num_threads(1)
        options = {"frozen": True, "input_scale": 0.1}
        base = relmp.RunConfig(
            relmp.ModelConfig("rnn", options=options),
            relmp.DataConfig(name=CAPACITY),
            relmp.TrainConfig(),
        )
        inits = [f"spectral(radius=0.95, base='{base}')" for base in ("uniform", "rank")]
        table = relmp.fit_readouts(self.variants(base, *inits), alpha=1e-9)
        table.to_csv(folder / "capacity.csv", index=False)
        table["model.init"] = table["model.init"].map({inits[0]: "uniform", inits[1]: "rank"})
        measured = with_variants(table)
        return compare_nulls(measured, baseline="brain, uniform", measures=("capacity",))

    def pictures(self, folder: Path) -> None:
        """The brain's states while a sequence goes in, and connectomes on the map of C and L."""
        scaled, _ = self.graphs()
        torch.manual_seed(0)
        layer = relmp.RelationalRNN(scaled, 2, init="spectral(radius=0.95)")
        relmp.write_states(layer, relmp.load_data(TASKS[0]).test_inputs[0], folder / "states.html")
        regions = {name: self.connectome(name) for name in CONNECTOMES if name.startswith("bio2")}
        places: dict[str, Any] = {name.removeprefix("bio2art_"): g for name, g in regions.items()}
        for kind in KINDS:
            places[f"null models, {kind}"] = [
                relmp.null_model(graph, kind, seed)
                for graph in regions.values()
                for seed in range(5)
            ]
        relmp.plot_places(places).savefig(folder / "map.png", dpi=120)

    def graphs(self) -> tuple[relmp.RelationalGraph, dict[tuple[str, int], relmp.RelationalGraph]]:
        """The brain, drawn once, and its null models by kind and seed."""
        scaled = relmp.scale_connectome(self.connectome(self.brain), self.neurons)
        return scaled, relmp.null_graphs(scaled, KINDS, self.seeds)

    def connectome(self, name: str) -> relmp.RelationalGraph:
        """A connectome of bio2art."""
        return relmp.load_connectome(
            name, root=self.connectomes or None, download=not self.connectomes, self_loops=False
        )

    def plan(self, task: str) -> list[relmp.RunConfig]:
        """Every variant with every seed."""
        training = relmp.TrainConfig(
            epochs=60, batch_size=32, optimizer="adamw", lr=1e-3, weight_decay=0.0,
            schedule="constant", loop=relmp.LoopOptions(clip_norm=1.0),
        )  # fmt: skip
        if task == "sequence_memory(length=10)":
            training = replace(training, epochs=200)
        elif task.startswith("nback"):
            training = replace(training, epochs=100, batch_size=64, lr=5e-3)
        elif task.startswith("digit_nback"):
            training = replace(training, lr=3e-3)
        if self.epochs is not None:
            training = replace(training, epochs=self.epochs)
        base = relmp.RunConfig(relmp.ModelConfig("rnn"), relmp.DataConfig(name=task), training)
        return self.variants(base, "uniform", "rank")

    def variants(self, base: relmp.RunConfig, init: str, ranked: str) -> list[relmp.RunConfig]:
        """The brain and its null models with ``init``, and the brain with ``ranked``, by seed."""
        scaled, nulls = self.graphs()
        runs = []
        for seed in range(self.seeds):
            chosen = [(scaled, init), (scaled, ranked)]
            chosen += [(nulls[kind, seed], init) for kind in KINDS]
            for graph, weights in chosen:
                axes = {"model.graph": [graph], "model.init": [weights], "seed": [seed]}
                runs += relmp.grid(base, **axes)
        return runs


def markdown(table: pd.DataFrame) -> str:
    """A table with numbers of three digits."""
    cells = table.map(lambda value: f"{value:.3g}" if isinstance(value, float) else str(value))
    lines = [list(table.columns), ["---"] * table.shape[1], *cells.to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


recipe = Study()
quick = replace(recipe, out="runs/brains-try", epochs=2, seeds=2, tasks=TASKS[:1], capacity=False)

if __name__ == "__main__":
    run_recipe(recipe, quick=quick)
