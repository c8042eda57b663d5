"""Brains against their null models: sequence memory, n-back and memory capacity.

    python experiments/recipes/brains.py --connectomes FOLDER

The macaque's connectome of 29 areas with two neurons each (58 units) as a recurrent network, beside
null models drawn anew for every seed, which keep its weights (shuffled), its degrees, its degrees
and reciprocity, or its density alone (random), and beside the brain with initial weights in the
order of the connectome's. Trained: tanh, Adam without decay at learning rate 1e-3, gradients
clipped to norm 1, batches of 32, 400 sequences to train and 100 to test (n-back 800 and 200).
Untrained: a read-out fitted to the states at spectral radius 0.95, whose memory capacity is
measured.

Device: one CPU core, about half an hour. A stopped study goes on where it was. Writes
`runs/brains/`: the runs, table.md, map.png; the tables are in experiments/README.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

import relmp
from relmp.analysis.pairs import compare_nulls, learning_measures
from relmp.cli import run_recipe

KINDS = ("shuffled", "degrees", "reciprocity", "random")
TASKS = (
    "sequence_memory(length=3)",
    "sequence_memory",
    "nback",
    "sequence_memory(length=10)",
)


@dataclass(frozen=True)
class Study:
    """Train a brain and its null models, and compare them seed by seed.

    Args:
        out: Folder of the study.
        connectomes: Folder of bio2art's text files; where it is missing, they are downloaded.
        brain: Which connectome.
        neurons: Neurons of every region.
        tasks: What is learned.
        epochs: Passes over the sequences.
        seeds: How many of each variant.
        workers: Processes, each with one thread.
    """

    out: str = "runs/brains"
    connectomes: str = ""
    brain: str = "bio2art_macaque"
    neurons: int = 2
    tasks: tuple[str, ...] = TASKS
    epochs: int = 60
    seeds: int = 10
    workers: int = 1

    def run(self) -> None:
        """Run what is missing, and write the tables."""
        folder, text = Path(self.out), []
        for task in self.tasks:
            place = folder / task.replace("(", "-").replace(")", "").replace("=", "")
            relmp.run_plan(self.plan(task), place, workers=self.workers)
            measured = learning_measures(relmp.collect(place, epochs="all"))
            found = compare_nulls(
                measured, baseline="brain, uniform", measures=("lowest", "epochs")
            )
            text += [f"## {task}\n", markdown(found.means), str(found), ""]
            (folder / "table.md").write_text("\n".join(text), encoding="utf-8")

    def graphs(self) -> tuple[relmp.RelationalGraph, dict[tuple[str, int], relmp.RelationalGraph]]:
        """The brain, drawn once, and its null models by kind and seed."""
        brain = relmp.load_connectome(
            self.brain, root=self.connectomes or None, download=not self.connectomes,
            self_loops=False,
        )  # fmt: skip
        scaled = relmp.scale_connectome(brain, self.neurons)
        return scaled, relmp.null_graphs(scaled, KINDS, self.seeds)

    def plan(self, task: str) -> list[relmp.RunConfig]:
        """Every variant with every seed."""
        scaled, nulls = self.graphs()
        base = relmp.RunConfig(
            relmp.ModelConfig("rnn"),
            relmp.DataConfig(name=task),
            relmp.TrainConfig(
                epochs=self.epochs, batch_size=32, optimizer="adamw", lr=1e-3, weight_decay=0.0,
                schedule="constant", loop=relmp.LoopOptions(clip_norm=1.0),
            ),
        )  # fmt: skip
        runs = []
        for seed in range(self.seeds):
            chosen = [(scaled, "uniform"), (scaled, "rank")]
            chosen += [(nulls[kind, seed], "uniform") for kind in KINDS]
            for graph, init in chosen:
                axes = {"model.graph": [graph], "model.init": [init], "seed": [seed]}
                runs += relmp.grid(base, **axes)
        return runs


def markdown(table: pd.DataFrame) -> str:
    """A table with numbers of three digits."""
    cells = table.map(lambda value: f"{value:.3g}" if isinstance(value, float) else str(value))
    lines = [list(table.columns), ["---"] * table.shape[1], *cells.to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


recipe = Study()
quick = replace(recipe, out="runs/brains-try", epochs=2, seeds=2, tasks=TASKS[:1])

if __name__ == "__main__":
    run_recipe(recipe, quick=quick)
