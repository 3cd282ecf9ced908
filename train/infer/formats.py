"""Answers as text: a table to read, CSV, JSON Lines, labels for Audacity, WebVTT, the challenge's.

Audacity and WebVTT have one file a recording; successive answers with the same scene are one label
there. The others hold all recordings in one file, in whose rows each is named.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from avsc.manifests import escape
from avsc.manifests.files import csv_bytes
from avsc.train.evaluate.predictions import segment_name
from avsc.train.infer.prediction import Prediction, csv_header, csv_rows
from avsc.train.systems import Modality

FORMATS = ("table", "csv", "jsonl", "audacity", "webvtt", "challenge")
ENDINGS = {"audacity": ".txt", "webvtt": ".vtt"}
"""Endings of the files of formats that have one a recording."""

LACKS: dict[Modality, str] = {"audio": "(no sound)", "visual": "(no images)"}


@dataclass(frozen=True)
class Format:
    """How answers are written.

    Attributes:
        name: one of `FORMATS`.
        classes: scene labels in the order of their indices.
        top: scenes that are written of an answer, where not all are.
        whole: whether there is one answer for each recording.
        lacks: whether a recording may lack a modality, for which CSV then has a column.
        late: whether the lag of audio is corrected, for which CSV then has columns.
    """

    name: str
    classes: tuple[str, ...]
    top: int
    whole: bool
    lacks: bool = False
    late: bool = False

    @property
    def needs_names(self) -> bool:
        """Whether a recording is told from others by its clip's name alone."""
        return self.name == "challenge" or self.name in ENDINGS

    @property
    def header(self) -> str:
        """What a file begins with."""
        if self.name == "csv":
            return csv_header(self.classes, self.lacks, self.late)
        if self.name == "challenge":
            return csv_bytes([["filename", "scene_label", *self.classes]], "\t").decode()
        return "WEBVTT\n" if self.name == "webvtt" else ""

    def text(self, found: Prediction, clip: str) -> str:
        """Return what is written of one recording.

        Args:
            found: the answers.
            clip: its name where only its name has room, as in those of segments.
        """
        if self.name == "csv":
            return csv_rows(found, self.lacks, self.late)
        if self.name == "challenge":
            return self._challenge(found, clip)
        lines = {
            "table": self._table,
            "jsonl": self._jsonl,
            "audacity": self._audacity,
            "webvtt": self._webvtt,
        }[self.name]
        return "".join(f"{line}\n" for line in lines(found))

    def _table(self, found: Prediction) -> Iterator[str]:
        yield escape.terminal(found.file) + "".join(f"  {said}" for said in _said(found))
        for (start, end), best in zip(found.times.tolist(), found.top(self.top), strict=True):
            scores = "  ".join(f"{label} {score:.3f}" for label, score in best)
            yield f"  {clock(start)} - {clock(end)}  {escape.terminal(scores)}"

    def _jsonl(self, found: Prediction) -> Iterator[str]:
        for (start, end), best in zip(found.times.tolist(), found.top(self.top), strict=True):
            scores = [{"label": label, "score": score} for label, score in best]
            values = {"file": found.file, "start": start, "end": end, "scores": scores}
            lacks = {"without": found.without} if found.without else {}
            late = {"audio_late": found.correction.values} if found.correction else {}
            yield json.dumps({**values, **lacks, **late}, ensure_ascii=False)

    def _audacity(self, found: Prediction) -> Iterator[str]:
        for start, end, scene, _ in runs(found):
            yield f"{start:.6f}\t{end:.6f}\t{escape.terminal(scene)}"

    def _webvtt(self, found: Prediction) -> Iterator[str]:
        for said in _said(found):
            yield f"\nNOTE {said}"
        for start, end, scene, score in runs(found):
            marked = scene.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            yield f"\n{clock(start)} --> {clock(end)}\n{escape.terminal(marked)} {score:.2f}"

    def _challenge(self, found: Prediction, clip: str) -> str:
        names = [segment_name(clip, None if self.whole else int(start)) for start, _ in found.times]
        rows = zip(names, found.rows(), strict=True)
        return csv_bytes(
            ([name, scene, *map(repr, values)] for name, (_, _, scene, values) in rows), "\t"
        ).decode()


def _said(found: Prediction) -> list[str]:
    """Return what a recording lacks, and how it was corrected."""
    corrected = [] if found.correction is None else [str(found.correction)]
    return [*(LACKS[modality] for modality in found.without), *corrected]


def runs(found: Prediction) -> Iterator[tuple[float, float, str, float]]:
    """Yield start, end, scene and mean probability of runs of answers with the same scene.

    Answers of windows that overlap give way to the next run; a gap ends a run.
    """
    answers = list(found.rows())
    column = {scene: index for index, scene in enumerate(found.classes)}
    number, keys = 0, []
    for before, now in zip([None, *answers], answers, strict=False):
        if before is not None and (before[2] != now[2] or now[0] > before[1] + 1e-9):
            number += 1
        keys.append(number)
    spans = [
        [answer for _, answer in group]
        for _, group in groupby(zip(keys, answers, strict=True), key=lambda pair: pair[0])
    ]
    for span, after in zip(spans, [*spans[1:], None], strict=True):
        start, end, scene = span[0][0], span[-1][1], span[0][2]
        if after is not None:
            end = min(end, after[0][0])
        yield start, end, scene, float(np.mean([row[3][column[scene]] for row in span]))


def clock(seconds: float) -> str:
    """Return a time as WebVTT has it.

    >>> clock(3725.5)
    '01:02:05.500'
    """
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"
