"""The paper's 449 graphs in twenty minutes: the main job with five seeds on its middle set.

    python experiments/recipes/mlp_mnist1d.py

Settings are those of `quick.py`: MNIST-1D, budget of width 128, the paper's initial weights,
learning rate 0.1, 15 epochs; what its order rests on is said there.

Device: two CPU cores, twenty minutes. A stopped sweep goes on where it was. Writes
`runs/mnist1d-449/`.
"""

from __future__ import annotations

from dataclasses import replace

from relmp.cli import Sweep, run_recipe
from relmp.training.config import LoopOptions

recipe = Sweep(
    out="runs/mnist1d-449",
    data="mnist1d",
    width=128,
    size=449,
    epochs=15,
    seeds=5,
    loop=LoopOptions(evaluate_every=5),
)
quick = replace(recipe, out="runs/mnist1d-449-try", size=52, epochs=1, seeds=2, train_size=300)

if __name__ == "__main__":
    run_recipe(recipe, quick=quick)
