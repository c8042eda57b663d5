"""A tracker of your own: copy this file, change where the records of a run go.

    python experiments/extensions/own_tracker.py

Here: Weights & Biases where it is installed (pip install wandb), and a line on the screen where it
is not. Every run of a sweep makes one by its name, "own_tracker:Tracker". One CPU core, seconds.
"""

import importlib.util
from pathlib import Path

import torch

import relmp


class Tracker:
    """Is made by every run, told of every record, and closed at the end.

    Args:
        folder: Folder of the run; its name is the run's key in a sweep.
        run: Settings as plain values: "training", "data", in a sweep also "model".
    """

    def __init__(self, folder, run):
        self.name, self.wandb = Path(folder).name, None
        if importlib.util.find_spec("wandb"):
            import wandb

            self.wandb = wandb.init(
                project="relmp", id=self.name, resume="allow", dir=str(folder), mode="offline",
                config={"training": run["training"], "data": run["data"]},
            )  # fmt: skip

    def __call__(self, record):
        if self.wandb is not None:
            self.wandb.log(record, step=record["epoch"])
        else:
            error = f"{record['test_error']:.2f} %"
            print(f"{self.name} epoch {record['epoch']}: test error {error}", flush=True)

    def close(self):
        if self.wandb is not None:
            self.wandb.finish()


def main(out="runs/tracked", epochs=3):
    graph = relmp.create_graph("ws_flex", n=16, k=6, p=0.2, seed=0)
    return relmp.run_sweep(
        "mlp", graphs=[graph], seeds=1, data="digits", width=64, epochs=epochs, out=out,
        track="own_tracker:Tracker", show_progress=False,
    )  # fmt: skip


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
