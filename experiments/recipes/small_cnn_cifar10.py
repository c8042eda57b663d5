"""The small 8-layer CNN on CIFAR-10: 52 graphs of 64 nodes and the complete graph, 5 seeds.

    python experiments/recipes/small_cnn_cifar10.py --download

200 epochs at a budget of 48,957,952 FLOPs (stages of 64, 128 and 256 channels). Not a task of
the paper, and no number is published; plain networks of this size are at 7 to 10 % test error.

Device: one GPU, about 1 hour a run (estimated, not measured); 265 runs, and a stopped sweep goes
on where it was. Writes `runs/small_cnn_cifar10/`.
"""

from dataclasses import replace

from relmp.cli import Sweep, run_recipe

recipe = Sweep(out="runs/small_cnn_cifar10", model="small_cnn", data="cifar10", epochs=200, seeds=5)
quick = replace(
    recipe, out="runs/small_cnn_cifar10-try", data="digits", nodes=16, size=48, width=16,
    epochs=1, seeds=2, train_size=64,
)  # fmt: skip

if __name__ == "__main__":
    run_recipe(recipe, quick=quick)
