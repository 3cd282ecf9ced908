"""Results of an evaluation: scores, their intervals, calibration; metrics.json and metrics.csv."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avsc.manifests import escape
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
from avsc.train.evaluate.writing import json_bytes
from avsc.train.metrics import Groups, Scores, by_city, by_location, by_scene, outcomes, scores
from avsc.train.protocol import Protocol, Segments

MEAN, POOLED = "mean over scenes", "over all segments"


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
    temperature: Temperature | None = None


@dataclass(frozen=True)
class RunEvaluation:
    """Results of one run on some clips.

    Attributes:
        provenance: what was evaluated: run, checkpoint, store, versions; plain values.
        classes: scene labels in the order of their class indices.
        clips: the store's clip table.
        expected: number of segments that the clips should have.
        missing: by protocol, names of the expected segments that nothing could be predicted for.
        results: by protocol.
        embeddings: by the clip's row, float32 [features]; None unless they were asked for.
    """

    provenance: dict[str, Any]
    classes: tuple[str, ...]
    clips: Sequence[Clip]
    expected: int
    missing: dict[Protocol, tuple[str, ...]]
    results: dict[Protocol, Results]
    embeddings: dict[int, NDArray[np.float32]] | None = None


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
    low, high = resample(units.sums(values), units, resampling).over_groups().ends()
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
        temperature,
    )


def _place_scores(groups: Groups | None, values: NDArray[np.float64]) -> PlaceScores | None:
    if groups is None:
        return None
    loss, accuracy = groups.means(values).T
    return PlaceScores(groups.names, np.bincount(groups.of), loss, accuracy)


def metrics_json(evaluation: RunEvaluation) -> bytes:
    """Return the bytes of metrics.json."""
    protocols = {
        protocol: {
            **_protocol_values(results, evaluation.classes),
            "missing": list(evaluation.missing[protocol]),
        }
        for protocol, results in evaluation.results.items()
    }
    return json_bytes(
        {
            **evaluation.provenance,
            "classes": list(evaluation.classes),
            "expected_segments": evaluation.expected,
            "protocols": protocols,
        }
    )


def _protocol_values(results: Results, classes: tuple[str, ...]) -> dict[str, Any]:
    scores, bins = results.scores, results.calibration
    return {
        "log_loss": scores.log_loss,
        "accuracy": scores.accuracy,
        "log_loss_interval": _ends(results.log_loss_interval),
        "accuracy_interval": _ends(results.accuracy_interval),
        "resampled": {"what": results.units.kind, "number": len(results.units.group)},
        "segments": len(results.segments),
        "pooled_log_loss": results.pooled[0],
        "pooled_accuracy": results.pooled[1],
        "class_log_loss": dict(zip(classes, scores.class_log_loss.tolist(), strict=True)),
        "class_accuracy": dict(zip(classes, scores.class_accuracy.tolist(), strict=True)),
        **{
            f"city_{name}": _by_city(results, name) for name in ("log_loss", "accuracy", "segments")
        },
        "confusion": scores.confusion.tolist(),
        "calibration": {
            "expected_error": bins.error,
            "segments": bins.segments.tolist(),
            "confidence": [None if np.isnan(x) else x for x in bins.confidence.tolist()],
            "accuracy": [None if np.isnan(x) else x for x in bins.accuracy.tolist()],
        },
        "temperature": None if results.temperature is None else vars(results.temperature),
    }


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def _by_city(results: Results, name: str) -> dict[str, Any]:
    if results.cities is None:
        return {}
    return dict(zip(results.cities.names, getattr(results.cities, name).tolist(), strict=True))


def metrics_csv(evaluation: RunEvaluation) -> bytes:
    """Return the bytes of metrics.csv."""
    first = next(iter(evaluation.results.values()))
    classes = evaluation.classes
    cities = () if first.cities is None else first.cities.names
    columns: dict[str, list[Any]] = {
        "group": [*["scene"] * len(classes), *["city"] * len(cities), "mean", "mean"],
        "name": [*classes, *cities, MEAN, POOLED],
    }
    for protocol, results in evaluation.results.items():
        count, scores = len(results.segments), results.scores
        segments = [*scores.confusion.sum(1).tolist(), *_by_city(results, "segments").values()]
        losses = [*scores.class_log_loss.tolist(), *_by_city(results, "log_loss").values()]
        accuracies = [*scores.class_accuracy.tolist(), *_by_city(results, "accuracy").values()]
        columns[f"segments_{protocol}"] = [*segments, count, count]
        columns[f"log_loss_{protocol}"] = [*losses, scores.log_loss, results.pooled[0]]
        columns[f"accuracy_{protocol}"] = [*accuracies, scores.accuracy, results.pooled[1]]
    return escape.csv_sheet([columns, *zip(*columns.values(), strict=True)])
