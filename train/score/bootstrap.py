"""How far a figure would move with other places: the bootstrap over locations.

Segments of a clip, and clips of a location, resemble each other, and a test fold has 8 to 16
locations a scene; resampling segments would feign a precision that is not there. Here whole
locations are drawn with replacement within each group (scene or city), all their segments go along,
and the figure is computed anew. A group's figure is a ratio (sum over segments / number of
segments), so that both are drawn together.

Of a group's n locations n - 1 are drawn (Rao and Wu 1988, "Resampling inference with complex survey
data"): with so few, drawing n would make the variance too small by the factor (n - 1) / n.
Intervals run between quantiles of the resampled figures. A group with a single location does not
vary, and the interval is then too narrow; `Units.alone` names it. Clips take the place of locations
in a set that does not say them.

Draws are keyed by (seed, group), so that two systems, and any further quantities, meet the same
resampled locations: their differences are paired.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from avsc.manifests.clips import Clip
from avsc.train.score.metrics import Groups
from avsc.train.score.protocol import Segments

LEVEL = 0.95


@dataclass(frozen=True)
class Resampling:
    """How to resample.

    Attributes:
        resamples: how many times.
        seed: of the draws.
    """

    resamples: int = 2000
    seed: int = 0


@dataclass(frozen=True)
class Units:
    """What is drawn: locations (or clips), each within its group.

    Attributes:
        kind: what they are.
        groups: names of the groups.
        group: number of each unit's group, int64 [units].
        of: number of each segment's unit, int64 [segments].
    """

    kind: Literal["location", "clip"]
    groups: tuple[str, ...]
    group: NDArray[np.int64]
    of: NDArray[np.int64]

    @property
    def alone(self) -> tuple[str, ...]:
        """Groups with a single unit."""
        count = np.bincount(self.group, minlength=len(self.groups))
        return tuple(name for name, n in zip(self.groups, count, strict=True) if n == 1)


@dataclass(frozen=True)
class Interval:
    """Where a figure lies with 95 % confidence, ends included."""

    low: float
    high: float


def resampling_units(segments: Segments, clips: Sequence[Clip], groups: Groups) -> Units:
    """Return the units of segments: their locations, or their clips where one has no location."""
    rows = np.unique(segments.clip)
    located = all(clips[row].location for row in rows)
    names = {row: clips[row].location if located else clips[row].id for row in rows.tolist()}
    _, name = np.unique([names[row] for row in segments.clip.tolist()], return_inverse=True)
    place = np.stack([groups.of, name.reshape(-1)])
    unique, of = np.unique(place, axis=1, return_inverse=True)
    kind: Literal["location", "clip"] = "location" if located else "clip"
    return Units(kind, groups.names, unique[0], of.reshape(-1))


def resampled_means(
    values: NDArray[np.float64], units: Units, how: Resampling
) -> NDArray[np.float64]:
    """Return the mean of each group in each resample.

    Args:
        values: of the segments, [segments, quantities].
        units: of the same segments.
        how: how to resample.

    Returns:
        float64 [resamples, groups, quantities].
    """
    sums = np.zeros((len(units.group), values.shape[1]))
    np.add.at(sums, units.of, values)
    count = np.bincount(units.of, minlength=len(units.group))
    means = np.empty((how.resamples, len(units.groups), values.shape[1]))
    for group in range(len(units.groups)):
        members = units.group == group
        number = int(members.sum())
        draw = np.random.default_rng((how.seed, group))
        chance = np.full(number, 1 / number)
        times = draw.multinomial(max(1, number - 1), chance, how.resamples).astype(np.float64)
        means[:, group] = (times @ sums[members]) / (times @ count[members])[:, None]
    return means


def interval(draws: NDArray[np.float64]) -> Interval:
    """Return the interval of a figure from its resampled values [resamples]."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def chance_of_none(differences: NDArray[np.float64]) -> float:
    """Return a two-sided p-like figure for "there is no difference".

    Twice the share of resampled differences on the rarer side of 0, ties on both; at least
    2 / (resamples + 1), because no resampling can show less, and at most 1.
    """
    below, above = int((differences <= 0).sum()), int((differences >= 0).sum())
    return min(1.0, 2 * (min(below, above) + 1) / (len(differences) + 1))
