"""ResNet-20 on Fashion-MNIST: a sweet-spot graph of 16 nodes beside the complete graph.

    python experiments/recipes/resnet20_fashion_mnist.py --data-folder FOLDER

3,000 training and 2,000 test images, 3 epochs, both graphs at the cost of the ordinary ResNet-20
and with the same 3 seeds. This shows convolutional rounds in training, not which graph is better:
after so few steps expect 30 to 50 % test error, and read the difference beside its deviation.
What was measured is in experiments/README.md.

Device: any; about 10 minutes of one CPU core. The same command goes on where it was stopped.
Writes `runs/resnet20_fashion_mnist/`.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from relmp.cli import run_recipe


@dataclass(frozen=True)
class Comparison:
    """Train one graph and the complete graph with the same seeds at equal cost.

    Args:
        out: Folder of the runs.
        data_folder: Where the files of Fashion-MNIST lie.
        download: Fetch missing files.
        train_size: Train on so many images only.
        test_size: Test on the first so many images only.
        epochs: Passes over the training images.
        seeds: How many seeds.
        lr: Learning rate of the first epoch.
        batch_size: Images a step.
        device: cpu, cuda, ...; a GPU where there is one by default.
    """

    out: str = "runs/resnet20_fashion_mnist"
    data_folder: str = "data"
    download: bool = False
    train_size: int = 3000
    test_size: int = 2000
    epochs: int = 3
    seeds: int = 3
    lr: float = 0.1
    batch_size: int = 64
    device: str | None = None

    def run(self) -> None:
        import pandas as pd

        import relmp

        data = relmp.load_data(
            "fashion_mnist",
            folder=self.data_folder,
            download=self.download,
            train_size=self.train_size,
        )
        test = slice(self.test_size)
        data = replace(data, test_images=data.test_images[test], test_labels=data.test_labels[test])
        sweet = relmp.create_graph("ws_flex", n=16, k=4.177, p=0.3008, seed=11)
        rows = []
        for seed in range(self.seeds):
            for graph in (relmp.create_graph("complete", n=16), sweet):
                model = relmp.match_flops(
                    "resnet20", graph=graph, input_shape=data.input_shape, seed=seed
                )
                history = relmp.train(
                    model,
                    data,
                    epochs=self.epochs,
                    batch_size=self.batch_size,
                    lr=self.lr,
                    seed=seed,
                    device=self.device,
                    out=Path(self.out) / f"{graph.key}-{seed}",
                )
                rows.append(
                    {
                        "graph": "complete" if graph.is_complete else "sweet spot",
                        "widths": model.widths,
                        "flops": relmp.count_flops(model, data.input_shape),
                        "parameters": relmp.count_parameters(model),
                        "seed": seed,
                        "test_error": float(history["test_error"].iloc[-1]),
                    }
                )
                print(rows[-1], flush=True)
        table = pd.DataFrame(rows)
        print(table.groupby("graph")["test_error"].agg(["mean", "std", "count"]).to_string())
        errors = table.pivot_table(index="seed", columns="graph", values="test_error")
        gain = errors["complete"] - errors["sweet spot"]
        print(f"Complete minus sweet spot: {gain.mean():.2f} +- {gain.std():.2f} points.")


recipe = Comparison()
quick = replace(
    recipe,
    out="runs/resnet20_fashion_mnist-try",
    train_size=256,
    test_size=200,
    epochs=1,
    seeds=1,
)

if __name__ == "__main__":
    run_recipe(recipe, quick=quick)
