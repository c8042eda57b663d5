"""The whole pipeline in two minutes: 52 graphs and the complete one on digits.

    python experiments/recipes/digits.py

Device: two CPU cores, about two minutes. Every graph ends at 1 to 3 % error: on digits the
machinery can be seen at work, differences between graphs cannot. Writes `runs/digits/`.
"""

from dataclasses import replace

from relmp.cli import Sweep, run_recipe

recipe = Sweep(out="runs/digits", data="digits", width=128, epochs=12, seeds=4)
quick = replace(recipe, out="runs/digits-try", epochs=1, seeds=2, train_size=300)

if __name__ == "__main__":
    run_recipe(recipe, quick=quick)
