"""What a model answers for one recording."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avsc.manifests.files import csv_bytes, publish
from avsc.train.model.offset_head import SURE
from avsc.train.systems import Modality

CORRECTED = ["audio_late_corrected", "audio_late_found", "audio_late_probability"]
"""Columns of `Correction.values`."""


@dataclass(frozen=True)
class Offset:
    """By how much the audio of a recording is late, by the offset head of a run.

    Attributes:
        name: of the recording.
        probability: of each offset from -S to S seconds, float64 [2 S + 1].
    """

    name: str
    probability: NDArray[np.float64]

    @property
    def seconds(self) -> int:
        """The most probable offset: by how many seconds the audio is late; early below 0."""
        return int(self.probability.argmax()) - len(self.probability) // 2

    @property
    def confidence(self) -> float:
        """Its probability."""
        return float(self.probability.max())

    @property
    def sure(self) -> bool:
        """Whether it counts as found."""
        return self.confidence >= SURE

    def __str__(self) -> str:
        text = lag(self.seconds) if self.seconds else "in step"
        doubt = "" if self.sure else "not sure; most probably "
        chance = 1 / len(self.probability)
        return (
            f"{self.name}: {doubt}{text} (probability {self.confidence:.2f}; chance {chance:.2f})"
        )


def lag(seconds: float) -> str:
    """Return by how much audio is late, or early, in words."""
    return f"audio {abs(seconds):g} s {'late' if seconds > 0 else 'early'}"


@dataclass(frozen=True)
class Correction:
    """By how much the audio of a recording was taken to be late, and was moved back.

    Attributes:
        seconds: 0 where it was classified as recorded.
        found: the offset that the run's head found; None where it was not asked, or cannot tell.
        why: it cannot tell.
    """

    seconds: float
    found: Offset | None = None
    why: str = ""

    @property
    def remark(self) -> str:
        """What the user should know of it; nothing where the user stated the seconds."""
        told = self.why if self.found is None else str(self.found)
        done = f"corrected by {self.seconds:+g} s" if self.seconds else "classified as recorded"
        return f"{told}; {done}" if told else ""

    @property
    def values(self) -> dict[str, float | None]:
        """The same for a program: seconds of correction, and what was found."""
        if self.found is None:
            return {"corrected": self.seconds, "found": None, "probability": None}
        found = self.found
        return {
            "corrected": self.seconds,
            "found": found.seconds,
            "probability": found.confidence,
        }

    def __str__(self) -> str:
        return f"({lag(self.seconds)}, corrected)" if self.seconds else "(as recorded)"


@dataclass(frozen=True)
class Prediction:
    """Answers for one recording, ordered by time.

    Attributes:
        file: name of the recording.
        classes: scene labels in the order of their indices.
        times: start and end of each answer, float64 [answers, 2], seconds.
        probability: float64 [answers, classes], rows sum to 1.
        missing: start and end of the windows for which there was nothing to answer from.
        warnings: what is odd about the recording.
        without: what the recording lacks of what the model takes, ``audio`` or ``visual``.
        correction: of the lag of its audio; None where none was asked for.
    """

    file: str
    classes: tuple[str, ...]
    times: NDArray[np.float64]
    probability: NDArray[np.float64]
    missing: tuple[tuple[float, float], ...] = ()
    warnings: tuple[str, ...] = ()
    without: tuple[Modality, ...] = ()
    correction: Correction | None = None

    def __len__(self) -> int:
        return len(self.times)

    def __repr__(self) -> str:
        found = ", ".join(f"{label} {score:.3f}" for label, score in self.mean().top(3)[0])
        span = f"{self.times[0, 0]:g} to {self.times[-1, 1]:g} s" if len(self) else "no time"
        return f"<Prediction {self.file}: {len(self)} answers from {span}; {found}>"

    @property
    def scene(self) -> tuple[str, ...]:
        """The most probable scene of each answer."""
        return tuple(self.classes[index] for index in self.probability.argmax(1))

    def top(self, k: int = 1) -> list[list[tuple[str, float]]]:
        """Return the `k` most probable scenes of each answer with their probabilities."""
        order = np.argsort(-self.probability, axis=1, kind="stable")[:, :k]
        return [
            [(self.classes[index], float(row[index])) for index in best]
            for row, best in zip(self.probability, order, strict=True)
        ]

    def mean(self) -> "Prediction":
        """Return one answer for all of the recording, the mean of all answers."""
        if not len(self):
            return self
        times = np.array([[self.times[0, 0], self.times[-1, 1]]])
        return replace(self, times=times, probability=self.probability.mean(0, keepdims=True))

    def rows(self) -> Iterator[tuple[float, float, str, list[float]]]:
        """Yield start, end, most probable scene and probabilities of each answer."""
        for (start, end), scene, values in zip(
            self.times.tolist(), self.scene, self.probability.tolist(), strict=True
        ):
            yield start, end, scene, values

    def to_csv(self, path: str | Path | None = None) -> str:
        """Return the answers as CSV (file, start, end, scene, then a column a class).

        Args:
            path: a file that it is also written to.

        Raises:
            AvscError: the file cannot be written.
        """
        text = csv_header(self.classes) + csv_rows(self)
        if path is not None:
            publish(Path(path), text.encode())
        return text


def csv_header(classes: tuple[str, ...], lacks: bool = False, late: bool = False) -> str:
    """Return the line of column names.

    Args:
        classes: scene labels, a column each.
        lacks: with a column of what a recording lacks.
        late: with columns of the correction of its audio's lag.
    """
    last = ["without"] if lacks else []
    last += CORRECTED if late else []
    return csv_bytes([["file", "start", "end", "scene", *classes, *last]]).decode()


def csv_rows(prediction: Prediction, lacks: bool = False, late: bool = False) -> str:
    """Return a line for each answer; probabilities read back to the same float64."""
    last = [" ".join(prediction.without)] if lacks else []
    if late:
        values = (prediction.correction or Correction(0.0)).values.values()
        last += ["" if value is None else repr(value) for value in values]
    return csv_bytes(
        [prediction.file, repr(start), repr(end), scene, *map(repr, values), *last]
        for start, end, scene, values in prediction.rows()
    ).decode()
