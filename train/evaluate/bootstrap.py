"""Uncertainty of the scores: a bootstrap-t over recording locations.

Segments of a clip, and clips of a location, are correlated, so locations are the independent
observations (clips in a set whose locations are not known). The figure of a group (scene or city)
is a ratio, R = sum over its segments / number of its segments, over locations of unequal size; the
figure of a system is the unweighted mean of its scenes' ratios. Locations are nested in groups
(`crossed` says what holds where labels change within clips, so that they are not), so the variance
is stratified (Cochran 1977, "Sampling techniques", chapter 6): for a group of n
locations with sums T_l over m_l segments, N segments in all,

    v = n / (n - 1) * sum over l of (T_l - R m_l)^2 / N^2,

and that of the mean over S groups is the sum of theirs / S^2.

In each resample n of a group's n locations are drawn with replacement, with all their segments, and
figure and variance are recomputed; t* = (resampled figure - figure) / sqrt(resampled variance).
The interval is [figure - q_high * se, figure - q_low * se] with the quantiles of t* (Efron and
Tibshirani 1993, "An introduction to the bootstrap", chapter 12; Hall 1988, "Theoretical comparison
of bootstrap confidence intervals"): where most locations have almost no loss and a few fail, a
sample's figure and its variance rise and fall together, which quantiles of the figure alone miss.
For a figure of one system, whose losses are skewed to one side, the quantiles are those of the two
tails; for a difference of two systems, which may be skewed to either side and has heavy tails,
those of |t*|. `benchmarks/interval_coverage.py` prints how often each covers the true value.

An interval is withheld where there are fewer than `MINIMUM` locations, where a scene has only one,
and where t* has no finite quantile (hardly any location differs from the others). It is clipped to
the figure's range: no log-loss below 0, no accuracy above 1.

Draws are keyed by (seed, group), so that all quantities share the same resamples.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from avsc.manifests.clips import Clip
from avsc.train.metrics import Groups
from avsc.train.protocol import Segments

LEVEL = 0.95
MINIMUM = 48
"""Units that an interval needs: where few locations fail, coverage with 32 is only 88 %."""
METHOD = "bootstrap-t, 1"
"""Recorded in every evaluation; one whose intervals were made by another method is outdated."""
LOSS, ACCURACY = (0.0, np.inf), (0.0, 1.0)
LOSS_DIFFERENCE, ACCURACY_DIFFERENCE = (-np.inf, np.inf), (-1.0, 1.0)
"""Ranges of figures, and of their differences."""
AT_ONCE = 4_000_000
"""Drawn numbers held in memory at a time."""
NOTHING = 1e-12
"""Spread, relative to the values, that counts as rounding."""


@dataclass(frozen=True)
class Resampling:
    """Settings of the resampling.

    Attributes:
        resamples: number of resamples, and of random sign patterns.
    """

    resamples: int = 10_000
    seed: int = 0


@dataclass(frozen=True)
class Units:
    """The units that are resampled: locations (or clips), each within its group.

    Attributes:
        kind: what they are.
        group: number of each unit's group, int64 [units].
        of: number of each segment's unit, int64 [segments].
        place: number of each unit's location (or clip), int64 [units], where one may have a unit in
            several groups, which are drawn together; None where each unit is another.
    """

    kind: Literal["location", "clip"]
    groups: tuple[str, ...]
    group: NDArray[np.int64]
    of: NDArray[np.int64]
    place: NDArray[np.int64] | None = None

    @property
    def count(self) -> int:
        """How many locations (or clips) there are."""
        return len(self.group) if self.place is None else len(np.unique(self.place))

    @property
    def number(self) -> NDArray[np.int64]:
        """Units of each group, int64 [groups]."""
        return np.bincount(self.group, minlength=len(self.groups))

    @property
    def alone(self) -> tuple[str, ...]:
        """Groups with a single unit."""
        return tuple(name for name, n in zip(self.groups, self.number, strict=True) if n == 1)

    @property
    def segments(self) -> NDArray[np.int64]:
        """Segments of each unit, int64 [units]."""
        return np.bincount(self.of, minlength=len(self.group))

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sums over each unit, [units, quantities], of values [segments, quantities]."""
        columns = [np.bincount(self.of, column, len(self.group)) for column in values.T]
        return np.stack(columns, axis=1)


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval, ends included."""

    low: float
    high: float

    @classmethod
    def within(cls, low: float, high: float, span: tuple[float, float]) -> "Interval | None":
        """Return the interval, clipped to the range of a figure; None for ends that are NaN."""
        if np.isnan(low):
            return None
        return cls(float(max(low, span[0])), float(min(high, span[1])))


@dataclass(frozen=True)
class Resampled:
    """Means of groups, and of their resamples.

    Attributes:
        number: of units behind each mean, int64 [groups].
        mean: float64 [groups, quantities].
        variance: of each mean; NaN where a single unit leaves it unknown, as `mean`.
        shift: resampled mean less mean, float64 [resamples, groups, quantities].
        variances: of the resampled means, as `shift`.
    """

    number: NDArray[np.int64]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    shift: NDArray[np.float64]
    variances: NDArray[np.float64]

    def over_groups(self) -> "Resampled":
        """Return the unweighted mean over all groups, as one group."""
        groups = len(self.number)
        return Resampled(
            self.number.sum(keepdims=True),
            self.mean.mean(0, keepdims=True),
            self.variance.sum(0, keepdims=True) / groups**2,
            self.shift.mean(1, keepdims=True),
            self.variances.sum(1, keepdims=True) / groups**2,
        )

    def statistics(self) -> NDArray[np.float64]:
        """Return t* [resamples, groups, quantities]; infinite where a resample has no variance."""
        with np.errstate(divide="ignore", invalid="ignore"):
            statistics = self.shift / np.sqrt(self.variances)
        return np.where(self.shift == 0, 0.0, statistics)

    def ends(
        self, symmetric: bool = False, minimum: int = MINIMUM
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return both ends of each mean's interval, [groups, quantities]; NaN where withheld.

        Args:
            symmetric: by the quantile of |t*|, for differences.
            minimum: units that an interval needs.
        """
        drawn = self.statistics()
        rank = _rank(len(drawn), symmetric)
        if symmetric:
            below = above = -np.partition(-np.abs(drawn), rank, axis=0)[rank]
        else:
            below = -np.partition(-drawn, rank, axis=0)[rank]
            above = -np.partition(drawn, rank, axis=0)[rank]
        error = np.sqrt(self.variance)
        known = (error > 0) & np.isfinite(below) & np.isfinite(above)
        known &= (self.number >= minimum)[:, None]
        with np.errstate(invalid="ignore"):
            low, high = self.mean - below * error, self.mean + above * error
        return np.where(known, low, np.nan), np.where(known, high, np.nan)

    def p_values(self) -> NDArray[np.float64]:
        """Return the two-sided p-value of "the mean is 0" [groups, quantities]; NaN where unknown.

        The share of resamples, the sample itself being one of them, whose |t*| is no less than
        |mean| / se. At most 0.05 if and only if the symmetric interval excludes 0.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            own = np.abs(self.mean) / np.sqrt(self.variance)
        p = ((np.abs(self.statistics()) >= own).sum(0) + 1) / (len(self.shift) + 1)
        return np.where(self.variance > 0, p, np.nan)


def resampling_units(segments: Segments, clips: Sequence[Clip], groups: Groups) -> Units:
    """Return the units of segments: locations, or clips if one has no location.

    Of clips whose labels change a location is one, whatever groups its segments are in.
    """
    rows, clip = np.unique(segments.clip, return_inverse=True)
    located = all(clips[row].location for row in rows)
    names = [clips[row].location if located else clips[row].id for row in rows]
    _, name = np.unique(names, return_inverse=True)
    named = groups.of * len(rows) + name.reshape(-1)[clip.reshape(-1)]
    unique, of = np.unique(named, return_inverse=True)
    kind: Literal["location", "clip"] = "location" if located else "clip"
    timed = any(clips[row].segments for row in rows)
    place = unique % len(rows) if timed else None
    return Units(kind, groups.names, unique // len(rows), of.reshape(-1), place)


def resample(sums: NDArray[np.float64], units: Units, resampling: Resampling) -> Resampled:
    """Resample the means of groups.

    Args:
        sums: of each unit's segments, [units, quantities].
        units: to draw.
        resampling: number of resamples, and seed.
    """
    groups, quantities = len(units.groups), sums.shape[1]
    mean, variance = (np.empty((groups, quantities)) for _ in range(2))
    shift, variances = (np.empty((resampling.resamples, groups, quantities)) for _ in range(2))
    segments = units.segments.astype(np.float64)
    for group in range(groups):
        members = units.group == group
        size = segments[members]
        mean[group] = sums[members].sum(0) / size.sum()
        rest = sums[members] - mean[group] * size[:, None]
        rest[np.abs(rest) <= NOTHING * np.abs(sums[members])] = 0
        number = len(size)
        ratio = number / (number - 1) if number > 1 else np.nan
        variance[group] = ratio * (rest**2).sum(0) / size.sum() ** 2
        for rows, times in draws(number, group, resampling):
            moved, spread = _moved(times, rest, size)
            shift[rows, group], variances[rows, group] = moved, ratio * spread
    return Resampled(units.number, mean, variance, shift, variances)


def draws(
    number: int, group: int, resampling: Resampling
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yield resamples of the units of a group, as many at a time as memory should hold.

    Args:
        number: of units.
        group: of which; its draws are keyed by it.
        resampling: number of resamples, and seed.

    Yields:
        Which resamples, and how often each unit is drawn in them, [resamples, units].
    """
    draw, uniform = np.random.default_rng((resampling.seed, group)), np.full(number, 1 / number)
    step = max(1, AT_ONCE // number)
    for start in range(0, resampling.resamples, step):
        rows = slice(start, min(start + step, resampling.resamples))
        yield rows, draw.multinomial(number, uniform, rows.stop - start).astype(np.float64)


def _moved(
    times: NDArray[np.float64], rest: NDArray[np.float64], size: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shift of a group's mean in resamples, and the sums of squares of its variance.

    Args:
        times: how often each unit is drawn, [resamples, units].
        rest: each unit's sum less its expectation under the group's mean, [units, quantities].
        size: segments of each unit, [units].

    Returns:
        Both [resamples, quantities], sums over the drawn units, of N segments: d = sum(rest) / N,
        and sum((rest - d * size)^2) / N^2.
    """
    total = (times @ size)[:, None]
    moved = (times @ rest) / total
    squares = times @ rest**2
    spread = squares - 2 * moved * (times @ (rest * size[:, None]))
    spread += moved**2 * (times @ size**2)[:, None]
    spread[spread <= NOTHING * squares] = 0
    return moved, spread / total**2


def _rank(resamples: int, symmetric: bool) -> int:
    """Return the rank of the interval's end among the resamples, from the outside."""
    tail = (1 - LEVEL) if symmetric else (1 - LEVEL) / 2
    return max(1, int(tail * (resamples + 1) + 1e-9)) - 1
