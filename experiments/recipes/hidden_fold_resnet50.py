"""HFN-ResNet-50 as published, beside the folded, the scored and the plain network.

    python experiments/recipes/hidden_fold_resnet50.py --data-folder FOLDER [--task imagenet]

All layers scored with k = .3, stages 3 and 4 folded with batch norms of each iteration's own. On
CIFAR-100: 200 epochs, batch 128, lr 0.1, weight decay 5e-4, a tenth held out for validation; on
ImageNet: 100 epochs, batch 256, lr 0.256, momentum 0.875, weight decay 2^-15, label smoothing 0.1,
5 epochs of warm-up. Plain momentum, half a cosine; weight decay acts on scores and norms as well.

Expect about 1.95 MB on CIFAR-100 and 2.18 MB on ImageNet in the compressed file, where the plain
network has 94.8 and 102.2 MB (García-Arias et al., BMVC 2021). Two things differ from the authors'
code: it sets the learning rate after an epoch, so that its epoch e has the rate of e - 1 here, and
it augments validation images and reports the best validation epoch, here it is the last one.

Device: one GPU with 80 GB. A run on ImageNet about 15 hours, on CIFAR-100 half an hour (both
estimated from FLOPs, as in resnet50_imagenet.py, not measured). Writes
`runs/hidden_fold_resnet50/` and, for every run of scored weights, `compressed.relmp` in its folder.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

import relmp
from relmp.cli import run_recipe

SCORED = {"message": "scored(keep=0.3)", "scored": "all"}
FOLD = {"fold": (3, 4)}
NETWORKS: dict[str, dict[str, Any]] = {
    "hidden-fold": {**SCORED, **FOLD},
    "scored": SCORED,
    "folded": FOLD,
    "plain": {},
}
TASKS: dict[str, dict[str, Any]] = {
    "cifar100": {
        "stem": "cifar",
        "data": {"name": "cifar100", "validation": 0.1},
        "training": {"epochs": 200, "batch_size": 128, "lr": 0.1, "weight_decay": 5e-4},
        "loop": {},
    },
    "imagenet": {
        "stem": "imagenet",
        "data": {"name": "imagenet"},
        "training": {
            "epochs": 100, "batch_size": 256, "lr": 0.256, "momentum": 0.875,
            "weight_decay": 2**-15,
        },
        "loop": {"label_smoothing": 0.1, "warmup_epochs": 5},
    },
    "noise": {
        "stem": "cifar",
        "data": {"name": "noise", "train_size": 32},
        "training": {"epochs": 1, "batch_size": 16},
        "loop": {},
    },
}  # fmt: skip


@dataclass(frozen=True)
class Study:
    """Train the networks, compress what is scored, and tell errors beside bytes.

    Args:
        out: Folder of the study; a run that it holds is not done again.
        task: cifar100 or imagenet; noise to try it.
        networks: Which of hidden-fold, scored, folded and plain.
        seeds: How many.
        width: Channels of the first stage, instead of 256.
        data_folder: Where the files of the data lie.
        download: Fetch missing files.
        device: Where to train; a GPU where there is one by default.
        workers: Processes.
    """

    out: str = "runs/hidden_fold_resnet50"
    task: Literal["cifar100", "imagenet", "noise"] = "cifar100"
    networks: tuple[str, ...] = tuple(NETWORKS)
    seeds: int = 5
    width: int | None = None
    data_folder: str = "data"
    download: bool = False
    device: str | None = None
    workers: int | None = None

    def plan(self) -> dict[str, list[relmp.RunConfig]]:
        """The runs of every network, one a seed."""
        task, plans = TASKS[self.task], {}
        width = {} if self.width is None else {"width": self.width}
        for name in self.networks:
            options = {"stem": task["stem"], **NETWORKS[name], **width}
            base = relmp.RunConfig(
                relmp.ModelConfig("resnet50", options=options),
                relmp.DataConfig(**task["data"]),
                relmp.TrainConfig(
                    **task["training"], loop=relmp.LoopOptions(nesterov=False, **task["loop"])
                ),
            )
            plans[name] = relmp.grid(
                base, data_folder=self.data_folder, download=self.download, seed=range(self.seeds)
            )
        return plans

    def run(self) -> None:
        plans, folder = self.plan(), Path(self.out)
        runs = [run for plan in plans.values() for run in plan]
        found = relmp.run_plan(
            runs, folder, data_folder=self.data_folder, device=self.device, workers=self.workers
        ).set_index("run")
        rows = []
        for name, plan in plans.items():
            for run in plan:
                model = relmp.load_run(folder / run.key, device="cpu").model
                if "message" in NETWORKS[name]:
                    relmp.save_compressed(model, folder / run.key / "compressed.relmp")
                rows.append({
                    "network": name, "seed": run.model.seed,
                    "error": found.loc[run.key, "test_error"],
                    "MB": relmp.compressed_bytes(model) / 1e6,
                })  # fmt: skip
        table = pd.DataFrame(rows).groupby("network", sort=False)
        text = table.agg({"error": ["mean", "std", "count"], "MB": "first"}).round(4).to_string()
        (folder / "summary.txt").write_text(text + "\n")
        print(text)


recipe = Study()
quick = replace(recipe, out="runs/hidden_fold_resnet50-try", task="noise", seeds=1, width=32)

if __name__ == "__main__":
    run_recipe(recipe, quick=quick)
