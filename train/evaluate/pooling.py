"""Predictions of all runs of a cross-validation, pooled: every clip by the run that did not see it.

A run by itself is the case of one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np

from avsc.features.store.reader import Store
from avsc.manifests.errors import SettingError
from avsc.train.evaluate.predict import ClipPredictions
from avsc.train.evaluate.robustness.condition_predictions import (
    ConditionAnswer,
    ConditionAnswers,
)
from avsc.train.evaluate.temperatures import check_validated
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.split import fold_rows
from avsc.train.fit.trained_run import Answer, Trained, pooled_digest, restore_runs
from avsc.train.protocol import Protocol, Segments


@dataclass(frozen=True)
class TestedRuns:
    """A run, or the runs of a cross-validation.

    Attributes:
        path: folder of the run, or of the runs.
        runs: of the same system and settings, on the same store.
    """

    path: Path
    runs: tuple[Trained, ...]

    @classmethod
    def restore(
        cls, path: Path, checkpoint: Literal["best", "last"], answer: Answer, fold: str
    ) -> "TestedRuns":
        """Restore what a folder holds.

        Raises:
            AvscError: something is missing, damaged, or does not belong together.
            SettingError: runs of a cross-validation are asked for clips that several have.
        """
        runs = restore_runs(path, checkpoint, answer)
        if len(runs) > 1 and fold != "test":
            raise SettingError(
                f"--fold is {fold}, and {path} is a cross-validation, whose runs share clips for "
                "training and validation. Evaluate its test folds, or one of its runs by itself."
            )
        return cls(path, runs)

    @property
    def first(self) -> Trained:
        """The run itself, or the first one."""
        return self.runs[0]

    @property
    def epochs(self) -> str:
        """Which epochs the weights are of."""
        word = "epoch" if len(self.runs) == 1 else "epochs"
        return f"{word} {', '.join(str(run.epoch) for run in self.runs)}"

    @property
    def folder(self) -> RunFolder | None:
        """Folder of the run, with its training curves; None of a cross-validation."""
        return self.first.folder if len(self.runs) == 1 else None

    def check_temperature(self, fold: str) -> None:
        """Raise a `SettingError` unless temperatures can be fitted for the clips of a fold."""
        if len(self.runs) > 1:
            raise SettingError(
                f"--temperature is fitted on the validation clips of one run, and {self.path} is a "
                "cross-validation, each of whose runs would have its own. Omit it, or name one of "
                f"its runs, such as {self.first.folder.path}."
            )
        check_validated(self.first, fold)

    def rows(self, store: Store, fold: str) -> list[tuple[Trained, list[int]]]:
        """Return each run with the rows of the clips that it is evaluated on."""
        return [(run, fold_rows(store, run, fold)) for run in self.runs]

    def provenance(self, of_run: Callable[[Trained], Mapping[str, Any]]) -> dict[str, Any]:
        """Return what is said of the run; of several, lists of it, and a digest of all digests."""
        said = [of_run(run) for run in self.runs]
        if len(said) == 1:
            return dict(said[0])
        values: dict[str, Any] = {name: [each[name] for each in said] for name in said[0]}
        return {**values, "run_digest": pooled_digest(values["run_digest"])}


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
    )
