"""ResNet-20 on CIFAR-10: 48 graphs of 16 nodes and the complete graph, 5 seeds.

    python experiments/recipes/resnet20_cifar10.py --download

200 epochs at a budget of 40,813,184 FLOPs (first stage 16 channels wide). Not a task of the
paper. Expect the complete graph at 8 to 9 % test error (He et al., CVPR 2016: 8.75 %); which
graphs are better is what this asks.

Device: one GPU, about 1 hour a run (estimated, not measured); 245 runs, and a stopped sweep goes
on where it was. Writes `runs/resnet20_cifar10/`.
"""

from dataclasses import replace

from relmp.cli import Sweep, run_recipe

recipe = Sweep(
    out="runs/resnet20_cifar10", model="resnet20", nodes=16, size=48, data="cifar10", epochs=200,
    seeds=5,
)  # fmt: skip
quick = replace(
    recipe, out="runs/resnet20_cifar10-try", data="digits", epochs=1, seeds=2, train_size=64
)

if __name__ == "__main__":
    run_recipe(recipe, quick=quick)
