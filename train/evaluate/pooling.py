"""Predictions of the runs of a cross-validation, pooled: every clip by the run that tests it."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from avsc.train.evaluate.predict import ClipPredictions
from avsc.train.evaluate.robustness.condition_predictions import (
    ConditionAnswer,
    ConditionAnswers,
)
from avsc.train.evaluate.robustness.realign import pool_realigned
from avsc.train.protocol import Protocol, Segments


def pool_segments(parts: Sequence[Segments]) -> Segments:
    """Return the segments of disjoint clips, in the order of clips and seconds."""
    if len(parts) == 1:
        return parts[0]
    return _take(parts, _order(parts))


def _order(parts: Sequence[Segments]) -> np.ndarray[Any, np.dtype[np.intp]]:
    clip = np.concatenate([part.clip for part in parts])
    second = [np.zeros_like(p.clip) if p.second is None else p.second for p in parts]
    return np.lexsort((np.concatenate(second), clip))


def _take(parts: Sequence[Segments], order: np.ndarray[Any, np.dtype[np.intp]]) -> Segments:
    seconds = [part.second for part in parts if part.second is not None]
    return Segments(
        np.concatenate([part.probability for part in parts])[order],
        np.concatenate([part.clip for part in parts])[order],
        np.concatenate(seconds)[order] if seconds else None,
        np.concatenate([part.scene for part in parts])[order],
    )


def pool_predictions(parts: Sequence[ClipPredictions]) -> ClipPredictions:
    """Return the predictions of several runs for disjoint clips."""
    protocols = parts[0].segments
    embeddings = [part.embeddings for part in parts if part.embeddings is not None]
    return ClipPredictions(
        sum(part.expected for part in parts),
        {p: tuple(sorted(chain(*(part.missing[p] for part in parts)))) for p in protocols},
        {p: pool_segments([part.segments[p] for part in parts]) for p in protocols},
        {row: vector for each in embeddings for row, vector in each.items()} or None,
    )


def pool_answers(
    parts: Sequence[dict[Protocol, ConditionAnswers]],
) -> dict[Protocol, ConditionAnswers]:
    """Return what several runs predict for disjoint clips under the same conditions.

    A condition that is not defined for one of them is defined for none.
    """
    return {
        protocol: {name: _pool([part[protocol][name] for part in parts]) for name in named}
        for protocol, named in parts[0].items()
    }


def _pool(answers: Sequence[ConditionAnswer]) -> ConditionAnswer:
    if len(answers) == 1:
        return answers[0]
    undefined = [answer for answer in answers if answer.segments is None]
    if undefined:
        return undefined[0]
    segments = [answer.segments for answer in answers if answer.segments is not None]
    without = [answer.without for answer in answers if answer.without is not None]
    order = _order(segments)
    known = len(without) == len(answers)
    return replace(
        answers[0],
        segments=_take(segments, order),
        note="; ".join(dict.fromkeys(answer.note for answer in answers if answer.note)),
        without=np.concatenate(without)[order] if known else None,
        donor={clip: donor for each in answers for clip, donor in each.donor.items()},
        realigned=pool_realigned([answer.realigned for answer in answers]),
    )
