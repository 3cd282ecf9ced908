"""Whether two systems differ somewhere with few locations: flipping signs by location.

If two systems are interchangeable at every location, each location's difference is as likely to
have the other sign, whatever its size and distribution. The p-value is the share of the sign
patterns whose mean difference is no nearer to 0 than the one found: exact, for any number of
locations (Fisher 1935, "The design of experiments", section 21). All patterns are enumerated where
at most `EXACT` locations differ; otherwise as many as there are resamples are drawn, and the
pattern found counts as one of them.

It is not a test of equal means: differences that are small at most locations, large at a few of
the other sign, and 0 in the mean, are not interchangeable, and are rejected more often than at the
level (`benchmarks/interval_coverage.py` prints how often).
"""

import numpy as np
from numpy.typing import NDArray

from avsc.train.evaluate.bootstrap import AT_ONCE, Resampling

EXACT = 16
SAME = 1e-12
"""Relative difference of two sums that is rounding."""


def p_value(differences: NDArray[np.float64], how: Resampling, key: int = 0) -> float:
    """Return the two-sided p-value of "the systems are interchangeable at every location".

    Args:
        differences: sum of each location's differences, [locations].
        how: how many patterns are drawn where they are not enumerated.
        key: of the draws, beside the seed.
    """
    there = differences[differences != 0]
    least = abs(there.sum()) - SAME * np.abs(there).sum()
    if len(there) <= EXACT:
        found = np.abs(patterns(len(there)) @ there)
        return float((found >= least).mean())
    draw = np.random.default_rng((how.seed, key))
    step, count = max(1, AT_ONCE // len(there)), 1
    for start in range(0, how.resamples, step):
        flips = min(step, how.resamples - start)
        signs = 2.0 * draw.integers(0, 2, (flips, len(there))) - 1
        count += int((np.abs(signs @ there) >= least).sum())
    return count / (how.resamples + 1)


def patterns(number: int) -> NDArray[np.float64]:
    """Return all patterns of signs, up to the sign of the whole, [2^(number - 1), number].

    >>> patterns(2)
    array([[ 1.,  1.],
           [-1.,  1.]])
    """
    bits = np.arange(2 ** max(0, number - 1))[:, None] >> np.arange(number) & 1
    return np.where(bits, -1.0, 1.0)
