"""Are matched width, parameters and FLOPs those of the published results, for every graph?

    python experiments/published_widths.py --folder FOLDER

FOLDER holds the results that the authors published (`mlp_cifar10`, `resnet34_imagenet_seed1`).
Every graph is generated from its settings and the model is matched to the complete graph's FLOPs;
its first width, its parameters (millions) and FLOPs (thousands of millions) are compared to the
printed digits. Nothing is built. Device: one CPU core, about 2 minutes; `--quick` takes every
hundredth graph. Expect 3943 of 3943 graphs for the MLP and 53 of 53 for ResNet-34.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from relmp.cli import run_recipe


@dataclass(frozen=True)
class Check:
    """Compare matched models with the published ones.

    Args:
        folder: Folder of the published results.
        every: Take one graph in so many.
    """

    folder: str = "published_results"
    every: int = 1

    def run(self) -> None:
        from relmp.analysis.published import read_published
        from relmp.models import MODELS
        from relmp.models.budget import matched_options

        tasks = {"mlp_cifar10": ("mlp", 10), "resnet34_imagenet_seed1": ("resnet34", 1000)}
        for task, (name, classes) in tasks.items():
            published = read_published([Path(self.folder) / task])
            last = published.table[published.table["epoch"] == published.table["epoch"].max()]
            rows = last.drop_duplicates("graph_key").iloc[:: self.every]
            equal = dict.fromkeys(("width", "parameters", "flops"), 0)
            for row in rows.itertuples():
                graph = published.graphs[row.graph_key]
                found = matched_options(name, graph=graph, num_classes=classes)["width"]
                widths = (found,) if isinstance(found, int) else tuple(found)
                layers = MODELS[name].plan(widths, num_classes=classes).values()
                flops = sum(layer.flops(graph) for layer in layers)
                # Batch norm has two a channel after every layer but the last, which has a bias.
                parameters = sum(layer.weights(graph) + 2 * layer.out_channels for layer in layers)
                parameters -= classes
                equal["width"] += widths[0] == row.width
                equal["parameters"] += round(parameters / 1e6, 3) == round(row.parameters / 1e6, 3)
                equal["flops"] += round(flops / 1e9, 3) == round(row.flops / 1e9, 3)
            told = ", ".join(f"{key} {count} of {len(rows)}" for key, count in equal.items())
            print(f"{name}: equal to the published {told}", flush=True)


recipe = Check()
quick = replace(recipe, every=100)

if __name__ == "__main__":
    run_recipe(recipe, quick=quick)
