"""The paper's 5-layer MLP on CIFAR-10: 52 graphs of 64 nodes and the complete graph, 5 seeds.

    python experiments/recipes/mlp_cifar10.py --download

200 epochs at a budget of 2,364,416 FLOPs (width 512). Expect the complete graph at 33.3 +- 0.4 %
test error and the best graphs at 32 to 32.5 % (You et al., ICML 2020, table 2: 33.34 +- 0.36
and 32.05 +- 0.14; chosen and reported on different seeds, the published runs give 32.5).

Device: any. 265 runs; a run takes 1 hour (dense graphs) to 3 hours (the sparsest, which are the
widest) on one core of an AMD EPYC, some 200 hours on two, so this is a job for a GPU or a larger
machine: `--workers` spreads it, and a stopped sweep goes on where it was. Writes
`runs/mlp_cifar10/`.
"""

from dataclasses import replace

from relmp.cli import Sweep, run_recipe

recipe = Sweep(out="runs/mlp_cifar10", data="cifar10", width=512, epochs=200, seeds=5)
quick = replace(
    recipe, out="runs/mlp_cifar10-try", nodes=16, size=48, epochs=1, seeds=2, train_size=256
)

if __name__ == "__main__":
    run_recipe(recipe, quick=quick)
