"""ResNet-20 on Fashion-MNIST: plain, over the complete graph, and over a sweet-spot graph.

    python experiments/recipes/resnet20_fashion_mnist.py --data-folder FOLDER_OF_THE_IDX_FILES

10,000 training images, 8 epochs, 3 seeds, one loop for all. The plain network is ordinary
convolutions (no graph); the complete graph of 16 nodes has the same connections as rounds, and
must come to the same error; the other graph of 16 nodes is from the paper's sweet spot (C 0.29,
L 2.06), at the same multiply-adds and so with more channels. The tables are in
experiments/README.md.

Device: any; two CPU cores take about an hour. The same command goes on where it was stopped.
Where there is no network, Debian's package dataset-fashion-mnist holds the idx files. Writes
`runs/resnet20_fashion_mnist/`: a folder for each run, results.csv, table.md.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

import relmp
from relmp.cli import run_recipe

NETWORKS = {
    "plain": None,
    "complete": relmp.create_graph("complete", n=16),
    "sweet spot": relmp.create_graph("ws_flex", n=16, k=4.177, p=0.3008, seed=11),
}


@dataclass(frozen=True)
class Comparison:
    """Train the plain network and two graphs with the same seeds at equal cost.

    Args:
        out: Folder of the runs.
        data: Data set.
        data_folder: Where its files lie.
        download: Fetch missing files.
        train_size: Train on so many images only.
        epochs: Passes over the training images.
        seeds: How many seeds.
        lr: Learning rate of the first epoch.
        batch_size: Images a step.
        device: cpu, cuda, ...; a GPU where there is one by default.
    """

    out: str = "runs/resnet20_fashion_mnist"
    data: str = "fashion_mnist"
    data_folder: str = "data"
    download: bool = False
    train_size: int = 10_000
    epochs: int = 8
    seeds: int = 3
    lr: float = 0.1
    batch_size: int = 128
    device: str | None = None

    def plan(self) -> list[relmp.RunConfig]:
        """Every network with every seed."""
        base = relmp.RunConfig(
            relmp.ModelConfig("resnet20"),
            relmp.DataConfig(name=self.data, train_size=self.train_size),
            relmp.TrainConfig(epochs=self.epochs, batch_size=self.batch_size, lr=self.lr),
        )
        return relmp.grid(
            base, budget=16, data_folder=self.data_folder, download=self.download,
            **{"model.graph": NETWORKS.values()}, seed=range(self.seeds),
        )  # fmt: skip

    def run(self) -> None:
        folder = Path(self.out)
        found = relmp.run_plan(
            self.plan(), folder, data_folder=self.data_folder, device=self.device
        )
        results = named(found, relmp.collect(folder, epochs="all"))
        results.to_csv(folder / "results.csv", index=False)
        (folder / "table.md").write_text(table(results))
        print(table(results))


def named(found: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame:
    """The table of the runs, with the names of the networks and the seconds of a whole run."""
    names = {"none" if graph is None else graph.key: name for name, graph in NETWORKS.items()}
    seconds = epochs.groupby("run")["seconds"].sum()
    network = pd.Categorical(found["graph_key"].map(names), list(NETWORKS))
    return found.assign(network=network, seconds=found["run"].map(seconds))


def table(results: pd.DataFrame) -> str:
    """Test errors in percent, and those minus the plain network's, paired by seed."""
    errors = results.pivot_table(
        index="seed", columns="network", values="test_error", observed=True
    )
    lines = [
        "| network | width | FLOPs | parameters | error | minus plain | n | s a run |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, rows in results.groupby("network", observed=True):
        first, error = rows.iloc[0], errors[name]
        gap = error - errors["plain"]
        difference = "" if name == "plain" else f"{gap.mean():.2f} +- {gap.std():.2f}"
        lines.append(
            f"| {name} | {first['width']} | {first['flops']:,} | {first['parameters']:,} | "
            f"{error.mean():.2f} +- {error.std():.2f} | {difference} | {len(rows)} | "
            f"{rows['seconds'].mean():.0f} |"
        )
    return "\n".join(lines) + "\n"


recipe = Comparison()
quick = replace(
    recipe,
    out="runs/resnet20_fashion_mnist-try",
    data="digits",
    train_size=256,
    epochs=1,
    seeds=2,
)

if __name__ == "__main__":
    run_recipe(recipe, quick=quick)
