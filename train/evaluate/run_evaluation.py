"""The evaluation of a run: results by protocol; metrics.json and metrics.csv."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avsc.manifests import escape
from avsc.manifests.clips import Clip
from avsc.train.evaluate.bootstrap import Interval
from avsc.train.evaluate.results import Results
from avsc.train.evaluate.robustness.measures import ConditionRow
from avsc.train.evaluate.robustness.tables import condition_values
from avsc.train.evaluate.temperatures import Temperatures
from avsc.train.evaluate.writing import json_bytes
from avsc.train.protocol import Protocol

MEAN, POOLED = "mean over scenes", "over all segments"


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
        conditions: by protocol, the figures under each condition that was asked for, those of the
            complete recordings first; empty as a rule.
        temperatures: by protocol, those that were applied; empty as a rule.
    """

    provenance: dict[str, Any]
    classes: tuple[str, ...]
    clips: Sequence[Clip]
    expected: int
    missing: dict[Protocol, tuple[str, ...]]
    results: dict[Protocol, Results]
    embeddings: dict[int, NDArray[np.float32]] | None = None
    conditions: Mapping[Protocol, Sequence[ConditionRow]] = field(default_factory=dict)
    temperatures: Mapping[Protocol, Temperatures] = field(default_factory=dict)


def metrics_json(evaluation: RunEvaluation) -> bytes:
    """Return the bytes of metrics.json."""
    protocols = {
        protocol: {
            **_protocol_values(results, evaluation.classes),
            "missing": list(evaluation.missing[protocol]),
            **_on_request(evaluation, protocol),
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


def _on_request(evaluation: RunEvaluation, protocol: Protocol) -> dict[str, Any]:
    """Return what is there if it was asked for."""
    rows, fitted = evaluation.conditions.get(protocol), evaluation.temperatures.get(protocol)
    values: dict[str, Any] = {"conditions": condition_values(rows)} if rows else {}
    if fitted:
        values["temperatures"] = {name: asdict(each) for name, each in fitted.items()}
    return values


def _protocol_values(results: Results, classes: tuple[str, ...]) -> dict[str, Any]:
    scores, bins = results.scores, results.calibration
    return {
        "log_loss": scores.log_loss,
        "accuracy": scores.accuracy,
        "log_loss_interval": _ends(results.log_loss_interval),
        "accuracy_interval": _ends(results.accuracy_interval),
        "resampled": {"what": results.units.kind, "number": results.units.count},
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
            "expected_error_interval": _ends(results.calibration_interval),
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
