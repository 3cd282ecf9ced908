"""Two systems on the same segments: how they differ, and how surely.

Both meet the same resampled locations (`bootstrap`), so that what is hard or easy about a place
falls out of the difference. Differences are second minus first: below 0, the second has the lower
log-loss, or the lower accuracy. The p-like figure is a share of resamples, not a test's exact
level, and it is not corrected for the number of scenes and cities that are looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avsc.manifests.clips import Clip
from avsc.manifests.errors import AvscError
from avsc.train.score.bootstrap import (
    Interval,
    Resampling,
    Units,
    chance_of_none,
    interval,
    resampled_means,
    resampling_units,
)
from avsc.train.score.metrics import Groups, by_city, by_scene, check_classes, outcomes
from avsc.train.score.predictions import segment_names
from avsc.train.score.protocol import Segments

OVERALL = "mean over scenes"


@dataclass(frozen=True)
class Difference:
    """One figure of two systems.

    Attributes:
        first: of the first system.
        second: of the second.
        interval: 95 % interval of second - first; None where a single location cannot vary.
        p: two-sided p-like figure of "no difference"; None as above.
    """

    first: float
    second: float
    interval: Interval | None
    p: float | None

    @property
    def difference(self) -> float:
        """Second minus first."""
        return self.second - self.first


@dataclass(frozen=True)
class Row:
    """Both figures of one scene, one city, or all.

    Attributes:
        group: ``"scene"``, ``"city"`` or ``"mean"``.
        name: of the scene or city.
        segments: number of them.
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
    """All that is found.

    Attributes:
        rows: the mean over scenes first, then every scene, then every city.
        kind: what was resampled, ``"location"`` or ``"clip"``.
        alone: scenes with a single one, which leave the mean's interval too narrow.
    """

    rows: tuple[Row, ...]
    kind: str
    alone: tuple[str, ...]


def compare(
    first: Segments,
    second: Segments,
    clips: Sequence[Clip],
    classes: Sequence[str],
    how: Resampling,
) -> Comparison:
    """Compare the predictions of two systems.

    Args:
        first: of one.
        second: of the other, for the same segments.
        clips: the clip table that both refer to.
        classes: scene labels in the order of their indices.
        how: how to resample.

    Raises:
        AvscError: they are not of the same segments, or a scene has none.
    """
    check_same_segments(first, second, clips)
    check_classes(first.scene, classes)
    values = np.concatenate([outcomes(first), outcomes(second)], axis=1)
    scenes, cities = by_scene(first, classes), by_city(first, clips)
    units = resampling_units(first, clips, scenes)
    means, drawn = scenes.means(values), resampled_means(values, units, how)
    overall = _row("mean", OVERALL, len(first), len(units.group), means.mean(0), drawn.mean(1))
    rows = [overall, *_rows("scene", scenes, units, means, drawn)]
    if cities is not None:
        places = resampling_units(first, clips, cities)
        drawn = resampled_means(values, places, how)
        rows += _rows("city", cities, places, cities.means(values), drawn)
    return Comparison(tuple(rows), units.kind, units.alone)


def check_same_segments(first: Segments, second: Segments, clips: Sequence[Clip]) -> None:
    """Raise an `AvscError` naming a segment that only one of two sets has."""
    here, there = segment_names(first, clips), segment_names(second, clips)
    if here == there:
        return
    only = sorted(set(here) ^ set(there))
    which = "first" if only[0] in set(here) else "second"
    raise AvscError(
        f"the two are not of the same segments: {len(here):,} and {len(there):,}; {only[0]!r} is "
        f"in the {which} alone. Compare predictions of the same clips, by the same protocol."
    )


def _rows(
    kind: str,
    groups: Groups,
    units: Units,
    means: NDArray[np.float64],
    drawn: NDArray[np.float64],
) -> list[Row]:
    segments = np.bincount(groups.of, minlength=len(groups.names))
    count = np.bincount(units.group, minlength=len(groups.names))
    return [
        _row(kind, name, int(segments[g]), int(count[g]), means[g], drawn[:, g])
        for g, name in enumerate(groups.names)
    ]


def _row(
    kind: str,
    name: str,
    segments: int,
    units: int,
    means: NDArray[np.float64],
    drawn: NDArray[np.float64],
) -> Row:
    """Make a row; columns are loss and rightness of the first, then of the second."""
    pairs = []
    for column in (0, 1):
        differences = drawn[:, column + 2] - drawn[:, column]
        varies = units > 1
        pairs.append(
            Difference(
                float(means[column]),
                float(means[column + 2]),
                interval(differences) if varies else None,
                chance_of_none(differences) if varies else None,
            )
        )
    return Row(kind, name, segments, units, *pairs)
