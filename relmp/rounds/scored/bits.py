"""Random signs that are the same on every machine, device and version."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

SEEDS = 2**32
"""So many seeds there are: one takes 4 bytes of a file."""


def random_signs(seed: int, stream: int, count: int) -> Tensor:
    """``[count]``: +1 and -1, from the raw bits of Philox 4x64-10 with the key (seed, stream).

    torch's generator is not promised to draw the same numbers in another version, and draws others
    on a GPU. Bit i of the words, the lowest of each first, is 1 where the sign is -1.

    Args:
        seed: Of the model.
        stream: Number of the layer.
        count: How many.

    Reference:
        Salmon et al., *Parallel Random Numbers: As Easy as 1, 2, 3*, SC 2011.
    """
    bits = np.random.Philox(key=np.array([seed, stream], dtype=np.uint64))
    words = np.atleast_1d(bits.random_raw(-(-count // 64))).astype("<u8")
    ones = np.unpackbits(words.view(np.uint8), count=count, bitorder="little")
    return torch.from_numpy(1.0 - 2.0 * ones.astype(np.float32))
