"""The paper's ResNet-34-sep on ImageNet: 52 graphs of 64 nodes and the complete graph, 3 seeds.

    python experiments/recipes/resnet34_sep_imagenet.py --folder FOLDER

100 epochs, batch 256, lr 0.1, weight decay 1e-4, at the FLOPs of the complete graph. Expect
28.39 +- 0.05 % top-1 error for the complete graph and 27.17 +- 0.18 % for the best graph (You et
al., ICML 2020, table 2; chosen and reported on the same seeds, so the honest gain is smaller).

Device: one GPU with 80 GB and 12 CPU cores. A run takes about 10 to 20 hours (estimated from the
FLOPs of the dense execution, not measured). 159 runs, which machines share by `--first` and
`--graphs`. Writes `runs/resnet34_sep_imagenet/`.
"""

from imagenet import ImageNet

from relmp.cli import run_recipe

recipe = ImageNet(model="resnet34_sep", out="runs/resnet34_sep_imagenet")

if __name__ == "__main__":
    run_recipe(recipe, quick=recipe.shrunk())
