"""Do errors depend on the measures at all? A permutation test."""

from __future__ import annotations

import numpy as np
from scipy import stats
from sklearn.kernel_approximation import Nystroem
from threadpoolctl import threadpool_limits

from relmp.analysis.results import Array

PERMUTATIONS = 1999
"""How many permutations a test draws; its smallest p-value is one over one more."""

_LENGTH = 0.7  # of the kernel, in deviations of a measure
_FEATURES = 200  # of the kernel's approximation; exact for as many graphs or fewer


def dependence(x: Array, y: Array, *, seed: int = 0) -> float:
    """p-value of the hypothesis that ``y`` has nothing to do with the columns of ``x``.

    The statistic is the score test of a Gaussian process: how much of ``y`` varies smoothly
    over ``x``. It sees slopes, bowls and basins alike. Under the hypothesis the graphs' errors
    may change places, so the test is exact whatever the errors' distribution.

    Args:
        x: Measures of the graphs, ``[graphs, measures]``.
        y: Their mean errors.
        seed: Draws the permutations.

    Reference:
        Liu, Lin, Ghosh, *Semiparametric Regression of Multidimensional Genetic Pathway Data*,
        Biometrics 63, 2007 (the score test); Gretton et al., *A Kernel Statistical Test of
        Independence*, NeurIPS 2007 (the same statistic, under permutation).
    """
    spread = x.std(axis=0)
    kernel = Nystroem(
        gamma=1 / (2 * _LENGTH**2), n_components=min(len(x), _FEATURES), random_state=seed
    )
    # Threads cost more than they gain on matrices this small, most of all on a busy machine.
    with threadpool_limits(1):
        features = kernel.fit_transform((x - x.mean(axis=0)) / np.where(spread > 0, spread, 1))
    features = features - features.mean(axis=0)

    def smooth_part(shuffled: Array, axis: int = -1) -> Array:
        return np.asarray(((shuffled @ features) ** 2).sum(axis=-1))

    test = stats.permutation_test(
        (y - y.mean(),),
        smooth_part,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        batch=200,
        alternative="greater",
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)
