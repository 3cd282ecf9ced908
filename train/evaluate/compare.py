"""Differences of two systems on the same segments, with intervals and p-values.

Differences are second minus first: below 0, the second has the lower log-loss, or the lower
accuracy. They are taken segment by segment, so that the difficulty of a location cancels out. With
enough locations, the interval and the p-value of a mean difference are from one bootstrap-t
(`bootstrap`) and agree: p is at most 0.05 if and only if the 95 % interval excludes 0. Where the
interval is withheld, the p-value is from flipping signs by location (`sign_flip`), which tests
whether the systems are interchangeable at every location. Neither is corrected for the number of
scenes and cities.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avsc.manifests.clips import Clip
from avsc.manifests.errors import AvscError
from avsc.train.evaluate.bootstrap import (
    ACCURACY_DIFFERENCE,
    LOSS_DIFFERENCE,
    Interval,
    Resampled,
    Resampling,
    Units,
    resample,
    resampling_units,
)
from avsc.train.evaluate.crossed import resample_mean
from avsc.train.evaluate.predictions import segment_names
from avsc.train.evaluate.sign_flip import p_value
from avsc.train.metrics import by_city, by_scene, check_classes, outcomes
from avsc.train.protocol import Segments

OVERALL = "mean over scenes"


@dataclass(frozen=True)
class Difference:
    """One figure of two systems.

    Attributes:
        first: of the first system.
        second: of the second.
        interval: 95 % confidence interval of second - first; None where it is withheld.
        p: two-sided p-value: of equal means where there is an interval, else of systems that are
            interchangeable at every location.
    """

    first: float
    second: float
    interval: Interval | None
    p: float

    @property
    def difference(self) -> float:
        """Second minus first."""
        return self.second - self.first


@dataclass(frozen=True)
class ComparedGroup:
    """Both figures of one scene, of one city, or of the mean over scenes.

    Attributes:
        group: ``"scene"``, ``"city"`` or ``"mean"``.
        name: of the scene or city.
        units: number of locations (or clips).
        log_loss: nats.
        accuracy: 0 to 1.
    """

    group: str
    name: str
    segments: int
    units: int
    log_loss: Difference
    accuracy: Difference


@dataclass(frozen=True)
class Comparison:
    """All differences of two systems.

    Attributes:
        rows: the mean over scenes first, then every scene, then every city.
        kind: the units that were resampled, ``"location"`` or ``"clip"``.
    """

    rows: tuple[ComparedGroup, ...]
    kind: str


def compare(
    first: Segments,
    second: Segments,
    clips: Sequence[Clip],
    classes: Sequence[str],
    resampling: Resampling,
) -> Comparison:
    """Compare the predictions of two systems.

    Args:
        first: of one.
        second: of the other, for the same segments.
        clips: the clip table that both refer to.
        classes: scene labels in the order of their indices.
        resampling: of the intervals and p-values.

    Raises:
        AvscError: they are not of the same segments, or a scene has none.
    """
    check_same_segments(first, second, clips)
    check_classes(first.scene, classes)
    values = np.concatenate([outcomes(first), outcomes(second)], axis=1)
    scenes, cities = by_scene(first, classes), by_city(first, clips)
    units = resampling_units(first, clips, scenes)
    by_group, means = _differences(values, units, resampling), scenes.means(values)
    overall = _over_scenes(values, by_group, resampling)
    rows = _rows("mean", overall, means.mean(0, keepdims=True), resampling)
    rows += _rows("scene", by_group, means, resampling)
    if cities is not None:
        by_group = _differences(values, resampling_units(first, clips, cities), resampling)
        rows += _rows("city", by_group, cities.means(values), resampling)
    return Comparison(tuple(rows), units.kind)


def check_same_segments(first: Segments, second: Segments, clips: Sequence[Clip]) -> None:
    """Raise an `AvscError` naming a segment that only one of two sets has."""
    here, there = segment_names(first, clips), segment_names(second, clips)
    if here == there:
        return
    only = sorted(set(here) ^ set(there))
    which = "first" if only[0] in set(here) else "second"
    raise AvscError(
        f"the two are not of the same segments: {len(here):,} and {len(there):,}; {only[0]!r} is "
        f"only in the {which}. Compare predictions of the same clips, by the same protocol."
    )


@dataclass(frozen=True)
class _Differences:
    """Differences of log-loss and of accuracy, by group.

    Attributes:
        units: behind them.
        resampled: mean difference of each group.
        shares: what each unit adds to its group's mean difference, [units, 2].
    """

    units: Units
    resampled: Resampled
    shares: NDArray[np.float64]


def _differences(values: NDArray[np.float64], units: Units, resampling: Resampling) -> _Differences:
    """Return differences; columns are loss and correctness of the first, then of the second."""
    sums = units.sums(values[:, 2:] - values[:, :2])
    total = np.bincount(units.group, units.segments)[units.group]
    return _Differences(units, resample(sums, units, resampling), sums / total[:, None])


def _over_scenes(
    values: NDArray[np.float64], scenes: _Differences, resampling: Resampling
) -> _Differences:
    """Return the mean over all scenes as one group."""
    units, shares = scenes.units, scenes.shares / len(scenes.units.groups)
    of = units.of
    if units.place is not None:
        _, place = np.unique(units.place, return_inverse=True)
        shares = np.stack([np.bincount(place, column) for column in shares.T], axis=1)
        of = place[of]
    pooled = Units(units.kind, (OVERALL,), np.zeros(len(shares), np.int64), of)
    if units.place is None:
        return _Differences(pooled, scenes.resampled.over_groups(), shares)
    sums = units.sums(values[:, 2:] - values[:, :2])
    return _Differences(pooled, resample_mean(sums, units, resampling), shares)


def _rows(
    kind: str, differences: _Differences, means: NDArray[np.float64], resampling: Resampling
) -> list[ComparedGroup]:
    """Return a row for each group; `means` [groups, 4] have columns as in `_differences`."""
    units = differences.units
    segments = np.bincount(units.group, units.segments).astype(np.int64)
    low, high = differences.resampled.ends(symmetric=True)
    bootstrap_p = differences.resampled.p_values()
    rows = []
    for group, name in enumerate(units.groups):
        shares = differences.shares[units.group == group]
        figures = []
        for column, span in enumerate((LOSS_DIFFERENCE, ACCURACY_DIFFERENCE)):
            interval = Interval.within(low[group, column], high[group, column], span)
            figures.append(
                Difference(
                    float(means[group, column]),
                    float(means[group, column + 2]),
                    interval,
                    p_value(shares[:, column], resampling, group)
                    if interval is None
                    else float(bootstrap_p[group, column]),
                )
            )
        count = int(units.number[group])
        rows.append(ComparedGroup(kind, name, int(segments[group]), count, *figures))
    return rows
