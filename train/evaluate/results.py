"""All that is said of one set of predictions: scores, intervals, calibration."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avsc.manifests.clips import Clip
from avsc.train.evaluate.bootstrap import (
    ACCURACY,
    LOSS,
    Interval,
    Resampling,
    Units,
    resample,
    resampling_units,
)
from avsc.train.evaluate.calibration import Calibration, Temperature, calibration
from avsc.train.metrics import Groups, Scores, by_city, by_scene, outcomes, scores
from avsc.train.protocol import Segments


@dataclass(frozen=True)
class Cities:
    """The figures of each city: means over its segments.

    Attributes:
        names: of the cities.
        segments: int64 [cities].
        log_loss: nats, [cities].
        accuracy: 0 to 1, [cities].
    """

    names: tuple[str, ...]
    segments: NDArray[np.int64]
    log_loss: NDArray[np.float64]
    accuracy: NDArray[np.float64]


@dataclass(frozen=True)
class Finding:
    """What one set of predictions came to.

    Attributes:
        segments: the predictions.
        scores: the official metric.
        log_loss_interval: 95 % confidence interval of its log-loss; None where it is withheld.
        accuracy_interval: the same of its accuracy.
        units: what was resampled for them.
        pooled: log-loss and accuracy over all segments alike, whatever their scene.
        cities: the same by city; None when no clip has one.
        calibration: of the predicted probabilities.
        temperature: that the predictions were given; None as a rule.
    """

    segments: Segments
    scores: Scores
    log_loss_interval: Interval | None
    accuracy_interval: Interval | None
    units: Units
    pooled: tuple[float, float]
    cities: Cities | None
    calibration: Calibration
    temperature: Temperature | None = None


def judge(
    segments: Segments,
    clips: Sequence[Clip],
    classes: Sequence[str],
    how: Resampling,
    temperature: Temperature | None = None,
) -> Finding:
    """Return what predictions came to.

    Args:
        segments: the predictions.
        clips: the clip table that they refer to.
        classes: scene labels in the order of their indices.
        how: how to resample.
        temperature: that the predictions were given already.

    Raises:
        AvscError: a class has no segments, or a probability is not a finite number.
    """
    official = scores(segments, classes)
    values = outcomes(segments)
    units = resampling_units(segments, clips, by_scene(segments, classes))
    low, high = resample(units.sums(values), units, how).over_groups().ends()
    pooled = values.mean(0)
    return Finding(
        segments,
        official,
        Interval.within(low[0, 0], high[0, 0], LOSS),
        Interval.within(low[0, 1], high[0, 1], ACCURACY),
        units,
        (float(pooled[0]), float(pooled[1])),
        _cities(by_city(segments, clips), values),
        calibration(segments),
        temperature,
    )


def _cities(groups: Groups | None, values: NDArray[np.float64]) -> Cities | None:
    if groups is None:
        return None
    loss, accuracy = groups.means(values).T
    return Cities(groups.names, np.bincount(groups.of), loss, accuracy)
