"""What a system predicts under `conditions`: a run of ours, or any system by its files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from avsc.features.pages.clip_sounds import recordings_folder
from avsc.features.store.reader import Store
from avsc.manifests.errors import SettingError
from avsc.train.data.samples import Bools
from avsc.train.evaluate.predict import ClipSamples, clip_samples, predict_samples
from avsc.train.evaluate.robustness.alterations import Recorded, UndefinedError
from avsc.train.evaluate.robustness.changes import Altered, Missing
from avsc.train.evaluate.robustness.classifier_inputs import (
    ClassifierInputs,
    classifier_alone,
    embed_clips,
    embed_modality,
)
from avsc.train.evaluate.robustness.conditions import COMPLETE, CONDITIONS, Condition
from avsc.train.evaluate.robustness.realign import Realigned, check_rate, realign
from avsc.train.evaluate.submissions import Truth, read_submission
from avsc.train.fit.compute import Computing
from avsc.train.fit.console import Console
from avsc.train.fit.trained_run import Trained
from avsc.train.model.network import Network
from avsc.train.model.offset_head import OffsetHead
from avsc.train.protocol import Protocol, Segments, segments
from avsc.train.systems import ENCODER, Modality

WORDS: Mapping[Modality, str] = {"audio": "audio", "visual": "images"}


@dataclass(frozen=True)
class Asked:
    """What a system is asked.

    Attributes:
        conditions: which.
        protocols: which frames count.
        seed: of the segments that lack a modality, and of the clips that lend images.
        allow_missing: go on with the segments that are there if some are missing in the store.
        root: folder of the recordings, for noise; None means that of the last extraction.
        head: finds the offset that each clip is shifted back by, under every condition; None
            shifts none.
    """

    conditions: Sequence[Condition]
    protocols: tuple[Protocol, ...] = ("strict",)
    seed: int = 0
    allow_missing: bool = False
    root: Path | None = None
    head: OffsetHead | None = None


@dataclass(frozen=True)
class ConditionAnswer:
    """What a system says under a condition.

    Attributes:
        segments: its predictions; None where the condition is not defined for it.
        note: what it was fed, or why there are no predictions.
        without: which segments a modality was taken from, bool [segments]; None if not known.
        lacking: that modality; None where none is missing.
        untempered: the predictions before a temperature was applied; None where none was.
        donor: by the clip's row, the row of the clip whose images it had.
        realigned: how many clips were shifted back; None where none were to be.
    """

    segments: Segments | None
    note: str = ""
    without: Bools | None = None
    lacking: Modality | None = None
    untempered: Segments | None = None
    donor: dict[int, int] = field(default_factory=dict)
    realigned: Realigned | None = None


ConditionAnswers = dict[str, ConditionAnswer]
"""By the condition's name."""


def run_answers(
    trained: Trained,
    store: Store,
    rows: Sequence[int],
    asked: Asked,
    computing: Computing,
    console: Console,
) -> dict[Protocol, ConditionAnswers]:
    """Return what a run predicts for clips, by protocol.

    Args:
        trained: the run.
        store: of the clips.
        rows: rows of the clips.
        asked: under which conditions.
        computing: where and how to compute.
        console: shows the progress.

    Raises:
        AvscError: a class has no segments, or segments are missing that may not be.
    """
    clips = clip_samples(trained, store, rows, asked.protocols, asked.allow_missing)
    network, feature = trained.network, trained.record.settings.feature
    root = recordings_folder(store, asked.root)
    subject = _Subject(
        network,
        clips,
        embed_clips(network, clips, computing, console),
        Recorded(store, feature, rows, root, computing.workers, asked.seed),
    )
    if asked.head is not None:
        check_rate(subject.inputs)
    alone = classifier_alone(network)
    answers: dict[Protocol, ConditionAnswers] = {protocol: {} for protocol in asked.protocols}
    for condition in asked.conditions:
        console.say(f"condition: {condition.about}")
        try:
            inputs, altered = subject.under(condition, computing, console)
        except UndefinedError as fault:
            for named in answers.values():
                named[condition.name] = ConditionAnswer(None, f"not defined: {fault}")
            continue
        realigned = None
        if asked.head is not None:
            altered, realigned = realign(asked.head, inputs, altered)
        probability = predict_samples(alone, inputs.source, altered.samples, computing, console)
        for protocol, named in answers.items():
            predicted = segments(probability, subject.inputs.samples, protocol)
            without = _segments_without(altered, protocol)
            note = _note(condition, int(without.sum()), network)
            named[condition.name] = ConditionAnswer(
                predicted,
                note,
                without,
                altered.lacking,
                donor=altered.donor,
                realigned=realigned,
            )
    return answers


@dataclass(frozen=True)
class _Subject:
    """A network and the clips that it is asked about.

    Attributes:
        network: which.
        clips: what it reads.
        inputs: the embeddings of that.
        recorded: where it comes from.
    """

    network: Network
    clips: ClipSamples
    inputs: ClassifierInputs
    recorded: Recorded

    def under(
        self, condition: Condition, computing: Computing, console: Console
    ) -> tuple[ClassifierInputs, Altered]:
        """Return the embeddings under a condition, and which of them the samples read.

        Raises:
            UndefinedError: the condition is not defined for the system or the clips.
        """
        inputs = self.inputs
        unaltered = Altered(inputs.samples, np.zeros(len(inputs.samples), np.bool_))
        if condition.alteration is not None:
            modality = condition.alters
            assert modality is not None
            if modality not in inputs.vectors:
                raise self._without(modality)
            source = condition.alteration(self.clips.source, self.recorded)
            clips = replace(self.clips, source=source)
            vectors = embed_modality(modality, self.network, clips, computing, console)
            return replace(inputs, vectors={**inputs.vectors, modality: vectors}), unaltered
        if condition.change is None:
            return inputs, unaltered
        for modality in WORDS:
            if modality not in inputs.vectors:
                raise self._without(modality)
        return inputs, condition.change(inputs, self.recorded.seed)

    def _without(self, modality: Modality) -> UndefinedError:
        return UndefinedError(f"the system takes no {WORDS[modality]}")


def _segments_without(altered: Altered, protocol: Protocol) -> Bools:
    """Return which segments have a sample that a modality was taken from."""
    share = altered.without.astype(np.float64)[:, None]
    return segments(share, altered.samples, protocol).probability[:, 0] > 0


def _note(condition: Condition, without: int, network: Network) -> str:
    fed = "zeros" if network.missing is None else "the learned vector"
    if isinstance(condition.change, Missing):
        modality = condition.change.modality
        if network.asks_heads:
            return f"without the {ENCODER[modality]} head"
        return f"{fed} in the place of the {ENCODER[modality]} embedding"
    if without:
        instead = (
            "its head is left out" if network.asks_heads else f"{fed} in the place of its embedding"
        )
        return f"segments without an image there: {without:,}; {instead}"
    return ""


def file_answers(files: Mapping[str, Path], truth: Truth, protocol: Protocol) -> ConditionAnswers:
    """Read the predictions of any system.

    Args:
        files: predictions file (or evaluated run) by the condition's name.
        truth: what they refer to.
        protocol: which of a run's predictions.

    Raises:
        AvscError: a file is not of the form.
        SettingError: a condition is unknown, or there is no file of the complete recordings.
    """
    if unknown := sorted(set(files) - set(CONDITIONS)):
        raise SettingError(
            f"--predictions: condition {unknown[0]!r} is unknown; any of {', '.join(CONDITIONS)}."
        )
    if COMPLETE.name not in files:
        raise SettingError(
            "--predictions: none is of the complete recordings, to which all others are compared. "
            f"Name one by --predictions {COMPLETE.name}=FILE."
        )
    answers: ConditionAnswers = {}
    for name, path in files.items():
        change = CONDITIONS[name].change
        read = read_submission(path, protocol, truth)
        everywhere = isinstance(change, Missing) and change.share == 1
        answers[name] = ConditionAnswer(
            read, str(path), np.full(len(read), True) if everywhere else None
        )
    return answers
