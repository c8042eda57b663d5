"""When is there a sweet spot? Weights, learning rates, epochs and training sets on MNIST-1D.

    python experiments/recipes/when_is_there_a_sweet_spot.py
    python experiments/recipes/when_is_there_a_sweet_spot.py --fashion-folder FOLDER_OF_IDX_FILES

Graphs of 64 nodes spread over (C, L) and the complete graph, all at the multiply-adds of the
complete graph at width 128: 20 graphs where it decides (rates, fan_in), 12 elsewhere. A tenth of
the training signals is held out, so that each graph's own learning rate can be chosen on it and
judged on other seeds. The parts, each in a folder of its own:

    rates    {paper, degree} weights x learning rate {0.1, 0.03, 0.01} x 5 seeds, 15 epochs
    fan_in   PyTorch's weights, learning rate 0.1, 5 seeds, 15 epochs
    small    1,000 signals to train, {paper, degree} weights, 3 seeds, 15 epochs
    large    40,000 signals to train, {paper, degree} weights, 2 seeds, 15 epochs
    long     {paper, degree} weights, learning rate 0.1, 3 seeds, 60 epochs
    fashion  degree weights, 10,000 images of Fashion-MNIST, 3 seeds, 8 epochs (where its files are)

Device: two CPU cores, about 45 minutes, 8 of them for Fashion-MNIST. A stopped study goes on where
it was. Writes `runs/when_is_there_a_sweet_spot/`: the runs, table.md, mechanism.md, maps.png; the
tables are in experiments/README.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import torch

import relmp
from relmp.analysis.controls.matching import fit_nested
from relmp.analysis.controls.selection import choose_and_judge
from relmp.analysis.results import Results
from relmp.cli import run_recipe

PARTS = ("rates", "fan_in", "small", "large", "long", "fashion")


@dataclass(frozen=True)
class Study:
    """Sweep graphs under several settings and write down what each of them says.

    Args:
        out: Folder of the study.
        parts: Which parts to run and write down.
        graphs: How many graphs, besides the complete one, in the parts rates and fan_in.
        fewer: How many in the others.
        width: Width of the complete-graph model, whose cost every model is matched to.
        epochs: Of all parts but two: long has four times as many, fashion 8.
        fashion_folder: Where the idx files of Fashion-MNIST lie; left out without.
        workers: Processes, each with one thread.
    """

    out: str = "runs/when_is_there_a_sweet_spot"
    parts: tuple[str, ...] = PARTS
    graphs: int = 20
    fewer: int = 12
    width: int = 128
    epochs: int = 15
    seeds: int = 5
    train_size: int | None = None
    fashion_folder: str | None = None
    workers: int = 2

    def run(self) -> None:
        folder, rows = Path(self.out), []
        for part, plan, data_folder in self.plans():
            print(f"{part}: {len(plan)} runs", flush=True)
            table = relmp.run_plan(
                plan, folder / part, data_folder=data_folder, workers=self.workers,
                budget=self.width,
            )  # fmt: skip
            rows += [{"part": part, **row} for row in cells(table)]
            (folder / "table.md").write_text(markdown(rows))
        (folder / "mechanism.md").write_text(markdown(list(mechanism(self))))
        plot(folder).savefig(folder / "maps.png", dpi=150)
        print(markdown(rows))
        print((folder / "mechanism.md").read_text())

    def plans(self) -> Iterator[tuple[str, list[relmp.RunConfig], str]]:
        """The name, the runs and the data folder of every part."""
        base = relmp.RunConfig(
            relmp.ModelConfig("mlp"),
            relmp.DataConfig(name="mnist1d", validation=0.1, train_size=self.train_size),
            relmp.TrainConfig(epochs=self.epochs),
        )
        few = max(1, self.seeds - 2)
        both = {"model.init": ["paper", "degree"]}
        settings: dict[str, dict[str, Any]] = {
            "rates": {**both, "training.lr": [0.1, 0.03, 0.01], "seed": range(self.seeds)},
            "fan_in": {"model.init": ["fan_in"], "seed": range(self.seeds)},
            "long": {**both, "training.epochs": [4 * self.epochs], "seed": range(few)},
            "small": {**both, "data.train_size": [min(1000, self.train_size or 1000)]},
            "large": {**both, "data.name": ["mnist1d_large"], "seed": range(max(1, few - 1))},
            "fashion": {"model.init": ["degree"], "data.name": ["fashion_mnist"]},
        }
        settings["small"]["seed"] = settings["fashion"]["seed"] = range(few)
        settings["fashion"] |= {"data.train_size": [10_000], "training.epochs": [8]}
        for part in self.parts:
            if part == "fashion" and self.fashion_folder is None:
                continue
            data_folder = self.fashion_folder or "data"
            count = self.graphs if part in ("rates", "fan_in") else self.fewer
            chosen = [relmp.create_graph("complete", n=64), *relmp.sample_graphs(64, count)]
            axes = {"model.graph": chosen, **settings[part]}
            yield (
                part,
                relmp.grid(base, budget=self.width, data_folder=data_folder, **axes),
                data_folder,
            )


def cells(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """What every setting says, and where several rates were tried, each graph at its own."""
    axes = [axis for axis in ("model.init", "training.lr") if axis in table.columns]
    for values, rows in table.groupby(axes) if axes else [((), table)]:
        named = dict(zip(axes, values if isinstance(values, tuple) else (values,), strict=True))
        yield {**shown(named), **numbers(rows)}
    if "training.lr" in axes:
        for init, rows in table.groupby("model.init"):
            own = relmp.best_over(rows, "training.lr")
            yield {**shown({"model.init": init, "training.lr": "own"}), **numbers(own)}


def numbers(table: pd.DataFrame) -> dict[str, Any]:
    """Complete graph, the others, the honest gain, and what explains the errors."""
    results = Results.of(table)
    choice, nested = choose_and_judge(results), fit_nested(results)
    sparse, complete = results.sparse, results.complete
    found = {
        "runs": len(results.runs),
        "complete": f"{complete.mean():.2f} ± {complete.std():.2f}",
        "others": f"{sparse['mean'].mean():.2f}",
        "lowest": f"{sparse['mean'].min():.2f}",
        "better": f"{100 * (sparse['mean'] < complete.mean()).mean():.0f} %",
    }
    if choice is not None:
        low, high = choice.interval
        found["gain, judged on other seeds"] = f"{choice.gain:.2f} ({low:.2f} to {high:.2f})"
    if nested is not None:
        found["R2 of density"] = f"{nested.r2_control:.2f}"
        found["R2 of (C, L)"] = f"{nested.r2_measures:.2f}"
        found["(C, L) beyond density"] = f"{nested.partial_r2:.2f} (p = {nested.p_value:.3f})"
    training = results.runs.groupby("graph_key")["train_error"].mean()
    found["training error: complete, lowest"] = (
        f"{training[results.graphs.index[results.graphs['complete']]].mean():.2f}, "
        f"{training.min():.2f}"
    )
    return found


def shown(named: dict[str, Any]) -> dict[str, Any]:
    return {"weights": named.get("model.init", ""), "rate": named.get("training.lr", 0.1)}


def mechanism(study: Study) -> Iterator[dict[str, Any]]:
    r"""How far a step moves the weights of a round, :math:`|\Delta W| / |W|`, early and late."""
    data = relmp.load_data("mnist1d", train_size=study.train_size)
    graphs = relmp.sample_graphs(64, study.graphs)
    order = sorted(graphs, key=lambda graph: graph.density)
    picked = [relmp.create_graph("complete", n=64), order[-1], order[len(order) // 2], order[0]]
    for init in ("paper", "degree"):
        for graph in picked:
            model = relmp.match_flops(
                "mlp", graph=graph, width=study.width, input_shape=data.input_shape, init=init
            )
            steps = relative_steps(model, data, study.epochs)
            tenth = max(1, len(steps) // 10)
            early, late = steps[:tenth].mean(0), steps[-2 * tenth : -tenth].mean(0)
            yield {
                "weights": init,
                "density": f"{graph.density:.2f}",
                **{f"round {i + 1}, first tenth": f"{x:.1e}" for i, x in enumerate(early)},
                **{f"round {i + 1}, ninth tenth": f"{x:.1e}" for i, x in enumerate(late)},
            }


def relative_steps(model: Any, data: Any, epochs: int) -> np.ndarray[Any, Any]:
    """``[steps, rounds]``: relative change of the weights of every round in every step."""
    torch.set_num_threads(1)
    weights = [layer.message_module.weight for layer in model.rounds]
    before = [weight.detach().clone() for weight in weights]
    moved: list[list[float]] = []

    def watch(done: int, total: int) -> None:
        if done <= len(moved):
            return  # an evaluation
        row = []
        for weight, last in zip(weights, before, strict=True):
            row.append(float((weight.detach() - last).norm() / last.norm()))
            last.copy_(weight.detach())
        moved.append(row)

    relmp.train(model, data, epochs=epochs, seed=0, device="cpu", on_step=watch)
    return np.array(moved)


def markdown(rows: list[dict[str, Any]]) -> str:
    """Rows of the same columns as a table."""
    if not rows:
        return ""
    head = list(rows[0])
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(str(row.get(name, '')) for name in head)} |" for row in rows]
    return "\n".join(lines) + "\n"


def plot(folder: Path) -> Any:
    """Maps of the test error above those of the training error, a column a setting."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels: list[tuple[str, pd.DataFrame]] = []
    for part, axis, values in (
        ("rates", "model.init", ("paper", "degree")),
        ("large", "model.init", ("paper", "degree")),
    ):
        if not (folder / part).is_dir():
            continue
        table = relmp.collect(folder / part)
        for value in values:
            rows = table[table[axis] == value]
            if "training.lr" in rows:
                rows = rows[rows["training.lr"] == 0.1]
            label = "40,000 signals" if part == "large" else "3,600 signals"
            panels.append((f"{label}, {value} weights", rows))
    figure, axes = plt.subplots(
        2, len(panels), figsize=(3.4 * len(panels), 6.2), layout="constrained", sharex=True,
        sharey=True, squeeze=False,
    )  # fmt: skip
    for column, (title, rows) in enumerate(panels):
        for row, error in enumerate(("test_error", "train_error")):
            means = rows.groupby("graph_key")[["clustering", "path_length", error]].mean()
            complete = rows.loc[rows["density"] == 1, error].mean()
            gain = means[error] - complete
            bound = max(0.1, float(gain.abs().max()))
            points = axes[row, column].scatter(
                means["clustering"], means["path_length"], c=gain, cmap="RdBu_r", vmin=-bound,
                vmax=bound, edgecolors="black", linewidths=0.4, s=60,
            )  # fmt: skip
            what = "test" if row == 0 else "training"
            figure.colorbar(points, ax=axes[row, column], label=f"{what} error - complete, points")
            if row == 0:
                axes[row, column].set_title(title)
            else:
                axes[row, column].set_xlabel("clustering C")
        axes[0, 0].set_ylabel("path length L")
        axes[1, 0].set_ylabel("path length L")
    return figure


recipe = Study()
quick = replace(
    recipe,
    out="runs/when_is_there_a_sweet_spot-try",
    parts=("rates", "fan_in", "small", "long"),
    graphs=11,
    fewer=11,
    epochs=1,
    seeds=3,
    train_size=300,
)

if __name__ == "__main__":
    run_recipe(recipe, quick=quick)
