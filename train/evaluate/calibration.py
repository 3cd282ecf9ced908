"""Whether a predicted probability means what it says, and a temperature that mends it.

Expected calibration error: the segments are parted by the probability of their predicted scene into
15 bins of equal width, (0, 1/15] ... (14/15, 1]; the error is the mean over segments of the
distance between a bin's accuracy and its mean probability (Guo et al. 2017, "On calibration of
modern neural networks"). All segments count alike here, whatever their scene.

A temperature T turns each segment's probabilities p into p^(1/T), normalised (T > 1 makes them less
sure). The predicted scene, and with it the accuracy, stays. T is the one with the least log-loss
(official metric) on the segments that it is fitted on; as a function of 1/T that loss is convex, so
that a bounded search finds it.
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
    """How probabilities of the predicted scene agree with its being right.

    Attributes:
        segments: in each bin, int64 [bins].
        confidence: mean probability of the predicted scene, [bins]; NaN in an empty bin.
        accuracy: share that is right, 0 to 1, [bins]; NaN in an empty bin.
    """

    segments: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def error(self) -> float:
        """Expected calibration error, 0 to 1."""
        there = self.segments > 0
        distance = np.abs(self.accuracy - self.confidence)[there]
        return float(np.average(distance, weights=self.segments[there]))


@dataclass(frozen=True)
class Temperature:
    """A temperature and what it did.

    Attributes:
        value: T.
        fitted_on: segments that it was fitted on.
        log_loss_before: of the evaluated segments without it, nats.
    """

    value: float
    fitted_on: int
    log_loss_before: float


def calibration(segments: Segments) -> Calibration:
    """Return how well the probabilities of segments are calibrated."""
    confidence = segments.probability.max(1)
    right = segments.probability.argmax(1) == segments.scene
    bin_ = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    count = np.bincount(bin_, minlength=BINS)
    sums = (np.bincount(bin_, weights, BINS) for weights in (confidence, right))
    means = [np.divide(each, count, np.full(BINS, np.nan), where=count > 0) for each in sums]
    return Calibration(count, means[0], means[1])


def tempered(segments: Segments, temperature: float) -> Segments:
    """Return segments with the probabilities that a temperature makes of theirs."""
    logits = np.log(np.clip(segments.probability, CLIP, 1)) / temperature
    values = np.exp(logits - logits.max(1, keepdims=True))
    return replace(segments, probability=values / values.sum(1, keepdims=True))


def fit_temperature(segments: Segments, classes: Sequence[str]) -> float:
    """Return the temperature, 0.05 to 20, with the least log-loss on segments.

    Raises:
        AvscError: a class has no segments.
    """
    found = minimize_scalar(
        lambda logarithm: scores(tempered(segments, float(np.exp(logarithm))), classes).log_loss,
        bounds=(np.log(COLDEST), np.log(HOTTEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))
