"""What the ImageNet recipes share: images from folders, and the paper's training of one run.

Runs are written as those of a sweep, so `relmp.collect` and `relmp.load_run` read them, and the
same command goes on where it was stopped. The recipes beside this file say which network, how
long and what to expect.

The paper estimates the statistics of batch norm anew before it tests; this does not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ImageNet:
    """Train a network of the paper over graphs of its design space, at equal cost.

    Args:
        model: Name of the model.
        out: Folder of the runs.
        folder: Holds train/CLASS/*.JPEG and val/CLASS/*.JPEG.
        nodes: Nodes of the graphs.
        size: How many graphs the set has; 52 of 64 nodes or 48 of 16.
        first, graphs: Train so many graphs of the set, from this one on, after the complete
            graph. Several machines share a set by different numbers and one folder.
        seeds: How many seeds.
        epochs: Passes over the training images.
        batch_size: Images a step.
        lr: Learning rate of the first epoch; it falls to zero along half a cosine.
        momentum: Nesterov momentum.
        weight_decay: L2 penalty.
        image_size: Height and width of the images.
        loaders: Processes that read images.
        device: cuda or cpu; a GPU where there is one by default.
        random_images: Use so many random images instead of the folder, to try it.
    """

    model: str
    out: str
    folder: str = "imagenet"
    nodes: int = 64
    size: int = 52
    first: int = 0
    graphs: int = 52
    seeds: int = 3
    epochs: int = 100
    batch_size: int = 256
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    image_size: int = 224
    loaders: int = 12
    device: str | None = None
    random_images: int | None = None

    def shrunk(self) -> ImageNet:
        """The same in seconds: one graph, one seed and a few random images."""
        return replace(
            self, out=f"{self.out}-try", graphs=1, seeds=1, epochs=1, batch_size=4, image_size=64,
            loaders=0, random_images=8,
        )  # fmt: skip

    def run(self) -> None:
        import relmp
        from relmp.training.config import TrainConfig

        chosen = relmp.sample_graphs(self.nodes, self.size)[self.first : self.first + self.graphs]
        train, test, num_classes = self._data()
        for seed in range(self.seeds):
            for graph in [relmp.create_graph("complete", n=self.nodes), *chosen]:
                config = TrainConfig(
                    "imagenet", self.random_images, self.epochs, self.batch_size, self.lr,
                    self.momentum, self.weight_decay, seed,
                )  # fmt: skip
                try:
                    model = relmp.match_flops(
                        self.model, graph=graph, num_classes=num_classes, seed=seed,
                        input_shape=(3, self.image_size, self.image_size),
                    )  # fmt: skip
                except ValueError as narrow:
                    print(f"{graph.name} is left out. {narrow}")
                    continue
                try:
                    for record in self._train(model, config, train, test):
                        print(f"{graph.name}, seed {seed}: {record}", flush=True)
                except BlockingIOError as busy:
                    print(busy)  # another machine trains it
        print(relmp.collect(self.out).to_string())

    def _data(self) -> tuple[Any, Any, int]:
        from torchvision import datasets, transforms

        to_tensor = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
        cropped = [transforms.RandomResizedCrop(self.image_size),
                   transforms.RandomHorizontalFlip()]  # fmt: skip
        centred = [transforms.Resize(self.image_size * 8 // 7),
                   transforms.CenterCrop(self.image_size)]  # fmt: skip
        train, test = (transforms.Compose(part + to_tensor) for part in (cropped, centred))
        if self.random_images is not None:
            shape = (3, self.image_size, self.image_size)
            fake = [datasets.FakeData(self.random_images, shape, 10, t) for t in (train, test)]
            return fake[0], fake[1], 10
        folder = Path(self.folder)
        both = [datasets.ImageFolder(str(folder / part), t)
                for part, t in (("train", train), ("val", test))]  # fmt: skip
        return both[0], both[1], len(both[0].classes)

    def _train(self, model: Any, config: Any, train: Any, test: Any) -> Iterator[dict[str, Any]]:
        """Train one run in its folder, and yield the records of its epochs."""
        import torch

        import relmp
        from relmp.rounds import Round
        from relmp.training.config import pick_device
        from relmp.training.folder import CHECKPOINT_FORMAT, RunFolder, run_key
        from relmp.training.loop import make_optimizer
        from relmp.training.run import run_config

        device = pick_device(self.device)
        described = run_config(model.config, config)
        shape = (3, self.image_size, self.image_size)
        folder = RunFolder(Path(self.out) / run_key(described))
        cost = {"flops": relmp.count_flops(model, shape)}
        cost["parameters"] = relmp.count_parameters(model)
        folder.start(described | {"derived": cost})
        with folder.lock():
            model.to(device)
            optimizer = make_optimizer(model, config)
            checkpoint = folder.load()
            if checkpoint is None:
                layers = [layer for layer in model.modules() if isinstance(layer, Round)]
                checkpoint = {
                    "format": CHECKPOINT_FORMAT,
                    "records": [],
                    "executions": [layer.execution for layer in layers],
                    "data": {"mean": tuple(255 * m for m in MEAN),
                             "std": tuple(255 * s for s in STD), "input_shape": shape},
                }  # fmt: skip
            else:
                model.load_state_dict(checkpoint["model"])
                optimizer.load_state_dict(checkpoint["optimizer"])
            for epoch in range(len(checkpoint["records"]), config.epochs):
                began = time.perf_counter()
                for group in optimizer.param_groups:
                    group["lr"] = config.learning_rate(epoch)
                torch.manual_seed((config.seed + 1) * 1_000_003 + epoch)
                told = self._pass(model, train, device, optimizer)
                tested = self._pass(model, test, device, None)
                record = {
                    "epoch": epoch + 1, "lr": config.learning_rate(epoch),
                    "train_loss": told[0], "train_error": told[1],
                    "test_loss": tested[0], "test_error": tested[1],
                    "seconds": time.perf_counter() - began,
                }  # fmt: skip
                checkpoint["model"] = model.state_dict()
                checkpoint["optimizer"] = optimizer.state_dict()
                folder.save(checkpoint, record)
                yield record

    def _pass(self, model: Any, images: Any, device: Any, optimizer: Any) -> tuple[float, float]:
        """One pass over the images, with steps where there is an optimiser: loss and error."""
        import torch
        from torch.nn import functional as F

        loader = torch.utils.data.DataLoader(
            images, self.batch_size, shuffle=optimizer is not None, num_workers=self.loaders,
            drop_last=optimizer is not None, pin_memory=device.type == "cuda",
        )  # fmt: skip
        model.train(optimizer is not None)
        loss_sum = wrong = torch.zeros((), device=device)
        seen = 0
        for batch in loader:
            x, y = (part.to(device, non_blocking=True) for part in batch)
            with (
                torch.set_grad_enabled(optimizer is not None),
                torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"),
            ):
                scores = model(x)
                loss = F.cross_entropy(scores, y)
            if optimizer is not None:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            loss_sum = loss_sum + loss.detach() * len(y)
            wrong = wrong + (scores.detach().argmax(1) != y).sum()
            seen += len(y)
        if not torch.isfinite(loss_sum):
            raise FloatingPointError("The loss became infinite or NaN; lower lr.")
        return float(loss_sum) / seen, 100 * float(wrong) / seen
