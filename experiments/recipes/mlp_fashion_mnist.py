"""A sweep that can answer: the MLP on 10,000 images of Fashion-MNIST, 52 graphs, 6 seeds.

    python experiments/recipes/mlp_fashion_mnist.py --download
    python experiments/recipes/mlp_fashion_mnist.py --data-folder FOLDER_OF_THE_IDX_FILES

Device: two CPU cores, about 40 minutes. Expect the complete graph near 14 % test error and
differences between graphs of a few tenths of a point; the figures are in experiments/README.md.
Where there is no network, Debian's package dataset-fashion-mnist holds the idx files. Writes
`runs/fashion_mnist/`.
"""

from dataclasses import replace

from relmp.cli import Sweep, run_recipe

recipe = Sweep(
    out="runs/fashion_mnist",
    data="fashion_mnist",
    train_size=10_000,
    width=128,
    epochs=15,
    seeds=6,
)
quick = replace(recipe, out="runs/fashion_mnist-try", train_size=300, epochs=1, seeds=2)

if __name__ == "__main__":
    run_recipe(recipe, quick=quick)
