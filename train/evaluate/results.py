"""Results of predictions: scores, their intervals, calibration."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avsc.manifests.clips import Clip
from avsc.train.evaluate.bootstrap import (
    ACCURACY,
    LOSS,
    MINIMUM,
    Interval,
    Resampling,
    Units,
    resampling_units,
)
from avsc.train.evaluate.calibration import Calibration, Temperature, calibration
from avsc.train.evaluate.calibration_intervals import calibration_interval
from avsc.train.evaluate.crossed import resample_mean
from avsc.train.metrics import Groups, Scores, by_city, by_location, by_scene, outcomes, scores
from avsc.train.protocol import Segments


@dataclass(frozen=True)
class PlaceScores:
    """Scores of each city, or of each location: means over its segments.

    Attributes:
        names: of the places.
        segments: int64 [places].
        log_loss: nats, [places].
        accuracy: 0 to 1, [places].
    """

    names: tuple[str, ...]
    segments: NDArray[np.int64]
    log_loss: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    def rows(self) -> dict[str, tuple[int, float, float]]:
        """Return segments, log-loss and accuracy by name."""
        values = (self.segments.tolist(), self.log_loss.tolist(), self.accuracy.tolist())
        return dict(zip(self.names, zip(*values, strict=True), strict=True))


@dataclass(frozen=True)
class Results:
    """Results of one set of predictions.

    Attributes:
        scores: the official metric.
        log_loss_interval: 95 % confidence interval of its log-loss; None where it is withheld.
        accuracy_interval: the same for its accuracy.
        units: the units that were resampled for the intervals.
        pooled: log-loss and accuracy over all segments, whatever their scene.
        cities: scores by city; None when no clip has one.
        locations: scores by location; None when no clip has one.
        calibration: of the predicted probabilities.
        calibration_interval: of its expected error, as `calibration_intervals` says.
        temperature: the one applied to the predictions; None as a rule.
    """

    segments: Segments
    scores: Scores
    log_loss_interval: Interval | None
    accuracy_interval: Interval | None
    units: Units
    pooled: tuple[float, float]
    cities: PlaceScores | None
    locations: PlaceScores | None
    calibration: Calibration
    calibration_interval: Interval | None
    temperature: Temperature | None = None

    @property
    def withheld(self) -> str:
        """Why an interval of a score is withheld; empty if none is."""
        if self.log_loss_interval is not None and self.accuracy_interval is not None:
            return ""
        kind = self.units.kind
        if self.units.count < MINIMUM:
            return f"it needs {MINIMUM} {kind}s"
        if alone := self.units.alone:
            return f"{', '.join(alone)} has only one {kind}"
        return f"too few {kind}s differ from the others"


def summarise(
    segments: Segments,
    clips: Sequence[Clip],
    classes: Sequence[str],
    resampling: Resampling,
    temperature: Temperature | None = None,
) -> Results:
    """Return the results of predictions.

    Args:
        clips: the clip table that they refer to.
        classes: scene labels in the order of their indices.
        temperature: the one that was already applied to the predictions.

    Raises:
        AvscError: a class has no segments, or a probability is not a finite number.
    """
    official = scores(segments, classes)
    values = outcomes(segments)
    units = resampling_units(segments, clips, by_scene(segments, classes))
    low, high = resample_mean(units.sums(values), units, resampling).ends()
    pooled = values.mean(0)
    return Results(
        segments,
        official,
        Interval.within(low[0, 0], high[0, 0], LOSS),
        Interval.within(low[0, 1], high[0, 1], ACCURACY),
        units,
        (float(pooled[0]), float(pooled[1])),
        _place_scores(by_city(segments, clips), values),
        _place_scores(by_location(segments, clips), values),
        calibration(segments),
        calibration_interval(segments, units, resampling),
        temperature,
    )


def _place_scores(groups: Groups | None, values: NDArray[np.float64]) -> PlaceScores | None:
    if groups is None:
        return None
    loss, accuracy = groups.means(values).T
    return PlaceScores(groups.names, np.bincount(groups.of), loss, accuracy)
