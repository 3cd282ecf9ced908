"""Test of whether two systems differ, for few locations: sign flips by location.

If two systems are interchangeable at every location, each location's difference is as likely to
have the opposite sign, whatever its size and distribution. The p-value is the share of the sign
patterns whose mean difference is at least as far from 0 as the observed one: exact, for any number
of locations (Fisher 1935, "The design of experiments", section 21). All patterns are enumerated if
at most `EXACT` locations differ; otherwise as many as there are resamples are drawn, and the
observed pattern counts as one of them.

It is not a test of equal means: two systems whose differences are small at most locations, large
with the opposite sign at a few, and 0 in the mean are not interchangeable, and are rejected more
often than the level says (`benchmarks/interval_coverage.py` prints how often).
"""

import numpy as np
from numpy.typing import NDArray

from avsc.train.evaluate.bootstrap import AT_ONCE, Resampling

EXACT = 16
SAME = 1e-12
"""Relative difference of two sums that counts as rounding."""


def p_value(differences: NDArray[np.float64], resampling: Resampling, key: int = 0) -> float:
    """Return the two-sided p-value of "the systems are interchangeable at every location".

    Args:
        differences: sum of each location's differences, [locations].
        resampling: number of patterns drawn where they are not enumerated, and seed.
        key: of the draws, in addition to the seed.
    """
    nonzero = differences[differences != 0]
    least = abs(nonzero.sum()) - SAME * np.abs(nonzero).sum()
    if len(nonzero) <= EXACT:
        sums = np.abs(patterns(len(nonzero)) @ nonzero)
        return float((sums >= least).mean())
    draw = np.random.default_rng((resampling.seed, key))
    step, count = max(1, AT_ONCE // len(nonzero)), 1
    for start in range(0, resampling.resamples, step):
        flips = min(step, resampling.resamples - start)
        signs = 2.0 * draw.integers(0, 2, (flips, len(nonzero))) - 1
        count += int((np.abs(signs @ nonzero) >= least).sum())
    return count / (resampling.resamples + 1)


def patterns(number: int) -> NDArray[np.float64]:
    """Return all patterns of signs, up to the sign of the whole, [2^(number - 1), number].

    >>> patterns(2)
    array([[ 1.,  1.],
           [-1.,  1.]])
    """
    bits = np.arange(2 ** max(0, number - 1))[:, None] >> np.arange(number) & 1
    return np.where(bits, -1.0, 1.0)
