"""The mean over scenes where locations are not nested in them, because labels change within clips.

A location then has segments of several scenes, which are as correlated as those of one. n locations
are drawn of all n, with all their segments of all scenes, and the mean of the S scenes' ratios
R_s = T_s / N_s is recomputed. Its variance is that of its linear approximation (Cochran 1977,
chapter 6; Woodruff 1971): for sums T_ls over m_ls segments of scene s at location l,

    z_l = 1 / S * sum over s of (T_ls - R_s m_ls) / N_s,    v = n / (n - 1) * sum over l of z_l^2,

in the resamples as in the sample. With one scene a location these are the formulas of `bootstrap`,
but that the number of locations of each scene is drawn, too. A resample that lacks a scene has no
mean; t* is infinite there.
"""

import numpy as np
from numpy.typing import NDArray

from avsc.train.evaluate.bootstrap import AT_ONCE, Resampled, Resampling, Units, resample

Floats = NDArray[np.float64]


def resample_mean(sums: Floats, units: Units, resampling: Resampling) -> Resampled:
    """Resample the unweighted mean over all groups.

    Args:
        sums: of each unit's segments, [units, quantities].
        units: to draw.
        resampling: number of resamples, and seed.
    """
    if units.place is None:
        return resample(sums, units, resampling).over_groups()
    groups, quantities = len(units.groups), sums.shape[1]
    _, place = np.unique(units.place, return_inverse=True)
    number = units.count
    total, size = np.zeros((groups, number, quantities)), np.zeros((groups, number))
    total[units.group, place], size[units.group, place] = sums, units.segments
    mean = total.sum(1) / size.sum(1)[:, None]
    rest = total - mean[:, None] * size[..., None]
    ratio = number / (number - 1) if number > 1 else np.nan
    variance = ratio * (_linear(rest, size.sum(1), np.zeros_like(mean), size) ** 2).sum(0)
    shift, variances = (np.empty((resampling.resamples, 1, quantities)) for _ in range(2))
    draw = np.random.default_rng((resampling.seed, groups))
    step = max(1, AT_ONCE // (number * quantities * groups))
    for start in range(0, resampling.resamples, step):
        rows = slice(start, min(start + step, resampling.resamples))
        times = draw.multinomial(number, np.full(number, 1 / number), rows.stop - start)
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn = np.einsum("rl,gl->rg", times, size)
            moved = np.einsum("rl,glq->rgq", times, rest) / drawn[..., None]
            linear = _linear(rest, drawn, moved, size)
        shift[rows, 0] = moved.mean(1)
        variances[rows, 0] = ratio * np.einsum("rl,rlq->rq", times, linear**2)
    lost = ~np.isfinite(shift)
    shift[lost], variances[lost] = np.inf, 1.0
    return Resampled(np.array([number]), mean.mean(0)[None], variance[None], shift, variances)


def _linear(rest: Floats, drawn: Floats, moved: Floats, size: Floats) -> Floats:
    """Return z of each location, [..., locations, quantities].

    Args:
        rest: sums less what the sample's means say, [groups, locations, quantities].
        drawn: segments of each group, [..., groups].
        moved: shift of each group's mean, [..., groups, quantities].
        size: segments of each location and group, [groups, locations].
    """
    left = rest - moved[..., None, :] * size[..., None]
    return np.asarray((left / drawn[..., None, None]).mean(-3))
