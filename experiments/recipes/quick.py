"""The whole pipeline in minutes, without a download: 52 graphs and the complete graph on digits.

    python experiments/recipes/quick.py            (or: make sweep)

Device: two CPU cores, about two minutes. Every graph ends at 1 to 3 % error: on digits the
machinery can be seen at work, the sweet spot cannot. Writes `runs/quick/`.
"""

from dataclasses import replace

from relmp.cli import Sweep, run_recipe

recipe = Sweep(out="runs/quick", data="digits", width=128, epochs=12, seeds=4)
quick = replace(recipe, out="runs/quick-try", epochs=1, seeds=2, train_size=300)

if __name__ == "__main__":
    run_recipe(recipe, quick=quick)
