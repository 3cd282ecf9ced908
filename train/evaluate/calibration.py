"""Calibration of the predicted probabilities, and temperature scaling.

Expected calibration error: segments are binned by the probability of their predicted scene into 15
bins of equal width, (0, 1/15] ... (14/15, 1]; the error is the mean over segments of the distance
between a bin's accuracy and its mean probability (Guo et al. 2017, "On calibration of modern neural
networks"). All segments have equal weight here, whatever their scene.

A temperature T turns each segment's probabilities p into p^(1/T), normalised (T > 1 makes them less
confident). The predicted scene, and with it the accuracy, stays. T minimises the log-loss (official
metric) of the segments that it is fitted on; that loss is convex in 1/T, so that a bounded search
finds the minimum.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from avsc.train.metrics import CLIP, scores
from avsc.train.protocol import Segments

BINS = 15
COLDEST, HOTTEST = 0.05, 20.0


@dataclass(frozen=True)
class Calibration:
    """Probability of the predicted scene against accuracy, by bin.

    Attributes:
        segments: in each bin, int64 [bins].
        confidence: mean probability of the predicted scene, [bins]; NaN in an empty bin.
        accuracy: 0 to 1, [bins]; NaN in an empty bin.
    """

    segments: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def error(self) -> float:
        """Expected calibration error, 0 to 1."""
        filled = self.segments > 0
        distance = np.abs(self.accuracy - self.confidence)[filled]
        return float(np.average(distance, weights=self.segments[filled]))


@dataclass(frozen=True)
class Temperature:
    """A temperature and its effect.

    Attributes:
        fitted_on: number of segments that it was fitted on.
        log_loss_before: of the evaluated segments without it, nats.
        calibration_error_before: of them without it.
    """

    value: float
    fitted_on: int
    log_loss_before: float
    calibration_error_before: float


@dataclass(frozen=True)
class FittedTemperature:
    """A temperature and its effect on the segments that it was fitted on.

    Attributes:
        fitted_on: number of segments.
        log_loss_before: without it, nats.
        log_loss: with it.
        calibration_error_before: without it.
        calibration_error: with it.
    """

    value: float
    fitted_on: int
    log_loss_before: float
    log_loss: float
    calibration_error_before: float
    calibration_error: float


def calibration(segments: Segments) -> Calibration:
    """Return the calibration of the probabilities of segments."""
    confidence = segments.probability.max(1)
    right = segments.probability.argmax(1) == segments.scene
    bin_ = bins_of(confidence)
    count = np.bincount(bin_, minlength=BINS)
    sums = (np.bincount(bin_, weights, BINS) for weights in (confidence, right))
    means = [np.divide(total, count, np.full(BINS, np.nan), where=count > 0) for total in sums]
    return Calibration(count, means[0], means[1])


def bins_of(confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin of each probability, (0, 1/15] being 0."""
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def tempered(segments: Segments, temperature: float | NDArray[np.float64]) -> Segments:
    """Return segments with a temperature, or each its own, applied to their probabilities."""
    heat = np.reshape(temperature, (-1, 1))
    logits = np.log(np.clip(segments.probability, CLIP, 1)) / heat
    values = np.exp(logits - logits.max(1, keepdims=True))
    return replace(segments, probability=values / values.sum(1, keepdims=True))


def fit_temperature(segments: Segments, classes: Sequence[str]) -> float:
    """Return the temperature, 0.05 to 20, with the lowest log-loss on segments.

    Raises:
        AvscError: a class has no segments.
    """
    minimum = minimize_scalar(
        lambda logarithm: scores(tempered(segments, float(np.exp(logarithm))), classes).log_loss,
        bounds=(np.log(COLDEST), np.log(HOTTEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(minimum.x))


def fitted_temperature(segments: Segments, classes: Sequence[str]) -> FittedTemperature:
    """Fit a temperature on segments; arguments and errors as of `fit_temperature`."""
    value = fit_temperature(segments, classes)
    warm = tempered(segments, value)
    return FittedTemperature(
        value,
        len(segments),
        scores(segments, classes).log_loss,
        scores(warm, classes).log_loss,
        calibration(segments).error,
        calibration(warm).error,
    )


def with_temperature(
    segments: Segments, fitted: FittedTemperature, classes: Sequence[str]
) -> tuple[Segments, Temperature]:
    """Return predictions with a temperature applied, and what they were without it.

    Args:
        segments: the predictions to apply it to.
        fitted: on the run's validation clips, by the same protocol.
        classes: scene labels in the order of their indices.
    """
    before = (scores(segments, classes).log_loss, calibration(segments).error)
    applied = Temperature(fitted.value, fitted.fitted_on, *before)
    return tempered(segments, fitted.value), applied
