"""The paper's ResNet-34 on ImageNet: 52 graphs of 64 nodes and the complete graph, 3 seeds.

    python experiments/recipes/resnet34_imagenet.py --data-folder FOLDER

100 epochs, batch 256, lr 0.1, weight decay 1e-4, at the FLOPs of the complete graph. Expect 25.73
+- 0.07 % top-1 error for the complete graph and 24.57 +- 0.10 % for the best graph (You et al.,
ICML 2020, table 2; chosen and reported on the same seeds, so the honest gain is smaller).

Device: one GPU with 80 GB and 12 CPU cores. A run takes about 10 hours for a dense graph, 40 for
the sparsest (estimated from the FLOPs of the dense execution, not measured). 159 runs, which
machines that share the folder divide among themselves. Writes `runs/resnet34_imagenet/`.
"""

from relmp.cli import Sweep, run_recipe
from relmp.training import LoopOptions

recipe = Sweep(
    out="runs/resnet34_imagenet",
    model="resnet34",
    seeds=3,
    data="imagenet",
    epochs=100,
    batch_size=256,
    weight_decay=1e-4,
    loop=LoopOptions(precise_bn=32),
)

if __name__ == "__main__":
    run_recipe(recipe, quick=recipe.on_noise())
