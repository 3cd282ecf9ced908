"""Robustness of a system: the official figure under `conditions`, against complete recordings.

Everything is paired by segment. Beside the difference to the complete recordings stands that to
systems of one modality on complete recordings: a user without the images can always fall back
on a system of audio alone, so a system is *not worse than the modality that is left* where the
upper end of the 95 % interval of its log-loss minus the other's is at most a margin.

*Confidence rose*: the share of the segments from which a modality was taken away whose largest
probability is higher without it (it should not be: Ma et al. 2023, "Calibrating multimodal
learning", arXiv 2306.01265).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from avsc.manifests.clips import Clip
from avsc.train.evaluate.bootstrap import Resampling
from avsc.train.evaluate.calibration import FittedTemperature, calibration
from avsc.train.evaluate.calibration_intervals import (
    CalibrationDifference,
    calibration_difference,
)
from avsc.train.evaluate.compare import ComparedGroup, check_same_segments, compare
from avsc.train.evaluate.results import Results, summarise
from avsc.train.evaluate.robustness.condition_predictions import ConditionAnswer, ConditionAnswers
from avsc.train.evaluate.robustness.conditions import COMPLETE, CONDITIONS, Condition
from avsc.train.evaluate.submissions import Truth
from avsc.train.metrics import check_classes
from avsc.train.protocol import Segments
from avsc.train.systems import Modality

MARGIN = 0.02
"""Nats by which a system may be worse than another and still count as no worse."""


@dataclass(frozen=True)
class ConditionFigures:
    """Figures under a condition.

    Attributes:
        results: scores, intervals, calibration.
        to_complete: from the complete recordings to this condition.
        calibration_to_complete: the same of the calibration error.
        to_single: by modality, from the system of that modality alone, on complete recordings, to
            this system under this condition.
        not_worse: whether it is no worse than the modalities that are left; None if unknown,
            because no such system was named or an interval is withheld.
        without: number of segments from which a modality was taken away.
        rose: share of them, 0 to 1, whose confidence rose; None if there are none.
        calibration_error_before: without temperature; None where none was applied.
    """

    results: Results
    to_complete: ComparedGroup
    calibration_to_complete: CalibrationDifference
    to_single: dict[Modality, ComparedGroup]
    not_worse: bool | None
    without: int
    rose: float | None
    calibration_error_before: float | None = None


@dataclass(frozen=True)
class ConditionRow:
    """A condition, and what was found.

    Attributes:
        condition: which.
        answer: what the system says.
        measured: its figures; None where the condition is not defined for the system.
    """

    condition: Condition
    answer: ConditionAnswer
    measured: ConditionFigures | None


@dataclass(frozen=True)
class Robustness:
    """A system under all conditions.

    Attributes:
        provenance: what was evaluated; plain values.
        clips: the clip table.
        classes: scene labels in the order of their indices.
        rows: the complete recordings first.
        alone: results of the named systems of one modality, on complete recordings.
        temperatures: that were applied, by pattern; empty without.
    """

    provenance: dict[str, Any]
    clips: Sequence[Clip]
    classes: tuple[str, ...]
    rows: tuple[ConditionRow, ...]
    alone: Mapping[Modality, Results] = field(default_factory=dict)
    temperatures: Mapping[str, FittedTemperature] = field(default_factory=dict)


@dataclass(frozen=True)
class Rivals:
    """What a system is compared with.

    Attributes:
        singles: by modality, predictions of a system of that modality alone.
        margin: nats by which it may be worse and still count as no worse.
        resampling: of the intervals.
    """

    singles: Mapping[Modality, Segments] = field(default_factory=dict)
    margin: float = MARGIN
    resampling: Resampling = field(default_factory=Resampling)


def measure(answers: ConditionAnswers, truth: Truth, rivals: Rivals) -> tuple[ConditionRow, ...]:
    """Return the figures of a system under conditions.

    Args:
        answers: what it says, for the complete recordings, too.
        truth: what they refer to.
        rivals: what it is compared with.

    Raises:
        AvscError: the predictions are not of the same segments, or a scene has none.
    """
    complete = answers[COMPLETE.name].segments
    assert complete is not None
    check_classes(complete.scene, truth.classes)
    for single in rivals.singles.values():
        check_same_segments(complete, single, truth.clips)
    rows = []
    for name, condition in CONDITIONS.items():
        if name in answers:
            answer = answers[name]
            measured = None
            if answer.segments is not None:
                measured = _measured(condition, answer, complete, truth, rivals)
            rows.append(ConditionRow(condition, answer, measured))
    return tuple(rows)


def _measured(
    condition: Condition, answer: ConditionAnswer, complete: Segments, truth: Truth, rivals: Rivals
) -> ConditionFigures:
    own = answer.segments
    assert own is not None
    table = (truth.clips, truth.classes)
    singles = {
        modality: compare(single, own, *table, rivals.resampling).rows[0]
        for modality, single in rivals.singles.items()
    }
    without = np.zeros(len(own), np.bool_) if answer.without is None else answer.without
    risen = own.probability.max(1) > complete.probability.max(1)
    return ConditionFigures(
        summarise(own, *table, rivals.resampling),
        compare(complete, own, *table, rivals.resampling).rows[0],
        calibration_difference(complete, own, table, rivals.resampling),
        singles,
        _not_worse([singles[each] for each in condition.left if each in singles], rivals.margin),
        int(without.sum()),
        float(risen[without].mean()) if without.any() else None,
        None if answer.untempered is None else calibration(answer.untempered).error,
    )


def _not_worse(rows: Sequence[ComparedGroup], margin: float) -> bool | None:
    """Return whether a system is no worse than each of others; None if that is not known."""
    intervals = [row.log_loss.interval for row in rows]
    known = [interval for interval in intervals if interval is not None]
    if not rows or len(known) < len(rows):
        return None
    return all(interval.high <= margin for interval in known)
