"""Folders of pictures whose colour tells the class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"blue": (40, 60, 200), "green": (40, 180, 60), "red": (210, 50, 40)}


def write_pictures(folder: Path, each: int, *, seed: int = 0) -> None:
    """``each`` noisy pictures of every colour, all of different sizes, as PNG and JPEG."""
    rng = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(each):
            height, width = rng.integers(20, 40, 2)
            noise = rng.integers(-40, 40, (height, width, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            suffix = "png" if number % 2 else "jpg"
            Image.fromarray(pixels).save(folder / name / f"{number:03}.{suffix}")
