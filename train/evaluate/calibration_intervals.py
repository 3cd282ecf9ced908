"""Intervals of the expected calibration error: a centred percentile bootstrap over locations.

In each resample the locations of every scene are drawn with replacement, with all their segments,
as for the other intervals (`bootstrap`), and the error is computed again. It is a sum of absolute
values, for which the bootstrap-t has no variance, and is larger in resamples than in the sample;
they are therefore moved by the difference of their mean to the sample's error. The interval has the
middle 95 % of them, cut off at 0; that of a paired difference of two predictions is made of the
resampled differences in the same way. Simulated coverage is in docs/evaluation.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avsc.manifests.clips import Clip
from avsc.train.evaluate.bootstrap import (
    ACCURACY,
    ACCURACY_DIFFERENCE,
    LEVEL,
    MINIMUM,
    Interval,
    Resampling,
    Units,
    draws,
    resampling_units,
)
from avsc.train.evaluate.calibration import BINS, bins_of
from avsc.train.metrics import by_scene
from avsc.train.protocol import Segments


@dataclass(frozen=True)
class CalibrationDifference:
    """Difference of two calibration errors on the same segments, second minus first.

    Attributes:
        interval: 95 % confidence interval; None where it is withheld.
    """

    difference: float
    interval: Interval | None


def calibration_interval(
    segments: Segments, units: Units, resampling: Resampling
) -> Interval | None:
    """Return the interval of the calibration error of segments; None where it is withheld.

    Args:
        units: of the segments, within their scenes.
        resampling: number of resamples, and seed.
    """
    if _too_few(units):
        return None
    gaps = _gaps(segments, units)
    return _middle(_errors(gaps, units, resampling), _error(gaps, units), ACCURACY)


def calibration_difference(
    first: Segments,
    second: Segments,
    table: tuple[Sequence[Clip], Sequence[str]],
    resampling: Resampling,
) -> CalibrationDifference:
    """Return the difference of two calibration errors.

    Args:
        first: predictions.
        second: others of the same segments.
        table: the clip table that both refer to, and the scene labels in order.
        resampling: number of resamples, and seed.
    """
    clips, classes = table
    units = resampling_units(first, clips, by_scene(first, classes))
    gaps = [_gaps(segments, units) for segments in (first, second)]
    before, after = (_error(each, units) for each in gaps)
    difference, interval = after - before, None
    if not _too_few(units):
        drawn = [_errors(each, units, resampling) for each in gaps]
        interval = _middle(drawn[1] - drawn[0], difference, ACCURACY_DIFFERENCE)
    return CalibrationDifference(difference, interval)


def _too_few(units: Units) -> bool:
    return units.count < MINIMUM or (units.place is None and bool(units.alone))


def _gaps(segments: Segments, units: Units) -> NDArray[np.float64]:
    """Return right answers less probabilities, summed by unit and bin, [units, bins]."""
    confidence = segments.probability.max(1)
    right = segments.probability.argmax(1) == segments.scene
    gaps = np.zeros((len(units.group), BINS))
    np.add.at(gaps, (units.of, bins_of(confidence)), right - confidence)
    return gaps


def _error(gaps: NDArray[np.float64], units: Units) -> float:
    return float(np.abs(gaps.sum(0)).sum() / units.segments.sum())


def _errors(gaps: NDArray[np.float64], units: Units, resampling: Resampling) -> NDArray[np.float64]:
    """Return the calibration error of each resample, [resamples]."""
    total = np.zeros((resampling.resamples, BINS))
    count = np.zeros(resampling.resamples)
    group, size = units.group, units.segments
    if units.place is not None:  # a location that changes scenes is drawn with all of them
        _, place = np.unique(units.place, return_inverse=True)
        group = np.zeros(units.count, np.int64)
        merged = np.zeros((units.count, BINS))
        np.add.at(merged, place, gaps)
        gaps, size = merged, np.bincount(place, size).astype(np.int64)
    for stratum in range(1 + int(group.max())):
        members = group == stratum
        for rows, times in draws(int(members.sum()), stratum, resampling):
            total[rows] += times @ gaps[members]
            count[rows] += times @ size[members]
    errors: NDArray[np.float64] = np.abs(total).sum(1) / count
    return errors


def _middle(
    values: NDArray[np.float64], centre: float, span: tuple[float, float]
) -> Interval | None:
    """Return the middle of resampled values, moved to the value of the sample."""
    centred = values - (values.mean() - centre)
    low, high = np.quantile(centred, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval.within(low, high, span)
