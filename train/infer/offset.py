"""By how much a recording's two streams are apart, by the offset head of a run, and its correction.

What is found of a recording is that of its first ten minutes. Where the head is not sure, or there
is too little for it to tell, the recording is classified as it was recorded.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from avsc.features.piecewise import SECONDS, Piece
from avsc.manifests.errors import AvscError, MediaError, SettingError
from avsc.train.evaluate.by_second import means
from avsc.train.evaluate.offset import load_head
from avsc.train.fit.trained_run import restore
from avsc.train.infer.predict import Computation
from avsc.train.infer.prediction import Correction, Offset
from avsc.train.model.offset_head import OffsetHead
from avsc.train.model.ten_seconds import Compute

if TYPE_CHECKING:
    from avsc.train.infer.model import Model

AudioLate = float | Literal["auto"]
"""By how many seconds the audio of recordings is late; ``auto``: what is found of each."""

HEARD = 600
"""Seconds from the start of a recording by which its offset is found."""
LONGEST = 600
"""Seconds by which audio may be said to be late or early."""


def check_audio_late(model: "Model", late: AudioLate) -> None:
    """Raise an `AvscError` unless recordings can be corrected by so much."""
    if late == 0:
        return
    if model.acoustic is None or model.images is None:
        raise SettingError(
            f"{model.name}: a run of {model.system}, which has one stream only, and nothing that "
            "it could be late to. Name a run of both modalities."
        )
    if late == "auto":
        _ = model.offsets.head
    elif not abs(late) <= LONGEST:  # also what is no number
        raise SettingError(
            f"audio is {late:g} s late; wanted -{LONGEST:,} to {LONGEST:,} s, or auto."
        )


@dataclass(frozen=True)
class OffsetFinder:
    """The offset head of a run, read when it is first asked.

    Attributes:
        run: folder of the run.
        embed: embeds what the head reads; None for a model that is no run.
    """

    run: Path
    embed: Compute | None

    @cached_property
    def head(self) -> OffsetHead:
        """The head.

        Raises:
            SettingError: the model is no run.
            AvscError: the run has none, or it is damaged or of other weights.
        """
        if self.embed is None:
            raise SettingError(
                f"{self.run}: an exported model, which has no offset head. Name the run that it "
                "was exported from, or state the seconds."
            )
        return load_head(restore(self.run))


class OffsetSearch:
    """The offset of a recording, whose pieces come one by one.

    Args:
        model: with whose specs the pieces are made.
        name: of the recording.
        workers: threads that prepare images.
    """

    def __init__(self, model: "Model", name: str, workers: int = 0) -> None:
        self._name, self._head, embed = name, model.offsets.head, model.offsets.embed
        assert embed is not None
        self._computed, self._seconds = Computation(model, name, embed, workers), 0

    def add(self, piece: Piece) -> None:
        """Take the next piece; those after ten minutes, and of one modality, are let go."""
        both = piece.frames is not None and piece.images is not None
        if both and self._seconds < HEARD:
            self._computed.add(piece)
            self._seconds += SECONDS

    def result(self) -> Offset:
        """Return the offset.

        Raises:
            MediaError: too few seconds have both sound and image.
        """
        head, length = self._head, 0
        if self._seconds:
            samples, embeddings = self._computed.result()
            width = len(head.audio.mean)
            second = samples.second
            values = means(embeddings.float().numpy(), second, 1 + int(second.max()))
            there = np.isfinite(values).all(1)
            length = len(values) if there.all() else int(there.argmin())
        if length < head.most + 2:
            raise MediaError(
                "too-short",
                f"{self._name}: {length} s from its start have both sound and image; wanted "
                f"{head.most + 2} s or more to tell offsets of up to {head.most} s.",
            )
        values = values[:length]
        return Offset(self._name, head.probability(values[:, :width], values[:, width:]))


def find_offset(model: "Model", name: str, pieces: Iterable[Piece], workers: int = 0) -> Offset:
    """Return by how much the audio of a recording is late; see `OffsetSearch`."""
    search, seconds = OffsetSearch(model, name, workers), 0
    for piece in pieces:
        search.add(piece)
        if (seconds := seconds + SECONDS) >= HEARD:
            break
    return search.result()


def correction(found: Offset | AvscError) -> Correction:
    """Return how a recording is corrected by what was found, or why nothing was."""
    if isinstance(found, AvscError):
        return Correction(0.0, None, str(found))
    return Correction(float(found.seconds) if found.sure else 0.0, found)
